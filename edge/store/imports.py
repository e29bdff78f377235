"""Readings out of files: into the journal beside live ones, all of a file or nothing, and each file once.

SQLite lets a second process write while the gateway runs: it waits its turn, and a whole file is one short transaction
of chunks that were encoded before.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge.store.database import translated
from shared.chunk_codec import digest, encode_chunk
from shared.readings import Readings, select

CHUNK_READINGS = 20_000
"""At most so many readings in a chunk: one second or so of work for whoever reads it, as live ones are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A file that stands in the journal."""

    name: str
    imported_ns: int
    readings: int


def find_import(connection: sqlite3.Connection, origin: str) -> Imported | None:
    """Return what is known of a file that was imported before, by the origin of its readings."""
    sql = "SELECT name, imported_ns, readings FROM import WHERE origin = ?"
    try:
        row = connection.execute(sql, (origin,)).fetchone()
    except sqlite3.Error as exc:
        raise translated(exc) from exc
    return None if row is None else Imported(name=row[0], imported_ns=row[1], readings=row[2])


def pack(blocks: Sequence[Readings]) -> Iterator[tuple[int, bytes]]:
    """Yield blocks as chunk bodies of at most CHUNK_READINGS readings, with their counts."""
    for group in _groups(blocks):
        yield sum(map(len, group)), encode_chunk(group)


def store_import(
    connection: sqlite3.Connection, origin: str, name: str, chunks: Sequence[tuple[int, bytes]], now_ns: int
) -> bool:
    """Store a file's chunks in one durable transaction; return False, and store nothing, when it stands there already.

    Raises: StoreError (StoreFull) and then stores nothing.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        taken = connection.execute(
            "INSERT INTO import VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (origin, name, now_ns, sum(count for count, _ in chunks)),
        ).rowcount
        if taken:
            connection.executemany(
                "INSERT INTO chunk (stored_ns, readings, digest, body, source) VALUES (?, ?, ?, ?, 'file')",
                [(now_ns, count, digest(body), body) for count, body in chunks],
            )
        connection.execute("COMMIT")
    except sqlite3.Error as exc:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise translated(exc) from exc
    return bool(taken)


def _groups(blocks: Sequence[Readings]) -> list[list[Readings]]:
    groups: list[list[Readings]] = [[]]
    room = CHUNK_READINGS
    for block in blocks:
        start = 0
        while start < len(block):
            part = select(block, slice(start, start + room))
            groups[-1].append(part)
            start += len(part)
            room -= len(part)
            if not room:
                groups.append([])
                room = CHUNK_READINGS
    return [group for group in groups if group]
