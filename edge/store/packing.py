"""Chunks to the bodies of batches: read from one of the journal's files, one body a stream. Any thread may do it."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.store.chunks import Row, is_damage, missing_row, read_rows, read_what_can_be
from edge.store.database import Connect, connect
from edge.store.restamp import Steps, restamp
from edge.store.segments import DAMAGED, DAMAGED_COMMITS, open_to_read
from shared.readings import Readings, select
from shared.tally import NOTHING, Tallies, tallies

# Bounds one batch far below the cloud's 4 MiB: about half a minute of 60 athletes with an IMU.
_MAX_READINGS = 200_000
# A stream of more is cut: encoding it whole takes a hundred megabytes for a moment, which the process then keeps.
_PART_READINGS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which chunks of which file: after id `after` up to `last`. `filled` is how far its batches reached."""

    path: Path
    segment: int
    filled: int
    after: int
    last: int
    knows_last: bool
    readings: int
    steps: Steps
    time_ns: int
    connect: Connect = connect


@dataclass(slots=True, kw_only=True)
class Packed:
    """Bodies of batches as (content, body, readings), what was damaged as (from_ns, to_ns, count, reason)."""

    plan: Plan
    bodies: list[tuple[str, bytes, int]] = field(default_factory=list)
    damaged: list[tuple[int, int, int, str]] = field(default_factory=list)
    tallies: Tallies = field(default_factory=dict)
    chunks: int = 0
    reached: int = 0


def pack(plan: Plan, *, only: tuple[str, int, int] | None = None) -> Packed:
    """Return the bodies of a plan's next batches; `only` names a stream and the interval [from_ns, to_ns) of it.

    A chunk that does not match its digest is left out and told in `damaged`.
    Raises: sqlite3.Error.
    """
    packed = Packed(plan=plan, reached=plan.last)
    by_stream: dict[str, list[Readings]] = defaultdict(list)
    connection = open_to_read(plan.path, plan.connect)
    if connection is None:
        packed.damaged.append((plan.time_ns, plan.time_ns, plan.readings, DAMAGED))
        packed.chunks = 1
        return packed
    readings, before = 0, plan.after
    try:
        for row in _rows(connection, plan):
            if readings + row.readings > _MAX_READINGS and packed.chunks:
                packed.reached = before
                break
            if row.blocks is None:
                count, reason = (row.commits, DAMAGED_COMMITS) if row.commits else (row.readings, DAMAGED)
                packed.damaged.append((row.stored_ns, row.stored_ns, count, reason))
            for block in row.blocks or ():
                kept = _chosen(restamp(block, plan.steps), only)
                if len(kept):
                    by_stream[block.stream].append(kept)
            packed.chunks, readings, before = packed.chunks + 1, readings + row.readings, row.id
    finally:
        connection.close()
    from shared.parquet_codec import encode_parquet  # noqa: PLC0415  Arrow comes with the first batch, not the gateway

    packed.chunks = max(packed.chunks, 1)
    for stream, blocks in by_stream.items():
        packed.bodies += [(stream, encode_parquet(part), sum(map(len, part))) for part in _parts(blocks)]
        for key, tally in tallies(blocks).items():
            packed.tallies[key] = packed.tallies.get(key, NOTHING) + tally
    return packed


def _parts(blocks: list[Readings]) -> Iterator[list[Readings]]:
    """Yield a stream's blocks in parts whose encoding takes little memory at a time."""
    part: list[Readings] = []
    room = _PART_READINGS
    for block in blocks:
        if part and len(block) > room:
            yield part
            part, room = [], _PART_READINGS
        part.append(block)
        room -= len(block)
    yield part


def _rows(connection: sqlite3.Connection, plan: Plan) -> Iterator[Row]:
    """Yield the plan's rows, and one for what is missing; where pages are damaged, those that can still be found."""
    after, found = plan.after, 0
    try:
        for row in read_rows(connection, after, 1_000_000_000):
            if row.id > plan.last:
                break
            yield row
            after, found = row.id, found + row.readings
        if after < plan.last:
            yield missing_row(after, plan.last, plan.time_ns, commits=None if plan.knows_last else 0)
    except sqlite3.DatabaseError as exc:
        if not is_damage(exc):
            raise
        for row in read_what_can_be(connection, after, plan.last):
            found += row.readings
            yield row
        lost = plan.readings - found - _readings_until(connection, plan.after)
        yield Row(plan.last, plan.time_ns, max(0, lost), "live", None)


def _readings_until(connection: sqlite3.Connection, last: int) -> int:
    """Return the readings up to an id, as far as they can be counted."""
    try:
        (count,) = connection.execute("SELECT coalesce(sum(readings), 0) FROM chunk WHERE id <= ?", (last,)).fetchone()
    except sqlite3.DatabaseError:
        return 0
    return int(count)


def _chosen(block: Readings, only: tuple[str, int, int] | None) -> Readings:
    if only is None:
        return block
    stream, from_ns, to_ns = only
    if block.stream != stream:
        return select(block, slice(0, 0))
    return select(block, np.flatnonzero((block.time_ns >= from_ns) & (block.time_ns < to_ns)))
