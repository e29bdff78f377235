"""The journal's record of when the machine's clock was set. All functions run on the journal's writer thread."""

import sqlite3
from collections import defaultdict

from edge.store.restamp import ClockStep, Steps

# A chunk stored between the last two looks at the clock: its own time says on which side of the step it stands.
_BEFORE = (
    "boot = :boot AND (mono_ns < :since OR (mono_ns < :mono "
    "AND abs(stored_ns - mono_ns - :old) <= abs(stored_ns - mono_ns - :new)))"
)


def read_steps(connection: sqlite3.Connection) -> Steps:
    """Return the known steps of every run."""
    steps: dict[str, list[ClockStep]] = defaultdict(list)
    sql = "SELECT boot, since_ns, mono_ns, shift_ns, offset_ns FROM clock_step ORDER BY id"
    for boot, since_ns, mono_ns, shift_ns, offset_ns in connection.execute(sql):
        steps[boot].append(
            ClockStep(boot=boot, since_ns=since_ns, mono_ns=mono_ns, shift_ns=shift_ns, offset_ns=offset_ns)
        )
    return steps


def record_step(connection: sqlite3.Connection, step: ClockStep) -> int:
    """Keep a step, move the times at which chunks were stored, and record as a gap what went out with the old time.

    Return how many readings that were: they stand in batches whose bytes are never changed.
    """
    position = connection.execute("SELECT coalesce(max(position), 0) FROM cursor WHERE name = 'outbox'").fetchone()[0]
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO clock_step (boot, since_ns, mono_ns, shift_ns, offset_ns) VALUES (?, ?, ?, ?, ?)",
        (step.boot, step.since_ns, step.mono_ns, step.shift_ns, step.offset_ns),
    )
    values = {
        "boot": step.boot, "since": step.since_ns, "mono": step.mono_ns, "position": position,
        "shift": step.shift_ns, "new": step.offset_ns, "old": step.offset_ns - step.shift_ns,
    }  # fmt: skip
    gone, from_ns, to_ns = connection.execute(
        "SELECT coalesce(sum(readings), 0), min(stored_ns) + :shift, max(stored_ns) + :shift "  # noqa: S608  fixed words
        f"FROM chunk WHERE {_BEFORE} AND id <= :position",
        values,
    ).fetchone()
    connection.execute(f"UPDATE chunk SET stored_ns = stored_ns + :shift WHERE {_BEFORE}", values)  # noqa: S608
    if gone:
        connection.execute(
            "INSERT INTO gap (sensor, stream, from_ns, to_ns, count, reason) "
            "VALUES (NULL, 'all', ?, ?, ?, 'uploaded before the clock was set')",
            (from_ns, to_ns, gone),
        )
    connection.execute("COMMIT")
    return int(gone)
