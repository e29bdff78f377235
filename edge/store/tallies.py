"""The book's tallies: what each segment gave to the outbox by stream and hour, and what of it the cloud agreed to.

All functions run on the journal's writer thread.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable

from shared.batch import MAX_RANGES, SeqRange, StreamHour
from shared.tally import NOTHING, Tallies, Tally


def keep_tallies(connection: sqlite3.Connection, segment: int, added: Tallies) -> None:
    """Add to a segment's tallies; call it in the transaction that adds the batches.

    What was agreed of such a stream-hour is so no longer.
    """
    for (stream, hour), tally in added.items():
        before = connection.execute(
            "SELECT count, digest FROM tally WHERE segment = ? AND stream = ? AND hour = ?", (segment, stream, hour)
        ).fetchone()
        # Added here: SQLite turns a sum beyond 64 bits into a rounded number.
        total = tally + (Tally(*before) if before else NOTHING)
        connection.execute(
            "INSERT INTO tally (segment, stream, hour, count, digest) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (segment, stream, hour) DO UPDATE "
            "SET count = excluded.count, digest = excluded.digest, agreed_ns = NULL",
            (segment, stream, hour, total.count, total.digest),
        )


class TallyBook:
    """What the cloud must hold, and what of it the cloud agreed to."""

    def __init__(self, book: sqlite3.Connection) -> None:
        self._book = book

    def unagreed(self) -> list[StreamHour]:
        """Return, oldest first, the stream-hours not agreed to whose batches all have receipts."""
        return self._settled("agreed_ns IS NULL")

    def waiting(self) -> int:
        """Return how many stream-hours the cloud has not agreed to, also those that are on their way."""
        sql = "SELECT count(*) FROM (SELECT DISTINCT stream, hour FROM tally WHERE agreed_ns IS NULL)"
        return int(self._book.execute(sql).fetchone()[0])

    def kept(self) -> list[StreamHour]:
        """Return `unagreed`, and what was agreed to and can still be sent again."""
        removed = "(SELECT number FROM segment WHERE removed_ns IS NOT NULL)"
        return self._settled(f"agreed_ns IS NULL OR segment NOT IN {removed}")

    def agree(self, lines: Iterable[StreamHour], now_ns: int) -> None:
        """Note what the cloud agreed to, where nothing was added since it was asked."""
        for line in lines:
            if self._total(line.stream, line.hour) == Tally(line.count, line.digest):
                self._book.execute(
                    "UPDATE tally SET agreed_ns = ? WHERE stream = ? AND hour = ?", (now_ns, line.stream, line.hour)
                )

    def disagree(self, lines: Iterable[StreamHour]) -> None:
        """Note that the cloud does not hold these stream-hours as they stand here."""
        sql = "UPDATE tally SET agreed_ns = NULL WHERE stream = ? AND hour = ?"
        self._book.executemany(sql, [(line.stream, line.hour) for line in lines])

    def taken(self) -> list[SeqRange]:
        """Return the numbers under which the cloud took raw batches of ours, without the holes if that is too long."""
        rows = self._book.execute(
            "SELECT epoch, min(seq), max(seq) FROM (SELECT epoch, seq, receipt IN ('stored', 'duplicate') AS ours, "
            "seq - row_number() OVER (PARTITION BY epoch, receipt IN ('stored', 'duplicate') ORDER BY seq) AS run "
            "FROM batch) WHERE ours GROUP BY epoch, run ORDER BY epoch, 2"
        ).fetchall()
        if len(rows) > MAX_RANGES:
            ends: dict[str, tuple[int, int]] = {}
            for epoch, first, last in rows:
                ends[epoch] = (ends.get(epoch, (first, 0))[0], last)
            rows = [(epoch, *both) for epoch, both in ends.items()]
        return [SeqRange(epoch=epoch, first=first, last=last) for epoch, first, last in rows]

    def _settled(self, which: str) -> list[StreamHour]:
        """Return the sums over all segments of the stream-hours that have a row like `which`.

        A stream with a raw batch on its way is left out: the cloud cannot have it all yet.
        """
        rows = self._book.execute(
            "SELECT stream, hour, count, digest FROM tally WHERE (stream, hour) IN "  # noqa: S608  fixed words
            f"(SELECT stream, hour FROM tally WHERE {which}) "
            "AND stream NOT IN (SELECT content FROM batch WHERE receipt IS NULL AND lane = 'raw') ORDER BY hour, stream"
        )
        sums: dict[tuple[str, int], Tally] = defaultdict(lambda: NOTHING)
        for stream, hour, count, digest in rows:
            sums[stream, hour] += Tally(count, digest)
        return [
            StreamHour(stream=stream, hour=hour, count=tally.count, digest=tally.digest)
            for (stream, hour), tally in sums.items()
        ]

    def _total(self, stream: str, hour: int) -> Tally:
        total = NOTHING
        sql = "SELECT count, digest FROM tally WHERE stream = ? AND hour = ?"
        for count, digest in self._book.execute(sql, (stream, hour)):
            total += Tally(count, digest)
        return total
