"""What waits for the cloud: in batches, and in the journal. Functions of the journal's writer thread."""

import sqlite3
from dataclasses import dataclass

from edge.store.segments import Segments
from edge.store.tail import Tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits for a receipt, and what was refused for good; `readings` are those that stand in no batch yet."""

    batches: int
    size_bytes: int
    readings: int
    oldest_ns: int | None
    sent: int
    refused: int


def read_backlog(book: sqlite3.Connection, segments: Segments, tail: Tail, *, sent: int, refused: int) -> Backlog:
    """Return what waits; `sent` and `refused` are counted where receipts come in."""
    batches, size_bytes, oldest_ns = book.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0), min(created_ns) FROM batch WHERE receipt IS NULL"
    ).fetchone()
    readings = unfilled_live(book, tail)
    times = [oldest_ns] if oldest_ns is not None else []
    for segment in segments.kept():
        live = tail.segment is not None and segment.number == tail.segment.number
        if live and readings:
            times.append(tail.newest_ns if segment.filled else segment.begun_ns)
        elif not live and segment.filled < segment.last:
            readings += segment.readings if segment.filled < segment.first_id else 0
            times.append(segment.begun_ns)
    return Backlog(
        batches=batches,
        size_bytes=size_bytes,
        readings=readings,
        oldest_ns=min(times) if times else None,
        sent=sent,
        refused=refused,
    )


def unfilled_live(book: sqlite3.Connection, tail: Tail) -> int:
    """Return the readings of the file that is written to that stand in no batch yet."""
    if tail.segment is None or tail.connection is None:
        return 0
    (filled,) = book.execute("SELECT filled FROM segment WHERE number = ?", (tail.segment.number,)).fetchone()
    sql = (
        "SELECT (SELECT coalesce(sum(readings), 0) FROM chunk WHERE id > ?1) "
        "+ (SELECT coalesce(sum(readings), 0) FROM tail WHERE id > ?1)"
    )
    return int(tail.connection.execute(sql, (filled,)).fetchone()[0])
