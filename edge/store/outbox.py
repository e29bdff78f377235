"""The outbox: journal chunks become batches whose exact bytes are kept before the first attempt to send them.

A receipt frees the bytes, not the row. Encoding again would not give the same bytes, so nothing is encoded twice.
All functions run on the journal's writer thread.
"""

import sqlite3
from collections import defaultdict
from dataclasses import dataclass

import msgspec

from edge.store.restamp import restamp
from edge.store.steps import read_steps
from shared.batch import BatchHeader, Lane, SessionSummary, sha256_hex
from shared.chunk_codec import decode_chunk, digest
from shared.clock import Clock
from shared.errors import DecodeError
from shared.ids import Epoch
from shared.parquet_codec import SCHEMA_VERSION, decode_parquet, encode_parquet
from shared.readings import Readings, select

_CURSOR = "outbox"
# Bounds one batch far below the cloud's 4 MiB: about a minute of 60 athletes at 25 Hz.
_MAX_READINGS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A batch to send."""

    header: BatchHeader
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits for a receipt, and what was refused for good."""

    batches: int
    size_bytes: int
    oldest_ns: int | None
    sent: int
    refused: int


class Outbox:
    """Batches of one database epoch."""

    def __init__(self, connection: sqlite3.Connection, epoch: Epoch, clock: Clock) -> None:
        self._connection = connection
        self._epoch = epoch
        self._clock = clock

    def fill(self) -> int:
        """Make batches, one per stream, of the journal's next chunks; return how many chunks were taken.

        A chunk that does not match its digest is recorded as a gap and left out.
        """
        position = self._position()
        rows = self._connection.execute(
            "SELECT id, stored_ns, readings, digest, body FROM chunk WHERE id > ? ORDER BY id", (position,)
        )
        steps = read_steps(self._connection)
        by_stream: dict[str, list[Readings]] = defaultdict(list)
        damaged: list[tuple[int, int, int]] = []
        taken = readings = 0
        last = position
        for row, stored_ns, count, stored, body in rows:
            if readings + count > _MAX_READINGS and taken:
                break
            try:
                blocks = decode_chunk(body) if digest(body) == stored else None
            except DecodeError:
                blocks = None
            if blocks is None:
                damaged.append((stored_ns, stored_ns, count))
            for block in blocks or ():
                by_stream[block.stream].append(restamp(block, steps))
            taken, readings, last = taken + 1, readings + count, row
        if taken:
            bodies = [(name, encode_parquet(blocks), sum(map(len, blocks))) for name, blocks in by_stream.items()]
            self._store(bodies, damaged, last)
        return taken

    def add_summary(self, summary: SessionSummary) -> None:
        """Add a summary batch; it is sent before any raw one."""
        body = msgspec.json.encode(summary)
        self._insert(Lane.SUMMARY, "summary", body, len(summary.metrics))

    def next_pending(self, gateway: str) -> Pending | None:
        """Return the next batch to send: summaries first, then by sequence number."""
        row = self._connection.execute(
            "SELECT seq, lane, content, sha256, count, schema, body FROM batch WHERE receipt IS NULL "
            "ORDER BY lane = 'summary' DESC, seq LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        seq, lane, content, sha256, count, schema, body = row
        header = BatchHeader(
            gateway=gateway,
            epoch=self._epoch,
            seq=seq,
            lane=Lane(lane),
            content=content,
            sha256=sha256,
            count=count,
            schema=schema,
        )
        return Pending(header=header, body=body)

    def record_receipt(self, seq: int, status: str) -> None:
        """Note what became of a batch; the bytes are let go only when the cloud has them."""
        keep = status not in ("stored", "duplicate")
        self._connection.execute(
            "UPDATE batch SET receipt = ?, receipt_ns = ?, body = CASE WHEN ? THEN body END WHERE seq = ?",
            (status, self._clock.utc_ns(), keep, seq),
        )

    def split(self, batch: Pending) -> int:
        """Replace a batch that is too large by two halves, and return how many parts it made.

        One reading, or a summary, cannot be cut: it is set aside with its bytes.
        """
        seq, header = batch.header.seq, batch.header
        blocks = decode_parquet(batch.body) if header.content != "summary" else []
        halves = _halves(blocks)
        if not halves:
            self.record_receipt(seq, "too large")
            return 1
        self._connection.execute("BEGIN IMMEDIATE")
        for half in halves:
            self._insert(header.lane, header.content, encode_parquet(half), sum(map(len, half)))
        self._connection.execute(
            "UPDATE batch SET receipt = 'split', receipt_ns = ?, body = NULL WHERE seq = ?", (self._clock.utc_ns(), seq)
        )
        self._connection.execute("COMMIT")
        return len(halves)

    def reclaim(self, chunks: int) -> int:
        """Delete up to `chunks` of the oldest chunks whose readings stand in batches already; return how many went.

        Nothing unsent is lost: a batch keeps its own bytes until the receipt.
        """
        deleted = self._connection.execute(
            "DELETE FROM chunk WHERE id IN (SELECT id FROM chunk WHERE id <= ? ORDER BY id LIMIT ?)",
            (self._position(), chunks),
        )
        return deleted.rowcount

    def backlog(self) -> Backlog:
        """Return what waits."""
        batches, size_bytes, oldest_ns = self._connection.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0), min(created_ns) FROM batch WHERE receipt IS NULL"
        ).fetchone()
        unsent_ns = self._connection.execute(
            "SELECT stored_ns FROM chunk WHERE id > ? ORDER BY id LIMIT 1", (self._position(),)
        ).fetchone()
        times = [ns for ns in (oldest_ns, unsent_ns[0] if unsent_ns else None) if ns is not None]
        sent, refused = self._connection.execute(
            "SELECT coalesce(sum(receipt IN ('stored', 'duplicate')), 0), "
            "coalesce(sum(receipt NOT IN ('stored', 'duplicate', 'split')), 0) FROM batch WHERE receipt IS NOT NULL"
        ).fetchone()
        return Backlog(
            batches=batches,
            size_bytes=size_bytes,
            oldest_ns=min(times) if times else None,
            sent=sent,
            refused=refused,
        )

    def _position(self) -> int:
        row = self._connection.execute("SELECT position FROM cursor WHERE name = ?", (_CURSOR,)).fetchone()
        return int(row[0]) if row else 0

    def _store(self, bodies: list[tuple[str, bytes, int]], damaged: list[tuple[int, int, int]], last: int) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for content, body, count in bodies:
            self._insert(Lane.RAW, content, body, count)
        connection.executemany(
            "INSERT INTO gap (sensor, stream, from_ns, to_ns, count, reason) "
            "VALUES (NULL, 'all', ?, ?, ?, 'stored bytes were damaged')",
            damaged,
        )
        connection.execute(
            "INSERT INTO cursor VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET position = excluded.position",
            (_CURSOR, last),
        )
        connection.execute("COMMIT")

    def _insert(self, lane: Lane, content: str, body: bytes, count: int) -> None:
        self._connection.execute(
            "INSERT INTO batch (seq, lane, content, sha256, count, schema, created_ns, body) "
            "VALUES ((SELECT coalesce(max(seq), -1) + 1 FROM batch), ?, ?, ?, ?, ?, ?, ?)",
            (lane.value, content, sha256_hex(body), count, SCHEMA_VERSION, self._clock.utc_ns(), body),
        )


def _halves(blocks: list[Readings]) -> list[list[Readings]]:
    """Return blocks cut into two parts of about as many readings each; none where there is one reading at most."""
    total = sum(map(len, blocks))
    if total < 2:
        return []
    first: list[Readings] = []
    second: list[Readings] = []
    room = total // 2
    for block in blocks:
        taken = min(room, len(block))
        if taken:
            first.append(select(block, slice(0, taken)))
        if taken < len(block):
            second.append(select(block, slice(taken, len(block))))
        room -= taken
    return [first, second]
