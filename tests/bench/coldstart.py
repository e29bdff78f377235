"""From `python -m edge run` to the first stored reading: a position waits at the broker, and there is no cloud.

The broker's log tells when the gateway acknowledged it, which it does after the commit.
"""

import asyncio
import re
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.bench import load
from tests.bench.broker_pair import BenchBroker
from tests.bench.ours import GATEWAY, Sideline, install_models, made, settings, tags
from tests.integration.gateway_process import write_squad

_BOUND_S = 30.0
_ACKNOWLEDGED = re.compile(rf"Received PUBACK from \S*{GATEWAY}")


async def measure_cold_start(folder: Path, *, repeats: int = 5) -> dict[str, Any]:
    """Start a gateway with models `repeats` times; return seconds to the first acknowledgement and to the page."""
    log = made(folder) / "broker.log"
    async with AsyncExitStack() as stack:
        broker = BenchBroker(folder / "sensors", f"log_dest file {log}", "log_type all", "connection_messages true")
        broker.start()
        stack.callback(broker.stop)
        settings(folder, broker_port=broker.port)
        write_squad(folder, tags())
        install_models(folder)
        gateway = Sideline(folder)
        stack.push_async_callback(gateway.kill)
        await gateway.start()  # makes its session at the broker, so that positions wait for it
        runs = []
        for _ in range(repeats):
            await gateway.stop()
            await load.positions(broker.port, rate_per_s=60, seconds=1.0)
            runs.append(await _one_start(gateway, log))
    return {"first_stored_s": sorted(run[0] for run in runs), "page_s": sorted(run[1] for run in runs)}


async def _one_start(gateway: Sideline, log: Path) -> tuple[float, float]:
    """Return seconds from the start of the process to the first acknowledgement, and to the page's answer."""
    seen, began = len(_new_lines(log, 0)), time.monotonic()
    starting = asyncio.create_task(gateway.start(), name="start")
    async with asyncio.timeout(_BOUND_S):
        while not _ACKNOWLEDGED.search(_new_lines(log, seen)):
            await asyncio.sleep(0.005)
        first_s = time.monotonic() - began
        await starting
    return round(first_s, 3), round(time.monotonic() - began, 3)


def _new_lines(log: Path, seen: int) -> str:
    with log.open("rb") as file:
        file.seek(seen)
        return file.read().decode("utf-8", "replace")
