"""The durable journal: one writer thread, one transaction per group of readings, acknowledged after its commit."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from edge.sensors.base import Rejected
from edge.store.database import epoch, open_database, translated
from edge.store.outbox import Outbox
from edge.store.restamp import ClockStep, restamp
from edge.store.steps import read_steps, record_step
from shared.alerts import Alert
from shared.chunk_codec import decode_chunk, digest, encode_chunk
from shared.clock import NS_PER_MS, NS_PER_S, Clock
from shared.errors import DecodeError
from shared.ids import Epoch, SensorId
from shared.log import get_logger
from shared.readings import Gap, Readings

_log = get_logger("store")
SESSION_GAP_NS = 30 * 60 * NS_PER_S
"""Training that pauses for longer than this is another session."""
T = TypeVar("T")
_LATENCIES_KEPT = 512
_QUARANTINE_BODY_BYTES = 4096
# By sensor and reason: enough to find out what is wrong, and a neighbour's tags cannot fill the disk.
_QUARANTINE_KEPT = 1000
_QUARANTINE_SHOWN = 100


@dataclass(slots=True)
class JournalCounts:
    """What this run has written."""

    commits: int = 0
    readings: int = 0
    commit_ms: list[float] = field(default_factory=list)


class Journal:
    """Owner of the database. All its methods hand their work to the one writer thread."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")
        self.counts = JournalCounts()
        self._stored_before = int(connection.execute("SELECT coalesce(sum(readings), 0) FROM chunk").fetchone()[0])
        self.epoch: Epoch = epoch(connection)
        self.outbox = Outbox(connection, self.epoch, clock)

    @classmethod
    def open(cls, path: Path, clock: Clock, *, max_bytes: int) -> Self:
        """Open the database file."""
        return cls(open_database(path, max_bytes=max_bytes), clock)

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """Run `work` on the writer thread and return what it returns.

        Raises: StoreError (StoreFull, StoreCorrupt) for what SQLite raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._guarded, work, args)

    async def append(
        self, blocks: Sequence[Readings], rejected: Sequence[Rejected] = (), gaps: Sequence[Gap] = ()
    ) -> None:
        """Store readings, quarantined frames and gaps in one durable transaction."""
        if blocks or rejected or gaps:
            await self.run(self._append, blocks, rejected, gaps)

    async def store_alert(self, alert: Alert) -> None:
        """Store an alert, or its end."""
        await self.run(self._store_alert, alert)

    async def end_open_alerts(self, now_ns: int) -> None:
        """End the alerts that an earlier run left open: it cannot be known when they ended."""
        sql = "UPDATE alert SET ended_ns = ? WHERE ended_ns IS NULL"
        await self.run(lambda: self._connection.execute(sql, (now_ns,)))

    async def recent(self, limit: int) -> list[Readings]:
        """Return the blocks of the newest `limit` chunks, oldest first."""
        return await self.run(lambda: [block for _, blocks in self._chunks(self._tail(limit)) for block in blocks])

    async def chunks_after(self, position: int, limit: int) -> list[tuple[int, list[Readings]]]:
        """Return up to `limit` chunks after `position` with their ids."""
        return await self.run(lambda: list(self._chunks(position, limit)))

    async def totals(self) -> dict[str, int]:
        """Return readings stored, database bytes and what waits in the outbox."""
        return await self.run(self._totals)

    async def quarantined(self) -> list[tuple[str, str, int, int]]:
        """Return (sensor, reason, count, last_ns) of quarantined frames, newest first; the oldest are summed up."""
        sql = "SELECT sensor, reason, count, last_ns FROM quarantine_count ORDER BY last_ns DESC"
        rows = await self.run(lambda: self._connection.execute(sql).fetchall())
        shown, others = rows[:_QUARANTINE_SHOWN], rows[_QUARANTINE_SHOWN:]
        if others:
            shown.append((f"{len(others)} others", "various", sum(row[2] for row in others), others[0][3]))
        return shown

    async def gaps(self) -> list[tuple[str, str, int, int]]:
        """Return (stream, reason, count, last_ns) of recorded gaps, and of what the cloud would not take."""
        sql = (
            "SELECT stream, reason, sum(count), max(to_ns) FROM gap GROUP BY 1, 2 UNION ALL "
            "SELECT content, 'not taken by the cloud: ' || receipt, sum(count), max(receipt_ns) FROM batch "
            "WHERE receipt NOT IN ('stored', 'duplicate', 'split') GROUP BY 1, 2 ORDER BY 4 DESC LIMIT 100"
        )
        return await self.run(lambda: self._connection.execute(sql).fetchall())

    async def newest_ns(self) -> int:
        """Return when the newest chunk was stored by the wall clock, 0 before the first."""
        sql = "SELECT coalesce(max(stored_ns), 0) FROM chunk"
        return int(await self.run(lambda: self._connection.execute(sql).fetchone()[0]))

    async def set_clock(self, step: ClockStep) -> int:
        """Note that the machine's clock was set; return how many readings had gone into batches with the old time."""
        return await self.run(record_step, self._connection, step)

    async def gaps_after(self, position: int) -> tuple[list[Gap], int]:
        """Return the gaps recorded after row `position`, and the last row's number."""
        return await self.run(self._gaps_after, position)

    async def session(self, now_ns: int, gap_ns: int) -> tuple[int, int]:
        """Return the first chunk and the start of the session that goes on now.

        A pause of more than `gap_ns` ends a session; with nothing stored since, a new one starts now.
        """
        return await self.run(self._session, now_ns, gap_ns)

    def close(self) -> None:
        """Finish what is queued and close the file."""
        self._writer.shutdown(wait=True)
        self._connection.close()

    def _guarded(self, work: Callable[..., T], args: tuple[object, ...]) -> T:
        try:
            return work(*args)
        except sqlite3.Error as exc:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise translated(exc) from exc

    def _append(self, blocks: Sequence[Readings], rejected: Sequence[Rejected], gaps: Sequence[Gap]) -> None:
        started_ns = self._clock.mono_ns()
        connection = self._connection
        body = encode_chunk(blocks) if blocks else b""
        connection.execute("BEGIN IMMEDIATE")
        readings = sum(map(len, blocks))
        if blocks:
            connection.execute(
                "INSERT INTO chunk (stored_ns, readings, digest, body, boot, mono_ns) VALUES (?, ?, ?, ?, ?, ?)",
                (self._clock.utc_ns(), readings, digest(body), body, self._clock.boot_id, self._clock.mono_ns()),
            )
        self._quarantine(rejected)
        connection.executemany(
            "INSERT INTO gap (sensor, stream, from_ns, to_ns, count, reason) VALUES (?, ?, ?, ?, ?, ?)",
            [(g.sensor, g.stream, g.from_ns, g.to_ns, g.count, g.reason) for g in gaps],
        )
        connection.execute("COMMIT")
        self.counts.commits += 1
        self.counts.readings += readings
        self.counts.commit_ms.append((self._clock.mono_ns() - started_ns) / NS_PER_MS)
        del self.counts.commit_ms[:-_LATENCIES_KEPT]

    def _quarantine(self, rejected: Sequence[Rejected]) -> None:
        """Count frames by sensor and reason, and keep the bytes of the first of each."""
        for frame, reason in ((r.frame, r.reason) for r in rejected):
            self._connection.execute(
                "INSERT INTO quarantine_count VALUES (?, ?, 1, ?) "
                "ON CONFLICT (sensor, reason) DO UPDATE SET count = count + 1, last_ns = excluded.last_ns",
                (frame.sensor, reason, frame.received.utc_ns),
            )
            (count,) = self._connection.execute(
                "SELECT count FROM quarantine_count WHERE sensor = ? AND reason = ?", (frame.sensor, reason)
            ).fetchone()
            if count <= _QUARANTINE_KEPT:
                self._connection.execute(
                    "INSERT INTO quarantine (received_ns, sensor, channel, reason, body) VALUES (?, ?, ?, ?, ?)",
                    (frame.received.utc_ns, frame.sensor, frame.channel, reason, frame.body[:_QUARANTINE_BODY_BYTES]),
                )

    def _store_alert(self, alert: Alert) -> None:
        self._connection.execute(
            "INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET ended_ns = excluded.ended_ns",
            (
                alert.alert,
                alert.athlete,
                alert.rule,
                alert.severity.value,
                alert.cause,
                alert.why,
                alert.started_ns,
                alert.ended_ns,
            ),
        )

    def _gaps_after(self, position: int) -> tuple[list[Gap], int]:
        rows = self._connection.execute(
            "SELECT id, sensor, stream, from_ns, to_ns, count, reason FROM gap WHERE id > ? ORDER BY id", (position,)
        ).fetchall()
        gaps = [
            Gap(
                sensor=None if sensor is None else SensorId(sensor),
                stream=stream,
                from_ns=from_ns,
                to_ns=to_ns,
                count=count,
                reason=reason,
            )
            for _, sensor, stream, from_ns, to_ns, count, reason in rows
        ]
        return gaps, rows[-1][0] if rows else position

    def _session(self, now_ns: int, gap_ns: int) -> tuple[int, int]:
        later_ns, first = now_ns, 0
        live = "SELECT id, stored_ns FROM chunk WHERE source = 'live' ORDER BY id DESC"
        for row, stored_ns in self._connection.execute(live):
            if later_ns - stored_ns > gap_ns:
                break
            first, later_ns = row, stored_ns
        if first:
            return first, later_ns
        newest = self._connection.execute("SELECT coalesce(max(id), 0) FROM chunk").fetchone()[0]
        return int(newest) + 1, now_ns

    def _tail(self, limit: int) -> int:
        sql = "SELECT coalesce(min(id), 1) FROM (SELECT id FROM chunk WHERE source = 'live' ORDER BY id DESC LIMIT ?)"
        return int(self._connection.execute(sql, (limit,)).fetchone()[0]) - 1

    def _chunks(self, position: int, limit: int = 1_000_000_000) -> Iterator[tuple[int, list[Readings]]]:
        return read_chunks(self._connection, position, limit)

    def _totals(self) -> dict[str, int]:
        one = self._connection.execute
        pages = one("PRAGMA page_count").fetchone()[0] * one("PRAGMA page_size").fetchone()[0]
        return {"readings": self._stored_before + self.counts.readings, "database_bytes": pages}


def read_chunks(
    connection: sqlite3.Connection, position: int, limit: int, *, imported: bool = False
) -> Iterator[tuple[int, list[Readings]]]:
    """Yield chunks after `position` with their ids, each checked against its digest; imported files only if asked for.

    A damaged chunk comes without blocks: the outbox records it as a gap, and what follows it is still good.
    """
    steps = read_steps(connection)
    sql = "SELECT id, digest, body FROM chunk WHERE id > ? AND (source = 'live' OR ?) ORDER BY id LIMIT ?"
    for row, stored, body in connection.execute(sql, (position, imported, limit)):
        try:
            blocks = decode_chunk(body) if digest(body) == stored else None
        except DecodeError:
            blocks = None
        if blocks is None:
            _log.error("stored bytes are damaged", chunk=row)
        yield row, [restamp(block, steps) for block in blocks or []]
