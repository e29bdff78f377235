"""Bytes on disk and upstream: Sideline's a reading, by `tests/bench/bytes.py`, and ThingsBoard's database a message."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.bench import load
from tests.bench.ours import folder_bytes
from tests.bench.page import ROOT
from tests.bench.speed import rival_running

_OURS = ROOT / "tests" / "bench" / "bytes.py"
_RIVAL_RATE = 500
_RIVAL_S = 20.0


async def our_bytes() -> dict[str, dict[str, float]]:
    """Return bytes a reading by stream, as their own bench measures them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(_OURS), stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    output, _ = await process.communicate()
    found: dict[str, dict[str, float]] = json.loads(output.decode().strip().splitlines()[-1])["bytes_per_reading"]
    return found


async def rival_bytes(python: Path, folder: Path) -> float:
    """Return bytes per message of the rival's database when its upstream refuses connections."""
    async with rival_running(python, folder) as rival:
        await rival.link.refuse()
        report = await load.positions(rival.broker.port, rate_per_s=_RIVAL_RATE, seconds=_RIVAL_S)
        await asyncio.sleep(4.0)  # its writer's own pause; it has no state to wait for
        await rival.gateway.stop()
        for file in rival.gateway.data.rglob("*.db"):
            with closing(sqlite3.connect(file)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        size = folder_bytes(rival.gateway.data)
    return round(size / report["sent"], 1)


async def measure_bytes(folder: Path, python: Path | None) -> dict[str, Any]:
    """Return bytes per reading, or message."""
    return {
        "ours": await our_bytes(),
        "rival_message": None if python is None else await rival_bytes(python, folder),
    }
