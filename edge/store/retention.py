"""Which of the journal's files may go, and what is known of each session. Functions of the journal's writer thread.

A file goes whole, and only when everything in it is complete in the cloud: every chunk stands in a batch, every batch
has a receipt, and the cloud's own count of each stream and hour agrees.
"""

import sqlite3
from collections import defaultdict
from dataclasses import dataclass

from edge.store.segments import Segment, Segments
from edge.store.tail import Tail
from shared.clock import NS_PER_S
from shared.log import get_logger

_log = get_logger("store")
_UNSENT = (
    "SELECT count(*) FROM batch WHERE segment = ? "
    "AND (receipt IS NULL OR receipt NOT IN ('stored', 'duplicate', 'split', 'damaged'))"
)
# An import takes seconds to minutes; what is not ended after a day was killed, and counts as never begun.
_IMPORT_NS = 86_400 * NS_PER_S
_OPEN = "SELECT count(*) FROM tally WHERE segment = ? AND agreed_ns IS NULL"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A live session: when, how much, `unsent_batches` without a receipt, and whether the cloud has all of it."""

    session_ns: int
    ended_ns: int
    readings: int
    size_bytes: int
    unsent_batches: int
    complete: bool
    removed: bool


def retire(
    book: sqlite3.Connection, segments: Segments, *, now_ns: int, keep_ns: int, pressed: bool, has_cloud: bool
) -> int:
    """Remove the files that may go: all past `keep_ns`, and one more, the oldest, when the store is `pressed`.

    Return how many went, imports that were broken off not counted.
    """
    removed = 0
    for segment in segments.kept():
        if segment.source == "file" and segment.sealed_ns is None and now_ns - segment.begun_ns > _IMPORT_NS:
            segments.remove(segment, now_ns)
            _log.warning("an import that was broken off is removed", file=segment.file)
            continue
        old = now_ns - segment.ended_ns > keep_ns
        if segment.sealed_ns is None or not (old or (pressed and not removed)):
            continue
        if has_cloud and not is_complete(book, segment):
            continue
        if not has_cloud:
            if not old:
                continue
            _tell(book, segment)
        segments.remove(segment, now_ns)
        removed += 1
        _log.info("a file of the journal was removed", file=segment.file or "chunks of an older version")
    return removed


def is_complete(book: sqlite3.Connection, segment: Segment) -> bool:
    """Return whether the cloud has everything of a file, by its receipts and by its own count."""
    return (
        segment.sealed_ns is not None
        and segment.filled >= segment.last
        and not book.execute(_UNSENT, (segment.number,)).fetchone()[0]
        and not book.execute(_OPEN, (segment.number,)).fetchone()[0]
        and (segment.number > 0 or book.execute("SELECT 1 FROM tally WHERE segment = 0").fetchone() is not None)
    )


def sessions(book: sqlite3.Connection, segments: Segments, tail: Tail) -> list[StoredSession]:
    """Return the live sessions, newest first."""
    sizes = segments.sizes()
    members: dict[int, list[Segment]] = defaultdict(list)
    for segment in segments.all():
        if segment.source == "live":
            members[segment.session_ns].append(segment)
    found = []
    for session_ns, parts in members.items():
        open_ = tail.segment is not None and any(part.number == tail.segment.number for part in parts)
        kept = [part for part in parts if part.removed_ns is None]
        found.append(
            StoredSession(
                session_ns=session_ns,
                ended_ns=tail.newest_ns if open_ else max(part.ended_ns for part in parts),
                readings=sum(part.readings for part in parts if part.sealed_ns) + (tail.readings if open_ else 0),
                size_bytes=sum(sizes.get(part.number, 0) for part in kept),
                unsent_batches=sum(book.execute(_UNSENT, (part.number,)).fetchone()[0] for part in kept),
                complete=all(is_complete(book, part) for part in parts),
                removed=not kept,
            )
        )
    return sorted(found, key=lambda session: -session.session_ns)


def _tell(book: sqlite3.Connection, segment: Segment) -> None:
    """Record as a gap what goes without ever having been in a cloud."""
    book.execute(
        "INSERT INTO gap (sensor, stream, from_ns, to_ns, count, reason) "
        "VALUES (NULL, 'all', ?, ?, ?, 'removed after its time; no cloud is set')",
        (segment.begun_ns, segment.ended_ns, segment.readings),
    )
