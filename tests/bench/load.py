"""The load that both gateways get: the simulator's load generator as a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from tests.bench.ours import TAGS


async def positions(port: int, *, rate_per_s: int, seconds: float) -> dict[str, Any]:
    """Publish positions of 60 tags at a rate, QoS 1, and return what the generator reports."""
    return await _generate("--rate", str(rate_per_s), "--tags", str(TAGS), "--seconds", str(seconds), port=port)


async def mix(port: int, *, seconds: float) -> dict[str, Any]:
    """Publish what 60 athletes' sensors send, 2,160 messages a second, and return what the generator reports."""
    return await _generate("--mix", "--tags", str(TAGS), "--seconds", str(seconds), port=port)


async def _generate(*words: str, port: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "firmware_sim", "load", *words, "--mqtt", f"127.0.0.1:{port}", "--json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    report: dict[str, Any] = json.loads(output)
    return report


@dataclass(slots=True)
class Spent:
    """CPU-seconds of a gateway with its children over a stretch, its memory at the end, and the machine's load."""

    cpu_s: float = 0.0
    rss_mb: float = 0.0
    load_average: float = 0.0

    def per_100k(self, messages: int) -> float:
        """Return CPU-seconds per 100,000 messages."""
        return round(self.cpu_s / max(1, messages) * 100_000, 2)


@asynccontextmanager
async def spending(process: psutil.Process) -> AsyncIterator[Spent]:
    """Measure a gateway while the body runs."""
    spent, before_s = Spent(), _cpu_s(process)
    yield spent
    spent.cpu_s = _cpu_s(process) - before_s
    spent.rss_mb = round(sum(part.memory_info().rss for part in _family(process)) / 1024**2, 1)
    spent.load_average = round(os.getloadavg()[0], 2)


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu_s(process: psutil.Process) -> float:
    return sum(times.user + times.system for times in (part.cpu_times() for part in _family(process)))
