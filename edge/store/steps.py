"""The journal's record of when the machine's clock was set. All functions run on the journal's writer thread."""

import sqlite3
from collections import defaultdict

from edge.store.chunks import is_damage
from edge.store.restamp import ClockStep, Steps
from edge.store.segments import Segment, Segments
from edge.store.tail import Tail
from shared.errors import StoreError
from shared.log import get_logger

_log = get_logger("store")
# A chunk stored between the last two looks at the clock: its own time says on which side of the step it stands.
_BEFORE = (
    "boot = :boot AND (mono_ns < :since OR (mono_ns < :mono "
    "AND abs(stored_ns - mono_ns - :old) <= abs(stored_ns - mono_ns - :new)))"
)


def read_steps(book: sqlite3.Connection) -> Steps:
    """Return the known steps of every run."""
    steps: dict[str, list[ClockStep]] = defaultdict(list)
    sql = "SELECT boot, since_ns, mono_ns, shift_ns, offset_ns FROM clock_step ORDER BY id"
    for boot, since_ns, mono_ns, shift_ns, offset_ns in book.execute(sql):
        steps[boot].append(
            ClockStep(boot=boot, since_ns=since_ns, mono_ns=mono_ns, shift_ns=shift_ns, offset_ns=offset_ns)
        )
    return steps


def record_step(book: sqlite3.Connection, segments: Segments, tail: Tail, step: ClockStep) -> int:
    """Keep a step, record as a gap what went out with the old time, and move the times at which chunks were stored.

    Return how many readings had gone out: they stand in batches whose bytes are never changed.
    """
    values = {
        "boot": step.boot, "since": step.since_ns, "mono": step.mono_ns,
        "shift": step.shift_ns, "new": step.offset_ns, "old": step.offset_ns - step.shift_ns,
    }  # fmt: skip
    touched = [segment for segment in segments.kept() if segment.source == "live"]
    gone = [_gone_of(segments, tail, segment, values) for segment in touched]
    book.execute("BEGIN IMMEDIATE")
    book.execute(
        "INSERT INTO clock_step (boot, since_ns, mono_ns, shift_ns, offset_ns) VALUES (?, ?, ?, ?, ?)",
        (step.boot, step.since_ns, step.mono_ns, step.shift_ns, step.offset_ns),
    )
    count = sum(readings for readings, _, _ in gone)
    if count:
        book.execute(
            "INSERT INTO gap (sensor, stream, from_ns, to_ns, count, reason) "
            "VALUES (NULL, 'all', ?, ?, ?, 'uploaded before the clock was set')",
            (min(g[1] for g in gone if g[0]), max(g[2] for g in gone if g[0]), count),
        )
    book.execute("COMMIT")
    for segment in touched:
        try:
            _move(book, segments, tail, segment, values)
        except (sqlite3.Error, StoreError) as exc:  # the step stands: what is read is right, the file's times are not
            _log.error("the times of a file are not set right", file=segment.file, problem=str(exc))
    return count


def _is_live(segment: Segment, tail: Tail) -> bool:
    return tail.segment is not None and segment.number == tail.segment.number


def _gone_of(segments: Segments, tail: Tail, segment: Segment, values: dict[str, object]) -> tuple[int, int, int]:
    """Return how many readings of a file went out with the old time, from when to when; none of a damaged one."""
    connection = tail.connection if _is_live(segment, tail) else segments.read(segment)
    if connection is None:
        return 0, 0, 0
    try:
        return _gone(connection, segment, values)
    except sqlite3.DatabaseError as exc:
        if not is_damage(exc):
            raise
        return 0, 0, 0
    finally:
        if connection is not tail.connection:
            connection.close()


def _gone(connection: sqlite3.Connection, segment: Segment, values: dict[str, object]) -> tuple[int, int, int]:
    readings, from_ns, to_ns = connection.execute(
        "SELECT coalesce(sum(readings), 0), min(stored_ns) + :shift, max(stored_ns) + :shift "  # noqa: S608  fixed words
        f"FROM chunk WHERE {_BEFORE} AND id <= :filled",
        values | {"filled": segment.filled},
    ).fetchone()
    return int(readings), from_ns or 0, to_ns or 0


def _move(
    book: sqlite3.Connection, segments: Segments, tail: Tail, segment: Segment, values: dict[str, object]
) -> None:
    """Shift the times of a file's chunks, and of the file."""
    if _is_live(segment, tail):
        connection = tail.connection
    elif segment.file:
        if not segments.path(segment).is_file():
            return
        connection = segments.open(segment, max_bytes=2**40)
    else:
        connection = book
    if connection is None:
        return
    first = "SELECT stored_ns FROM chunk ORDER BY id LIMIT 1"
    before = connection.execute(first).fetchone()
    moved = connection.execute(
        f"UPDATE chunk SET stored_ns = stored_ns + :shift WHERE {_BEFORE}",  # noqa: S608  fixed words
        values,
    ).rowcount
    if moved:
        shift = values["shift"] if connection.execute(first).fetchone() != before else 0
        (ended_ns,) = connection.execute("SELECT max(stored_ns) FROM chunk").fetchone()
        book.execute(
            "UPDATE segment SET session_ns = CASE WHEN session_ns = begun_ns THEN session_ns + ?1 ELSE session_ns END, "
            "begun_ns = begun_ns + ?1, ended_ns = ?2 WHERE number = ?3",
            (shift, ended_ns, segment.number),
        )
    if connection not in (tail.connection, book):
        connection.close()
