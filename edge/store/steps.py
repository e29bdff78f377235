"""The journal's record of when the machine's clock was set. All functions run on the journal's writer thread."""

import sqlite3
from collections import defaultdict

from edge.store.restamp import ClockStep, Steps


def read_steps(connection: sqlite3.Connection) -> Steps:
    """Return the known steps of every run."""
    steps: dict[str, list[ClockStep]] = defaultdict(list)
    for boot, mono_ns, shift_ns in connection.execute("SELECT boot, mono_ns, shift_ns FROM clock_step ORDER BY id"):
        steps[boot].append(ClockStep(boot=boot, mono_ns=mono_ns, shift_ns=shift_ns))
    return steps


def record_step(connection: sqlite3.Connection, step: ClockStep) -> int:
    """Keep a step, move the times at which chunks were stored, and record as a gap what went out with the old time.

    Return how many readings that were: they stand in batches whose bytes are never changed.
    """
    position = connection.execute("SELECT coalesce(max(position), 0) FROM cursor WHERE name = 'outbox'").fetchone()[0]
    before = "boot = ? AND mono_ns < ?"
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "INSERT INTO clock_step (boot, mono_ns, shift_ns) VALUES (?, ?, ?)", (step.boot, step.mono_ns, step.shift_ns)
    )
    connection.execute(
        f"UPDATE chunk SET stored_ns = stored_ns + ? WHERE {before}",  # noqa: S608  fixed words
        (step.shift_ns, step.boot, step.mono_ns),
    )
    gone, from_ns, to_ns = connection.execute(
        f"SELECT coalesce(sum(readings), 0), min(stored_ns), max(stored_ns) FROM chunk WHERE {before} AND id <= ?",  # noqa: S608
        (step.boot, step.mono_ns, position),
    ).fetchone()
    if gone:
        connection.execute(
            "INSERT INTO gap (sensor, stream, from_ns, to_ns, count, reason) "
            "VALUES (NULL, 'all', ?, ?, ?, 'uploaded before the clock was set')",
            (from_ns, to_ns, gone),
        )
    connection.execute("COMMIT")
    return int(gone)
