"""A connection to a server, step by step: name, TCP, TLS; each step is a finding."""

import asyncio
import contextlib
import socket
import ssl

from edge.doctor.certificates import say_dates, shown_certificate, unverified
from edge.doctor.check import Findings
from edge.doctor.surroundings import Subject
from edge.doctor.words import milliseconds
from shared.clock import NS_PER_MS

_STEP_S = 3.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def reach(
    name: str, host: str, port: int, context: ssl.SSLContext | None, subject: Subject, findings: Findings
) -> Streams | None:
    """Return an open connection, or None after a finding that says where it ended."""
    clock = subject.clock
    if not await _resolve(name, host, port, findings):
        return None
    started_ns = clock.mono_ns()
    try:
        async with asyncio.timeout(_STEP_S):
            streams = await asyncio.open_connection(
                host,
                port,
                ssl=context,
                server_hostname=host if context else None,
                ssl_handshake_timeout=_timeout(context),
            )
    except ssl.SSLError as exc:
        await _say_tls_problem(name, host, port, exc, subject, findings)
        return None
    except (OSError, TimeoutError) as exc:
        findings.fail(
            f"{name} connection",
            f"{host}:{port}: {_words(exc)}",
            f"is the {name} running, is the port right, and does a firewall stand between?",
        )
        return None
    findings.ok(f"{name} connection", f"{host}:{port} in {milliseconds((clock.mono_ns() - started_ns) / NS_PER_MS)}")
    if context is not None:
        certificate = shown_certificate(streams[1].get_extra_info("ssl_object").getpeercert(binary_form=True))
        if certificate is not None:
            say_dates(f"{name} certificate", certificate, clock.utc_ns(), findings)
    return streams


async def leave(streams: Streams) -> None:
    """Close a connection."""
    streams[1].close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            await streams[1].wait_closed()


async def _resolve(name: str, host: str, port: int, findings: Findings) -> bool:
    try:
        async with asyncio.timeout(_STEP_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as exc:
        findings.fail(
            f"{name} name",
            f"{host} is not known: {_words(exc)}",
            "is there a network, and is the name in the settings right? (`getent hosts NAME`)",
        )
        return False
    addresses = {str(entry[4][0]) for entry in found}
    if addresses != {host}:
        findings.ok(f"{name} name", f"{host} is {', '.join(sorted(addresses))}")
    return True


async def _say_tls_problem(
    name: str, host: str, port: int, problem: ssl.SSLError, subject: Subject, findings: Findings
) -> None:
    """Find what is wrong with a certificate by looking at it."""
    holds = True
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_STEP_S):
            streams = await asyncio.open_connection(host, port, ssl=unverified())
        certificate = shown_certificate(streams[1].get_extra_info("ssl_object").getpeercert(binary_form=True))
        await leave(streams)
        if certificate is not None:
            holds = say_dates(f"{name} certificate", certificate, subject.clock.utc_ns(), findings)
    if holds:
        why = problem.verify_message if isinstance(problem, ssl.SSLCertVerificationError) else problem.reason
        findings.fail(
            f"{name} TLS",
            f"{host}:{port}: {why or problem}",
            "is the address the one on the certificate, and does this machine trust its authority? "
            "(broker: mqtt.ca_file; cloud: SSL_CERT_FILE)",
        )


def _timeout(context: ssl.SSLContext | None) -> float | None:
    return _STEP_S if context else None


def _words(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return f"no answer within {_STEP_S:g} s"
    if isinstance(exc, ConnectionRefusedError):
        return "nobody listens there"
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or type(exc).__name__
