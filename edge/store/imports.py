"""Readings out of files: into the journal beside live ones, all of a file or nothing, and each file once.

A second process may do it while the gateway runs: what is imported becomes a file of the journal of its own, which the
gateway takes notice of once the book lists it as ended.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.store.database import translated
from edge.store.segments import Segment, Segments
from shared.chunk_codec import digest, encode_chunk
from shared.errors import StoreError
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
    connection: sqlite3.Connection,
    folder: Path,
    origin: str,
    name: str,
    chunks: Sequence[tuple[int, bytes]],
    now_ns: int,
    *,
    max_bytes: int = 2**40,
) -> bool:
    """Store a file's chunks as one file of the journal; return False, and store nothing, when it stands there already.

    `connection` is the book's, in `folder`; the file counts from the moment the book lists it as ended.
    Raises: StoreError (StoreFull) and then stores nothing.
    """
    if find_import(connection, origin) is not None:
        return False
    segments = Segments(connection, folder)
    try:
        segment, file = segments.begin(now_ns, now_ns, source="file", max_bytes=max_bytes)
        try:
            return _put(connection, segments, segment, file, (origin, name, now_ns), chunks)
        except sqlite3.Error:
            segments.remove(segment, now_ns)
            raise
        finally:
            file.close()
    except sqlite3.Error as exc:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise translated(exc) from exc


def _put(
    connection: sqlite3.Connection,
    segments: Segments,
    segment: Segment,
    file: sqlite3.Connection,
    named: tuple[str, str, int],
    chunks: Sequence[tuple[int, bytes]],
) -> bool:
    """Write the chunks, then list file and import together; another process may have been faster."""
    origin, name, now_ns = named
    try:
        file.execute("BEGIN IMMEDIATE")
        file.executemany(
            "INSERT INTO chunk (id, stored_ns, readings, digest, body, source, first) "
            "VALUES (?1, ?2, ?3, ?4, ?5, 'file', ?1)",
            [(segment.first_id + n, now_ns, count, digest(body), body) for n, (count, body) in enumerate(chunks)],
        )
        file.execute("COMMIT")
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # not while the book is held
    except sqlite3.Error:
        if file.in_transaction:
            file.execute("ROLLBACK")
        raise
    connection.execute("BEGIN IMMEDIATE")
    if segments.get(segment.number).removed_ns is not None:
        connection.execute("ROLLBACK")
        raise StoreError(f"{name}: the import took too long, its file was given up; try again")
    taken = connection.execute(
        "INSERT INTO import VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (origin, name, now_ns, sum(count for count, _ in chunks)),
    ).rowcount
    if taken:
        segments.seal(segment, file, now_ns, last=segment.first_id + len(chunks) - 1)
    connection.execute("COMMIT")
    if not taken:
        segments.remove(segment, now_ns)
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
