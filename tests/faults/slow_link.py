"""Row 12: 256 kbit/s and 600 ms there and back, up and down, sixty times as fast.

Everything that has a time is divided by sixty and the rate is multiplied by it: the line, the delay, the client's
patience and back-off, the intervals of batches, and how long the line is up and down. Batches keep their size. What the
machine itself needs for a batch is not divided, so the line looks slower here than it is.
"""

import asyncio
import random
import time
from pathlib import Path

from edge.settings import SyncSettings
from edge.store.journal import Journal
from edge.sync.uploader import Uploader
from shared.clock import NS_PER_MS, SystemClock
from shared.log import configure
from tests.faults.arm import Outcome
from tests.faults.ending import end
from tests.faults.forkserver import ForkServer
from tests.faults.ingest import Ingest
from tests.faults.numbered import block, cloud_readings, differences, journal_readings
from tests.faults.places import in_memory
from tests.faults.relay import Relay
from tests.faults.uploading import GATEWAY, MAX_BYTES, drain_in_order

FASTER = 60
_BYTES_PER_S = 256_000 / 8 * FASTER
_DELAY_S = 0.3 / FASTER
_UP_S = (20.0 / FASTER, 300.0 / FASTER)
_DOWN_S = (5.0 / FASTER, 120.0 / FASTER)
_SHORT_S = (5.0 / FASTER, 20.0 / FASTER)
"""Up and down in the control."""
_INTO_BATCH_S = 0.08
"""Half of the times the line goes down within so long of a batch's first byte, the others at any moment."""
_BATCH_S = 30.0 / FASTER
_ATHLETES = 22
_READINGS_PER_BATCH = 300
"""Of one athlete in 30 s, ten a second."""
_DRAIN_BOUND_S = 120.0


def use_slow_link(count: int, seed: int, folder: Path) -> Outcome:
    """Take the line down and up `count` times."""
    return _use(count, seed, folder, renamed=False)


def use_slow_link_naively(count: int, seed: int, folder: Path) -> Outcome:
    """Do the same with an uploader whose every attempt is a batch of its own."""
    return _use(count, seed, folder, renamed=True)


def _use(count: int, seed: int, folder: Path, *, renamed: bool) -> Outcome:
    configure(level="error")
    with in_memory(folder) as place, ForkServer() as server:
        ingest = Ingest(server, place)
        token = ingest.enrol(GATEWAY)
        ingest.start()
        begun_s = time.monotonic()
        passed = asyncio.run(_run(count, random.Random(seed), place, ingest.port, token, renamed=renamed))
        seconds = time.monotonic() - begun_s
        in_cloud, wrong = cloud_readings(ingest.layout)
        ingest.kill()
        wanted = set(journal_readings(place / "gateway.sqlite"))
    failures = [f"seed {seed}: {problem}" for problem in wrong]
    failures += differences(f"seed {seed}", wanted, in_cloud, where="in the cloud")
    notes = {
        "readings": float(len(wanted)),
        "kB over the line": round(passed / 1000, 1),
        "hours of the line's time": round(seconds * FASTER / 3600, 2),
    }
    return Outcome(tried=count, failures=failures, notes=notes)


async def _run(count: int, rng: random.Random, folder: Path, port: int, token: str, *, renamed: bool) -> int:
    """Store and send while the line goes down and up, then until nothing waits; return the bytes that passed."""
    clock = SystemClock()
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=MAX_BYTES)
    async with Relay(port, bytes_per_s=_BYTES_PER_S, delay_s=_DELAY_S) as line:
        url = f"http://127.0.0.1:{line.port}"
        settings = SyncSettings(url=url, batch_s=_BATCH_S, timeout_s=30.0 / FASTER, retry_cap_s=300.0 / FASTER)
        uploader = Uploader(settings, GATEWAY, token, journal, clock, url=url)
        sending = drain_in_order(journal, url, token, renamed=True) if renamed else uploader.drain()
        tasks = [asyncio.create_task(work) for work in (_store(journal, clock), uploader.fill(), sending)]
        for _ in range(count):
            await asyncio.sleep(rng.uniform(*(_SHORT_S if renamed else _UP_S)))
            if renamed or rng.random() < 0.5:
                await line.next_piece()
                await asyncio.sleep(rng.uniform(0.0, _INTO_BATCH_S))
            await line.down()
            await asyncio.sleep(rng.uniform(*(_SHORT_S if renamed else _DOWN_S)))
            line.up()
        await end(tasks[:1])
        while await journal.run(journal.outbox.fill):
            pass
        async with asyncio.timeout(_DRAIN_BOUND_S):
            while (await journal.run(journal.outbox.backlog)).batches:
                for task in tasks[1:]:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)
        await end(tasks[1:])
    journal.close()
    return line.passed_bytes


async def _store(journal: Journal, clock: SystemClock) -> None:
    """Store what twenty-two athletes send in thirty seconds, every half second: sixty times as fast."""
    number = 0
    while True:
        start_ns = clock.utc_ns() - _READINGS_PER_BATCH * 100 * NS_PER_MS
        blocks = [
            block(
                "position", number, _READINGS_PER_BATCH, start_ns=start_ns, origin="boot-0", sensor=f"tag-{athlete:02d}"
            )
            for athlete in range(_ATHLETES)
        ]
        await journal.append(blocks)
        number += _READINGS_PER_BATCH
        await asyncio.sleep(_BATCH_S)
