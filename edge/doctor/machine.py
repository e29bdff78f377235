"""The machine: versions of what the gateway runs on, and whether its port is to be had."""

import platform
import socket
import sys
from importlib.metadata import version

import psutil

from edge.doctor.check import Findings, in_thread
from edge.doctor.surroundings import Subject, page_host
from edge.doctor.words import size

_LIBRARIES = ("sideline", "onnxruntime", "numpy", "msgspec", "pyarrow")
_MIN_PYTHON = (3, 11)
_LOW_MEMORY_BYTES = 300 * 1024**2


async def check_machine(subject: Subject, findings: Findings) -> None:
    """Check versions, memory and the page's port."""
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info < _MIN_PYTHON:
        findings.fail("Python", python, "install Python 3.11 or newer")
    else:
        findings.ok("Python", python)
    findings.ok("libraries", ", ".join(f"{name} {version(name)}" for name in _LIBRARIES))
    memory = psutil.virtual_memory()
    found = f"{size(memory.available)} of {size(memory.total)} available, {psutil.cpu_count() or 1} processor cores"
    if memory.available < _LOW_MEMORY_BYTES and subject.running is None:
        findings.warn("memory", found, "end other programs: the gateway needs about 300 MB")
    else:
        findings.ok("memory", found)
    await in_thread(_port, subject, findings)


def _port(subject: Subject, findings: Findings) -> None:
    settings = subject.settings
    if settings.port == 0:
        findings.ok("port", "the system chooses the page's port at the start")
        return
    place = f"{page_host(settings)}:{settings.port}"
    if subject.running is not None:
        findings.ok("port", f"gateway {subject.running.gateway} runs and answers at {place}")
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as exc:
        findings.fail(
            "port",
            f"{settings.host}:{settings.port} is not to be had: {exc.strerror or exc}",
            f"end the program that uses it (`ss -ltnp 'sport = :{settings.port}'`), or set another port",
        )
    else:
        findings.ok("port", f"{settings.host}:{settings.port} is free; no gateway runs there")
