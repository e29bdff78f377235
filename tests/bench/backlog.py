"""Hours of the 60-athlete load in a journal, made in minutes, and how fast gateway and cloud get rid of them.

The readings go through the real Journal, commit by commit, under a clock that is moved on; then the real gateway
uploads them to the real ingest server.
"""

import asyncio
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.settings import StoreSettings
from edge.store.journal import Journal
from shared.clock import NS_PER_S, ManualClock, SystemClock
from shared.readings import Frame, Readings
from shared.roster import Roster, write_roster
from tests.bench.metrics import live_frames, squad
from tests.bench.ours import Cloud, Sideline, made, settings
from tests.factories import START_NS

_PATTERN_S = 10
_DRAIN_BOUND_S = 3600.0
_POLL_S = 0.2


def pattern() -> list[list[Readings]]:
    """Return ten seconds of everybody's readings, second by second."""
    intake = Intake(Wearers(squad()), "backlog")
    frames: dict[int, list[Frame]] = defaultdict(list)
    for frame in live_frames(_PATTERN_S):
        frames[frame.received.mono_ns // NS_PER_S].append(frame)
    seconds = []
    for second in range(_PATTERN_S):
        blocks, rejected = intake.take(frames[second])
        assert not rejected
        seconds.append(blocks)
    return seconds


def repeated(seconds: list[list[Readings]], count: int, start_ns: int) -> Iterator[list[Readings]]:
    """Yield `count` seconds from `start_ns` on: the pattern again and again, times and numbers going on."""
    lengths: dict[tuple[str, str], int] = {}
    for blocks in seconds:
        for block in blocks:
            key = (block.sensor, block.stream)
            lengths[key] = max(lengths.get(key, 0), int(block.sequence.max()) + 1)
    for second in range(count):
        turn, place = divmod(second, len(seconds))
        shift_ns = start_ns - START_NS + turn * len(seconds) * NS_PER_S
        yield [_moved(block, shift_ns, turn * lengths[block.sensor, block.stream]) for block in seconds[place]]


def _moved(block: Readings, shift_ns: int, numbers: int) -> Readings:
    clocks = block.clocks
    if clocks is not None:
        clocks = replace(clocks, device_ns=clocks.device_ns + shift_ns, mono_ns=clocks.mono_ns + shift_ns)
    return replace(block, sequence=block.sequence + numbers, time_ns=block.time_ns + shift_ns, clocks=clocks)


async def fill_journal(data: Path, hours: float, *, ended_ns: int) -> Counter[str]:
    """Store `hours` of the load that ended at `ended_ns`; return the readings of each stream."""
    count = round(hours * 3600)
    start_ns = ended_ns - count * NS_PER_S
    clock = ManualClock(utc_ns=start_ns)
    journal = Journal.open(made(data) / "gateway.sqlite", clock, max_bytes=StoreSettings().max_bytes)
    stored: Counter[str] = Counter()
    try:
        for blocks in repeated(pattern(), count, start_ns):
            clock.advance(1.0)
            await journal.append(blocks)
            for block in blocks:
                stored[block.stream] += len(block)
    finally:
        journal.close()
    return stored


def received(ledger: Path) -> dict[str, int]:
    """Return the readings that the cloud has, by content; what stands in two batches counts twice."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT content, sum(count) FROM batches GROUP BY 1").fetchall())


def missing(wanted: Counter[str], ledger: Path) -> int:
    """Return how many readings the cloud still lacks."""
    found = received(ledger)
    return sum(max(0, count - found.get(stream, 0)) for stream, count in wanted.items())


def write_squad_of_60(folder: Path) -> Roster:
    """Write the roster of the load's athletes, and return it."""
    roster = squad()
    write_roster(roster, folder / "roster.json")
    return roster


async def measure_drain(folder: Path, *, hours: float) -> dict[str, Any]:
    """Fill, start the gateway with the cloud there, and wait until the cloud has everything."""
    began = time.monotonic()
    ended_ns = SystemClock().utc_ns()
    stored = await fill_journal(folder / "data", hours, ended_ns=ended_ns)
    fill_s = time.monotonic() - began
    write_squad_of_60(folder)
    cloud = Cloud(folder)
    await asyncio.to_thread(cloud.set_up)
    gateway = Sideline(folder)
    settings(folder, broker_port=1, cloud_port=cloud.port)
    async with cloud.program:
        await cloud.program.start()
        try:
            began = time.monotonic()
            await gateway.start(broker=False)
            async with asyncio.timeout(_DRAIN_BOUND_S):
                while missing(stored, cloud.data / "ledger.sqlite"):
                    await asyncio.sleep(_POLL_S)
            drain_s = time.monotonic() - began
        finally:
            await gateway.stop()
        found = received(cloud.data / "ledger.sqlite")
    return {
        "hours": hours,
        "readings": sum(stored.values()),
        "fill_s": round(fill_s, 1),
        "drain_s": round(drain_s, 1),
        "times_real_time": round(hours * 3600 / drain_s, 1),
        "received": {stream: found.get(stream, 0) for stream in stored},
        "stored": dict(stored),
    }
