"""The durable journal: one writer thread, one transaction per group of readings, acknowledged after its commit."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from edge.counters import JournalCounts
from edge.sensors.base import Rejected
from edge.store.adoption import adopt
from edge.store.chunks import read_rows
from edge.store.database import Connect, connect, epoch, file_bytes, limit_pages, not_opened, open_database, translated
from edge.store.notes import (
    gap_totals,
    gaps_after,
    gaps_told,
    keep_alert,
    keep_gaps,
    keep_rejected,
    quarantined,
    settle_gaps,
)
from edge.store.outbox import Outbox
from edge.store.packing import pack
from edge.store.past import Past, read_past
from edge.store.restamp import ClockStep
from edge.store.retention import StoredSession, retire, sessions
from edge.store.segments import ID_BITS, Segment, Segments, count_chunks
from edge.store.steps import read_steps, record_step
from edge.store.tail import SESSION_GAP_NS, Tail
from edge.store.tallies import TallyBook
from shared.alerts import Alert
from shared.clock import NS_PER_MS, NS_PER_S, Clock
from shared.errors import StoreError
from shared.ids import Epoch
from shared.readings import Gap, Readings
from shared.tally import NOTHING, Tallies

__all__ = ["SESSION_GAP_NS", "Journal"]
T = TypeVar("T")
_LATENCIES_KEPT = 512
# What readings leave of a full store to the book: without room for a batch nothing could be sent, and nothing removed.
_BOOK_BYTES = 96 * 1024**2


class Journal:
    """Owner of the gateway's database. Its methods hand their work to the one writer thread."""

    def __init__(self, path: Path, clock: Clock, *, max_bytes: int, connect: Connect = connect) -> None:
        """Raises: StoreError."""
        self._clock = clock
        self._max_bytes = max_bytes
        self._reserve = min(_BOOK_BYTES, max_bytes // 8)
        self._connection = open_database(path, max_bytes=max_bytes, connect=connect)
        try:
            self._segments = Segments(self._connection, path.parent, connect)
            self._segments.tidy()
            adopt(self._connection, self._segments, path.parent, clock.utc_ns())
            settle_gaps(self._connection)
            self._tail = Tail(self._segments, clock, max_bytes=max_bytes)
            self._set_limits()
        except (sqlite3.Error, StoreError) as exc:
            self._connection.close()
            if isinstance(exc, sqlite3.Error):
                raise not_opened(str(path), exc) from exc
            raise
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._packer = ThreadPoolExecutor(1, thread_name_prefix="pack")
        self.counts = JournalCounts()
        self.tallies = TallyBook(self._connection)
        self.outbox = Outbox(
            self._connection,
            self._segments,
            self._tail,
            epoch(self._connection),
            clock,
            window_bytes=self._reserve // 2,
        )

    @classmethod
    def open(cls, path: Path, clock: Clock, *, max_bytes: int, connect: Connect = connect) -> Self:
        """Open the database; `connect` opens its files.

        Raises: StoreError.
        """
        return cls(path, clock, max_bytes=max_bytes, connect=connect)

    @property
    def epoch(self) -> Epoch:
        """What batches are counted under."""
        return self.outbox.epoch

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """Run `work` on the writer thread and return what it returns.

        Raises: StoreError (StoreFull, StoreCorrupt) for what SQLite raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._guarded, work, args)

    async def append(
        self, blocks: Sequence[Readings], rejected: Sequence[Rejected] = (), gaps: Sequence[Gap] = ()
    ) -> None:
        """Store readings in one durable transaction, then quarantined frames and gaps in another."""
        if blocks:
            await self.run(self._append, blocks)
        await self.note(rejected, gaps)

    async def note(self, rejected: Sequence[Rejected], gaps: Sequence[Gap]) -> None:
        """Store quarantined frames and gaps in one durable transaction."""
        if rejected or gaps:
            await self.run(self._note, rejected, gaps)

    async def store_alert(self, alert: Alert) -> None:
        """Store an alert, or its end."""
        await self.run(keep_alert, self._connection, alert)

    async def end_open_alerts(self, now_ns: int) -> None:
        """End the alerts that an earlier run left open: it cannot be known when they ended."""
        sql = "UPDATE alert SET ended_ns = ? WHERE ended_ns IS NULL"
        await self.run(lambda: self._connection.execute(sql, (now_ns,)))

    async def fill(self, *, backlog: bool) -> int:
        """Make batches of all that is new, or of some that an older file still holds; return how many chunks they took.

        The writer thread stays free for readings while they are packed.
        """
        taken = target = 0
        while (plan := await self.run(lambda: self.outbox.plan(backlog=backlog))) is not None:
            target = target or plan.last
            packed = await self._beside(partial(pack, plan))
            taken += await self.run(self.outbox.keep, packed)
            if backlog or packed.reached >= target:
                break
        return taken

    async def _beside(self, work: Callable[[], T]) -> T:
        """Run what only reads on a thread of its own. Raises: StoreError."""

        def translating() -> T:
            try:
                return work()
            except sqlite3.Error as exc:
                raise translated(exc) from exc

        return await asyncio.get_running_loop().run_in_executor(self._packer, translating)

    async def refill(self, stream: str, from_ns: int, to_ns: int) -> int:
        """Put readings of a stream in [from_ns, to_ns) into batches again; return how many.

        The writer thread stays free for readings while they are packed.
        """
        outbox, count = self.outbox, 0
        for number in await self.run(outbox.holding, stream, from_ns, to_ns):
            after = 0
            while (plan := await self.run(outbox.plan_again, number, after)) is not None:
                work = partial(pack, plan, only=(stream, from_ns, to_ns))
                packed = await self._beside(work)
                count += await self.run(outbox.keep_again, packed)
                after = packed.reached
        return count

    async def tally_older(self) -> None:
        """Count by stream and hour what an older version sent, which kept no count: the cloud is asked about it too."""
        if not await self.run(self.outbox.has_uncounted):
            return
        after, counted = 0, Tallies()
        while (plan := await self.run(self.outbox.plan_again, 0, after)) is not None:
            packed = await self._beside(partial(pack, plan))
            for key, tally in packed.tallies.items():
                counted[key] = counted.get(key, NOTHING) + tally
            after = packed.reached
        await self.run(self.outbox.count_older, counted)

    async def recent(self, limit: int) -> list[Readings]:
        """Return the blocks of the newest `limit` commits, oldest first, and of those merged with the first of them."""
        return await self.run(self._recent, limit)

    async def chunks_after(self, position: int, limit: int) -> list[tuple[int, list[Readings]]]:
        """Return up to `limit` live chunks after `position` with their ids; a damaged one comes without blocks.

        The last commits are merged before: an id that was returned stays one.
        """
        plan = await self.run(self._plan_reading, position)
        return await self._beside(lambda: list(read_past(plan, position, limit)))

    async def totals(self) -> dict[str, int]:
        """Return readings stored, also those removed since, and the bytes that the store takes."""
        return await self.run(self._totals)

    async def quarantined(self) -> list[tuple[str, str, int, int]]:
        """Return (sensor, reason, count, last_ns) of quarantined frames, newest first; the oldest are summed up."""
        return await self.run(quarantined, self._connection)

    async def gaps(self) -> list[tuple[str, str, int, int]]:
        """Return (stream, reason, count, last_ns) of recorded gaps, and of what the cloud would not take."""
        return await self.run(gap_totals, self._connection)

    async def settle_gaps(self) -> None:
        """Make gap records of what was left out while room was short."""
        await self.run(settle_gaps, self._connection)

    async def gaps_after(self, position: int) -> tuple[list[Gap], int]:
        """Return gaps recorded after row `position`, some thousands at most, and the last row's number."""
        return await self.run(gaps_after, self._connection, position)

    async def untold_gaps(self) -> tuple[list[Gap], int]:
        """Return gaps that stand in no summary yet, some thousands at most, and what `add_summary` notes of them."""
        return await self.run(lambda: gaps_after(self._connection, gaps_told(self._connection)))

    async def newest_ns(self) -> int:
        """Return when the newest chunk was stored by the wall clock, 0 before the first."""
        return await self.run(lambda: self._tail.newest_ns)

    async def set_clock(self, step: ClockStep) -> int:
        """Note that the machine's clock was set; return how many readings had gone into batches with the old time."""
        return await self.run(self._set_clock, step)

    async def session(self, now_ns: int, gap_ns: int) -> tuple[int, int]:
        """Return the first chunk and the start of the session that goes on now.

        A pause of more than `gap_ns` ends a session; with nothing stored since, a new one starts now.
        """
        return await self.run(self._session, now_ns, gap_ns)

    async def sessions(self) -> list[StoredSession]:
        """Return the live sessions, newest first, and whether each is complete in the cloud."""
        return await self.run(lambda: sessions(self._connection, self._segments, self._tail))

    async def keep(self, *, keep_ns: int, pressed: bool, has_cloud: bool) -> int:
        """Remove files that are complete in the cloud and older than `keep_ns`, or the oldest of them when `pressed`.

        Return how many went. Without a cloud only age counts, and a gap says what went. A session that has paused too
        long is ended.
        """
        return await self.run(lambda: self._keep(keep_ns=keep_ns, pressed=pressed, has_cloud=has_cloud))

    def close(self) -> None:
        """Finish what is queued and close the files."""
        self._packer.shutdown(wait=True)
        self._writer.submit(self._tail.close)
        self._writer.shutdown(wait=True)
        self._connection.close()

    def _guarded(self, work: Callable[..., T], args: tuple[object, ...]) -> T:
        try:
            return work(*args)
        except sqlite3.Error as exc:
            raise translated(exc) from exc
        finally:  # also after a failure of ours: what others write would go down with a transaction left open
            for connection in (self._connection, self._tail.connection):
                if connection is not None and connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _append(self, blocks: Sequence[Readings]) -> None:
        started_ns = self._clock.mono_ns()
        before = self._tail.segment
        self._tail.append(blocks)
        if self._tail.segment is not before:
            with contextlib.suppress(sqlite3.Error, StoreError, OSError):  # the readings are stored in any case
                self._set_limits()
        self._counted(started_ns, sum(map(len, blocks)))

    def _note(self, rejected: Sequence[Rejected], gaps: Sequence[Gap]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        keep_rejected(self._connection, rejected)
        keep_gaps(self._connection, gaps)
        self._connection.execute("COMMIT")

    def _counted(self, started_ns: int, readings: int) -> None:
        counts = self.counts
        counts.commits += 1
        counts.readings += readings
        spent_ns = self._clock.mono_ns() - started_ns
        counts.took.add(spent_ns / NS_PER_S)
        counts.commit_ms.append(spent_ns / NS_PER_MS)
        del counts.commit_ms[:-_LATENCIES_KEPT]

    def _live(self) -> list[Segment]:
        return [segment for segment in self._segments.kept() if segment.source == "live"]

    def _recent(self, limit: int) -> list[Readings]:
        live = self._live()
        if not live:
            return []
        connection = self._segments.read(live[-1])
        if connection is None:
            return []
        try:
            newest = max(count_chunks(connection)[0], live[-1].first_id)
            rows = list(read_rows(connection, max(newest - limit, live[-1].first_id - 1), limit))
        finally:
            connection.close()
        return [block for row in rows if row.source == "live" for block in row.blocks or ()]

    def _plan_reading(self, position: int) -> Past:
        self._tail.merge()
        live = [segment for segment in self._live() if segment.number >= position >> ID_BITS]
        return Past(self._segments, live, read_steps(self._connection))

    def _session(self, now_ns: int, gap_ns: int) -> tuple[int, int]:
        live = self._live()
        newest = live[-1] if live else None
        if newest is None or now_ns - self._tail.newest_ns > gap_ns or not newest.file:
            number = newest.number + 1 if newest else 1
            return (number << ID_BITS) + 1, now_ns
        same = [segment for segment in live if segment.session_ns == newest.session_ns]
        return same[0].first_id, newest.session_ns

    def _set_clock(self, step: ClockStep) -> int:
        self._tail.merge()
        gone = record_step(self._connection, self._segments, self._tail, step)
        self._tail.moved()
        return gone

    def _totals(self) -> dict[str, int]:
        (sealed,) = self._connection.execute(
            "SELECT coalesce(sum(readings), 0) FROM segment WHERE sealed_ns IS NOT NULL"
        ).fetchone()
        size_bytes = file_bytes(self._connection) + sum(self._segments.sizes().values())
        return {"readings": int(sealed) + self._tail.readings, "database_bytes": size_bytes}

    def _keep(self, *, keep_ns: int, pressed: bool, has_cloud: bool) -> int:
        removed = retire(
            self._connection,
            self._segments,
            now_ns=self._clock.utc_ns(),
            keep_ns=keep_ns,
            pressed=pressed,
            has_cloud=has_cloud,
        )
        self._connection.execute("PRAGMA incremental_vacuum(2000)").fetchall()
        self._set_limits()
        self._tail.end_session()  # last: it takes room
        return removed

    def _set_limits(self) -> None:
        """Share what the store may take among its files; their logs, a few megabytes, come on top."""
        sizes = self._segments.sizes(logs=False)
        own = sizes.pop(self._tail.segment.number, 0) if self._tail.segment is not None else 0
        others, book = sum(sizes.values()), file_bytes(self._connection)
        self._tail.limit(self._max_bytes - self._reserve - others - book)
        limit_pages(self._connection, self._max_bytes - others - own)
