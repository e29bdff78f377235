"""Row 10: an hour, a day, fourteen days without the cloud, and the drain afterwards while live readings go on."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cloud.ingest.ledger import Ledger
from edge.store.backlog import Backlog
from edge.store.journal import Journal
from edge.sync.uploader import Uploader
from shared.clock import NS_PER_MS
from shared.parquet_codec import decode_parquet
from tests.faults.arm import Outcome
from tests.faults.ending import end
from tests.faults.forkserver import ForkServer
from tests.faults.ingest import Ingest
from tests.faults.leap_clock import LeapClock
from tests.faults.numbered import block, cloud_readings, differences, journal_readings
from tests.faults.uploading import GATEWAY, MAX_BYTES, drain_in_order, sync_settings

CHUNK_S = 10
FILL_S = 60
_LIVE_S = 0.1
_STALL_BOUND_S = 30.0
_DRAIN_BOUND_S = 900.0


@dataclass(frozen=True)
class Outage:
    """What happens without the cloud: `sessions` of `session_s`, evenly over `hours`; ten positions a second each."""

    name: str
    hours: float
    sessions: int
    session_s: int
    athletes: int


OUTAGES = (
    Outage("1 h", 1, 1, 3600, 11),
    Outage("24 h", 24, 3, 5400, 11),
    Outage("14 d", 14 * 24, 28, 3600, 5),
)


def drain_after_outages(count: int, seed: int, folder: Path) -> Outcome:
    """Play the first `count` outages; the seed chooses where numbers begin."""
    return asyncio.run(_drain_all(OUTAGES[:count], seed, folder, starved=False))


def drain_starved(count: int, seed: int, folder: Path) -> Outcome:
    """Do the same where what is live goes behind everything that waits."""
    return asyncio.run(_drain_all((Outage("20 min", 1, 1, 1200, 11),) * count, seed, folder, starved=True))


async def _drain_all(outages: tuple[Outage, ...], seed: int, folder: Path, *, starved: bool) -> Outcome:
    failures: list[str] = []
    notes: dict[str, float] = {}
    with ForkServer() as server:
        for number, outage in enumerate(outages):
            home = folder / str(number)
            home.mkdir()
            ingest = Ingest(server, home)
            run = _Run(outage, seed, home)
            await run.store()
            ingest.start()
            await run.drain(ingest.url, ingest.enrol(GATEWAY), starved=starved)
            ingest.kill()
            failures += run.compare(f"seed {seed}, {outage.name}", ingest)
            notes |= run.notes
    return Outcome(tried=len(outages), failures=failures, notes=notes)


class _Run:
    """One outage of one gateway."""

    def __init__(self, outage: Outage, seed: int, folder: Path) -> None:
        self._outage = outage
        self._number = seed % 10_000
        self._database = folder / "gateway.sqlite"
        self._clock = LeapClock()
        self._journal = Journal.open(self._database, self._clock, max_bytes=16 * MAX_BYTES)
        self._waited = 0
        self._stalls_s: list[float] = []
        self.notes: dict[str, float] = {}

    async def store(self) -> None:
        """Store the sessions of the outage; batches are made at their time and wait."""
        outage = self._outage
        pause_s = (outage.hours * 3600 - outage.sessions * outage.session_s) / outage.sessions
        for _ in range(outage.sessions):
            for second in range(0, outage.session_s, CHUNK_S):
                self._clock.leap(CHUNK_S)
                await self._append("tag", 10 * CHUNK_S)
                if second % FILL_S == 0:
                    await self._fill()
            await self._fill()
            self._clock.leap(pause_s)
        self._waited = (await self._journal.run(self._journal.outbox.backlog)).batches

    async def drain(self, url: str, token: str, *, starved: bool) -> None:
        """Send everything while live readings go on; `starved` sends what is oldest first, whatever it is."""
        uploader = Uploader(sync_settings(url, timeout_s=30.0), GATEWAY, token, self._journal, self._clock, url=url)
        sending = drain_in_order(self._journal, url, token) if starved else uploader.drain()
        tasks = [asyncio.create_task(work) for work in (sending, uploader.fill(), self._go_on())]
        begun_s = time.monotonic()
        async with asyncio.timeout(_DRAIN_BOUND_S):
            await self._sent(tasks, lambda backlog: backlog.sent >= self._waited)
            drained_s = time.monotonic() - begun_s
            await end(tasks[2:])
            await self._fill()
            await self._sent(tasks[:2], lambda backlog: not backlog.batches)
        await end(tasks[:2])
        self._journal.close()
        name, seconds = self._outage.name, self._outage.sessions * self._outage.session_s
        self.notes = {
            f"times the outage's own time ({name})": round(self._outage.hours * 3600 / drained_s),
            f"times the sessions' own time ({name})": round(seconds / drained_s),
            f"batches ({name})": self._waited,
            f"live appends while it drained ({name})": len(self._stalls_s),
            f"ms for a live append, p99 ({name})": round(1000 * float(np.percentile(self._stalls_s or [0], 99))),
        }

    def compare(self, name: str, ingest: Ingest) -> list[str]:
        """Return what is wrong: something missing or twice, or live readings that had to wait for all the others."""
        in_cloud, wrong = cloud_readings(ingest.layout)
        words = [f"{name}: {problem}" for problem in wrong]
        words += differences(name, set(journal_readings(self._database)), in_cloud, where="in the cloud")
        if not self._stalls_s or max(self._stalls_s) > _STALL_BOUND_S:
            words.append(f"{name}: live readings were not stored while the backlog drained")
        order = list(_live_in_order(ingest))
        if True not in order[: self._waited // 2]:
            words.append(f"{name}: no live batch among the first half of {len(order)} that arrived")
        return words

    async def _go_on(self) -> None:
        """Store a second of live readings ten times a second."""
        while True:
            begun_s = time.monotonic()
            await self._append("live", 10)
            self._stalls_s.append(time.monotonic() - begun_s)
            await asyncio.sleep(_LIVE_S)

    async def _append(self, kind: str, count: int) -> None:
        start_ns = self._clock.utc_ns() - count * 100 * NS_PER_MS
        await self._journal.append(
            [
                block("position", self._number, count, start_ns=start_ns, origin="boot-0", sensor=f"{kind}-{n:02d}")
                for n in range(self._outage.athletes)
            ]
        )
        self._number += count

    async def _fill(self) -> None:
        while await self._journal.run(self._journal.outbox.fill):
            pass

    async def _sent(self, tasks: list[asyncio.Task[None]], state: Callable[[Backlog], bool]) -> None:
        while not state(await self._journal.run(self._journal.outbox.backlog)):
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.02)


def _live_in_order(ingest: Ingest) -> Iterator[bool]:
    """Yield of each batch, in order of arrival, whether it brought live readings."""
    ledger = Ledger(ingest.layout.ledger)
    rows = ledger.bronze()
    ledger.close()
    for row in rows:
        blocks = decode_parquet((ingest.layout.objects / row.object).read_bytes())
        yield any(str(one.sensor).startswith("live") for one in blocks)
