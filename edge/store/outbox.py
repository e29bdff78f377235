"""The outbox: journal chunks become batches whose exact bytes are kept before the first attempt to send them.

A receipt frees the bytes, not the row. Encoding again would not give the same bytes, so nothing is encoded twice. No
more is made ready than the uplink needs for a while: what waits longer waits in the journal, once. `plan` and `keep`
run on the journal's writer thread, `pack` on any.
"""

import sqlite3
from dataclasses import dataclass

import msgspec

from edge.store.backlog import Backlog, read_backlog, unfilled_live
from edge.store.notes import tell_gaps
from edge.store.packing import Packed, Plan, pack
from edge.store.segments import Segments
from edge.store.steps import read_steps
from edge.store.tail import Tail
from edge.store.tallies import keep_tallies
from shared.batch import BatchHeader, Lane, SessionSummary, sha256_hex
from shared.clock import Clock
from shared.ids import Epoch, new_epoch
from shared.log import get_logger
from shared.readings import Readings, select
from shared.tally import NS_PER_HOUR, Tallies

_log = get_logger("store")
# What of the window an older session may fill.
_BACKLOG_SHARE = 0.7
# A live file with more than this to send is ended, so that what comes now need not wait behind it.
_FRESH_READINGS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A batch to send."""

    header: BatchHeader
    body: bytes
    is_fresh: bool = False
    """Whether it is a summary or tells of now; the others wait for these."""


class Outbox:
    """Batches of one database; `epoch` is what their numbers count within."""

    def __init__(
        self,
        book: sqlite3.Connection,
        segments: Segments,
        tail: Tail,
        epoch: Epoch,
        clock: Clock,
        *,
        window_bytes: int,
    ) -> None:
        """`window_bytes` bounds what waits in raw batches, but for the last one made."""
        self._window_bytes = window_bytes
        self._book = book
        self._segments = segments
        self._tail = tail
        self.epoch = epoch
        self._clock = clock
        self._sent, self._refused = self._count_receipts()

    def fill(self) -> int:
        """Make batches, one per stream, of the journal's next chunks; return how many chunks were taken."""
        plan = self.plan(backlog=False) or self.plan(backlog=True)
        return self.keep(pack(plan)) if plan is not None else 0

    def plan(self, *, backlog: bool) -> Plan | None:
        """Return what to make batches of next: of the live file, or of the oldest that has something left.

        None when there is nothing, or enough is waiting.
        """
        waiting = self._waiting_bytes()
        if waiting >= self._window_bytes * (_BACKLOG_SHARE if backlog else 1.0):
            return None
        live = self._tail.segment
        if not backlog:
            if live is None:
                return None
            self._tail.merge()
            filled = self._segments.get(live.number).filled
            if self._tail.last <= max(filled, live.first_id - 1):
                return None
            if waiting and unfilled_live(self._book, self._tail) > _FRESH_READINGS:
                self._tail.seal(goes_on=True)
            return self._plan_of(live.number, self._tail.last or filled)
        for segment in self._segments.kept():
            if segment.sealed_ns is not None and segment.filled < segment.last:
                return self._plan_of(segment.number, segment.last)
        return None

    def keep(self, packed: Packed) -> int:
        """Store batches and how far they reach, in one transaction; return how many chunks they hold."""
        plan = packed.plan
        if self._segments.get(plan.segment).filled != plan.filled:
            return 0  # another fill was faster
        book = self._book
        book.execute("BEGIN IMMEDIATE")
        for content, body, count in packed.bodies:
            self._insert(Lane.RAW, content, body, count, segment=plan.segment)
        book.executemany(
            "INSERT INTO gap (sensor, stream, from_ns, to_ns, count, reason) VALUES (NULL, 'all', ?, ?, ?, ?)",
            packed.damaged,
        )
        keep_tallies(book, plan.segment, packed.tallies)
        book.execute("UPDATE segment SET filled = ? WHERE number = ?", (packed.reached, plan.segment))
        live = self._tail.segment
        if live is not None and live.number == plan.segment:  # told to a book that may outlive the file
            book.execute(
                "UPDATE segment SET last = ?, readings = ?, ended_ns = ? WHERE number = ?",
                (self._tail.last, self._tail.readings, self._tail.newest_ns, live.number),
            )
        book.execute("COMMIT")
        return packed.chunks

    def add_summary(self, summary: SessionSummary, gaps_told: int | None = None) -> None:
        """Add a summary batch, and note up to which gap all were told; it is sent before any raw one."""
        self._book.execute("BEGIN IMMEDIATE")
        self._insert(Lane.SUMMARY, "summary", msgspec.json.encode(summary), len(summary.metrics), segment=None)
        if gaps_told is not None:
            tell_gaps(self._book, gaps_told)
        self._book.execute("COMMIT")

    def summaries_waiting(self) -> int:
        """Return how many summaries have no receipt."""
        sql = "SELECT count(*) FROM batch WHERE receipt IS NULL AND lane = 'summary'"
        return int(self._book.execute(sql).fetchone()[0])

    def next_pending(self, gateway: str, *, fresh_ns: int | None = None, skip: int = 0) -> Pending | None:
        """Return the next batch to send: summaries first, then the live file's since `fresh_ns`, then the others.

        Within each the oldest goes first; `skip` passes over as many, which are on their way already.
        """
        live = self._tail.segment
        row = self._book.execute(
            # The inner query sorts without reading any body.
            "SELECT epoch, seq, lane, content, sha256, count, schema, body, fresh FROM batch JOIN ("
            "SELECT id, lane = 'summary' OR (created_ns >= ? AND segment IS ?) AS fresh FROM batch "
            "WHERE receipt IS NULL ORDER BY lane = 'summary' DESC, fresh DESC, id LIMIT 1 OFFSET ?) USING (id)",
            (2**62 if fresh_ns is None else fresh_ns, live.number if live is not None else -1, skip),
        ).fetchone()
        if row is None:
            return None
        epoch, seq, lane, content, sha256, count, schema, body, is_fresh = row
        header = BatchHeader(
            gateway=gateway,
            epoch=epoch,
            seq=seq,
            lane=Lane(lane),
            content=content,
            sha256=sha256,
            count=count,
            schema=schema,
        )
        return Pending(header=header, body=body, is_fresh=bool(is_fresh))

    def record_receipt(self, epoch: str, seq: int, status: str) -> None:
        """Note what became of a batch; the bytes are let go only when the cloud has them."""
        done = status in ("stored", "duplicate")
        noted = self._book.execute(
            "UPDATE batch SET receipt = ?, receipt_ns = ?, body = CASE WHEN ? THEN NULL ELSE body END "
            "WHERE epoch = ? AND seq = ? AND receipt IS NULL",
            (status, self._clock.utc_ns(), done, epoch, seq),
        )
        self._sent += noted.rowcount * done
        self._refused += noted.rowcount * (not done)

    def split(self, batch: Pending) -> int:
        """Replace a batch that is too large by two halves, and return how many parts it made.

        One reading, or a summary, cannot be cut: it is set aside with its bytes.
        """
        from shared.parquet_codec import decode_parquet, encode_parquet  # noqa: PLC0415  as in `packing`

        header = batch.header
        blocks = decode_parquet(batch.body) if header.content != "summary" else []
        halves = _halves(blocks)
        if not halves:
            self.record_receipt(header.epoch, header.seq, "too large")
            return 1
        self._book.execute("BEGIN IMMEDIATE")
        (segment,) = self._book.execute(
            "SELECT segment FROM batch WHERE epoch = ? AND seq = ?", (header.epoch, header.seq)
        ).fetchone()
        for half in halves:
            self._insert(header.lane, header.content, encode_parquet(half), sum(map(len, half)), segment=segment)
        self._book.execute(
            "UPDATE batch SET receipt = 'split', receipt_ns = ?, body = NULL WHERE epoch = ? AND seq = ?",
            (self._clock.utc_ns(), header.epoch, header.seq),
        )
        self._book.execute("COMMIT")
        return len(halves)

    def refill(self, stream: str, from_ns: int, to_ns: int) -> int:
        """Put readings of a stream in [from_ns, to_ns) into new batches again; return how many readings.

        Only what was in batches before; the cloud takes out what it has twice.
        """
        count = 0
        for number in self.holding(stream, from_ns, to_ns):
            after = 0
            while (plan := self.plan_again(number, after)) is not None:
                packed = pack(plan, only=(stream, from_ns, to_ns))
                count += self.keep_again(packed)
                after = packed.reached
        return count

    def holding(self, stream: str, from_ns: int, to_ns: int) -> list[int]:
        """Return the kept segments that gave readings of a stream in [from_ns, to_ns) to batches.

        Those of older versions may have: they were not counted.
        """
        rows = self._book.execute(
            "SELECT DISTINCT segment FROM tally WHERE stream = ? AND hour BETWEEN ? AND ?",
            (stream, from_ns // NS_PER_HOUR, (to_ns - 1) // NS_PER_HOUR),
        )
        counted = {number for (number,) in rows} | {0}
        return [segment.number for segment in self._segments.kept() if segment.number in counted]

    def plan_again(self, number: int, after: int) -> Plan | None:
        """Return what to read next of a segment whose readings are sent again, None at its end."""
        segment = self._segments.get(number)
        after = max(after, segment.first_id - 1 if segment.file else 0)
        if segment.removed_ns is not None or after >= segment.filled:
            return None
        return self._plan_of(number, segment.filled, after=after)

    def keep_again(self, packed: Packed) -> int:
        """Store batches of what is sent again; return how many readings they hold."""
        self._book.execute("BEGIN IMMEDIATE")
        for content, body, readings in packed.bodies:
            self._insert(Lane.RAW, content, body, readings, segment=packed.plan.segment)
        self._book.execute("COMMIT")
        return sum(readings for _, _, readings in packed.bodies)

    def has_uncounted(self) -> bool:
        """Return whether batches hold readings of an older version's chunks that were never counted by the hour."""
        sql = (
            "SELECT 1 FROM segment WHERE number = 0 AND removed_ns IS NULL AND filled > 0 "
            "AND NOT EXISTS (SELECT 1 FROM tally WHERE segment = 0)"
        )
        return self._book.execute(sql).fetchone() is not None

    def count_older(self, counted: Tallies) -> None:
        """Keep the tallies of an older version's chunks."""
        self._book.execute("BEGIN IMMEDIATE")
        keep_tallies(self._book, 0, counted)
        self._book.execute("COMMIT")

    def renew_epoch(self, why: str) -> Epoch:
        """Count from 0 under a new random name; what has no receipt, or one of conflict, is sent under it unchanged.

        For a database that is not the only one with its name any more: a restored backup, a copied card.
        """
        fresh = new_epoch()
        self._book.execute("BEGIN IMMEDIATE")
        rows = self._book.execute(
            "SELECT id FROM batch WHERE receipt IS NULL OR (receipt = 'conflict' AND body IS NOT NULL) ORDER BY id"
        ).fetchall()
        self._book.executemany(
            "UPDATE batch SET epoch = ?, seq = ?, receipt = NULL, receipt_ns = NULL WHERE id = ?",
            [(fresh, seq, row_id) for seq, (row_id,) in enumerate(rows)],
        )
        self._book.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (fresh,))
        self._book.execute("COMMIT")
        _log.warning("batches are counted under a new epoch", why=why, moved=len(rows), before=self.epoch, now=fresh)
        self.epoch = fresh
        self._sent, self._refused = self._count_receipts()
        return fresh

    def highest_seq(self) -> int:
        """Return the highest number given in this epoch, -1 before the first."""
        sql = "SELECT coalesce(max(seq), -1) FROM batch WHERE epoch = ?"
        return int(self._book.execute(sql, (self.epoch,)).fetchone()[0])

    def has_room(self) -> bool:
        """Return whether less waits in raw batches than should."""
        return self._waiting_bytes() < self._window_bytes

    def has_backlog(self) -> bool:
        """Return whether files that are ended hold readings that stand in no batch yet."""
        sql = "SELECT 1 FROM segment WHERE sealed_ns IS NOT NULL AND removed_ns IS NULL AND filled < last LIMIT 1"
        return self._book.execute(sql).fetchone() is not None

    def backlog(self) -> Backlog:
        """Return what waits."""
        return read_backlog(self._book, self._segments, self._tail, sent=self._sent, refused=self._refused)

    def _plan_of(self, number: int, last: int, *, after: int | None = None) -> Plan:
        segment = self._segments.get(number)
        return Plan(
            path=self._segments.path(segment),
            segment=number,
            filled=segment.filled,
            after=max(segment.filled, segment.first_id - 1 if segment.file else 0) if after is None else after,
            last=last,
            knows_last=segment.knows_last or last != segment.last,
            readings=segment.readings,
            steps=read_steps(self._book),
            time_ns=segment.begun_ns,
            connect=self._segments.connect,
        )

    def _waiting_bytes(self) -> int:
        sql = "SELECT coalesce(sum(length(body)), 0) FROM batch WHERE receipt IS NULL AND lane = 'raw'"
        return int(self._book.execute(sql).fetchone()[0])

    def _count_receipts(self) -> tuple[int, int]:
        sent, refused = self._book.execute(
            "SELECT coalesce(sum(receipt IN ('stored', 'duplicate')), 0), "
            "coalesce(sum(receipt NOT IN ('stored', 'duplicate', 'split')), 0) FROM batch WHERE receipt IS NOT NULL"
        ).fetchone()
        return int(sent), int(refused)

    def _insert(self, lane: Lane, content: str, body: bytes, count: int, *, segment: int | None) -> None:
        from shared.parquet_codec import SCHEMA_VERSION  # noqa: PLC0415

        self._book.execute(
            "INSERT INTO batch (epoch, seq, segment, lane, content, sha256, count, schema, created_ns, body) "
            "VALUES (?1, (SELECT coalesce(max(seq), -1) + 1 FROM batch WHERE epoch = ?1), ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.epoch, segment, lane.value, content, sha256_hex(body), count, SCHEMA_VERSION,
                self._clock.utc_ns(), body,
            ),
        )  # fmt: skip


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
