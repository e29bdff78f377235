"""The rows of the journal's files: read in order of commit, each checked against its digest."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from edge.store.segments import has_tail
from shared.chunk_codec import decode_chunk, digest
from shared.errors import DecodeError
from shared.log import get_logger
from shared.readings import Readings

_log = get_logger("store")
_COLUMNS = "id, stored_ns, readings, digest, body, source"
# A lost page of the smallest rows holds fewer.
_HOPELESS = 500
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Row:
    """One commit, or several merged; `blocks` is None where the bytes are damaged."""

    id: int
    stored_ns: int
    readings: int
    source: str
    blocks: list[Readings] | None


def read_rows(connection: sqlite3.Connection, after: int, limit: int, *, tail: bool = True) -> Iterator[Row]:
    """Yield the rows of one file after an id, with its last commits or without."""
    sql = f"SELECT {_COLUMNS} FROM chunk WHERE id > :after"  # noqa: S608  fixed words
    if tail and has_tail(connection):
        sql += f" UNION ALL SELECT {_COLUMNS} FROM tail WHERE id > :after"  # noqa: S608  fixed words
    for row in connection.execute(f"{sql} ORDER BY id LIMIT :limit", {"after": after, "limit": limit}):
        yield _checked(row)


def read_what_can_be(connection: sqlite3.Connection, after: int, last: int) -> Iterator[Row]:
    """Yield the rows of a file whose pages are damaged: those that can be found by their id.

    Damage ends a scan, but not a look at what lies on other pages; where hundreds fail in a row, none will be found.
    """
    for table in ("chunk", "tail"):
        sql = f"SELECT {_COLUMNS} FROM {table} WHERE id = ?"  # noqa: S608  fixed words
        failed = 0
        for row_id in range(after + 1, last + 1):
            try:
                row = connection.execute(sql, (row_id,)).fetchone()
            except sqlite3.DatabaseError:
                failed += 1
                if failed == _HOPELESS:
                    break
                continue
            failed = 0
            if row is not None:
                yield _checked(row)


def is_damage(exc: sqlite3.Error) -> bool:
    """Return whether an error says that a file's pages are damaged."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in _CORRUPT


def _checked(row: tuple[int, int, int, bytes, bytes, str]) -> Row:
    row_id, stored_ns, readings, stored, body, source = row
    try:
        blocks = decode_chunk(body) if digest(body) == stored else None
    except DecodeError:
        blocks = None
    if blocks is None:
        _log.error("stored bytes are damaged", chunk=row_id)
    return Row(row_id, stored_ns, readings, source, blocks)
