"""The rows of the journal's files: read in order of commit, each checked against its digest."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edge.store.segments import has_tail
from shared.chunk_codec import decode_chunk, digest
from shared.errors import DecodeError
from shared.log import get_logger
from shared.readings import Readings

_log = get_logger("store")
_COLUMNS = "id, stored_ns, readings, digest, body, source"
_HAS_FIRST = "SELECT 1 FROM pragma_table_info('chunk') WHERE name = 'first'"
# A lost page of the smallest rows holds fewer.
_HOPELESS = 500
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Row:
    """One commit, or several merged; `blocks` is None where the bytes are damaged.

    A row that is not there is damaged too: `commits` says how many are missed up to its id, its readings are not known.
    """

    id: int
    stored_ns: int
    readings: int
    source: str
    blocks: list[Readings] | None
    commits: int = 0


def read_rows(connection: sqlite3.Connection, after: int, limit: int, *, tail: bool = True) -> Iterator[Row]:
    """Yield the rows of one file after an id, with its last commits or without.

    Damaged pages may hide rows from SQLite without a word: where one begins behind the end of the one before it, a row
    for what is missing comes first, and one where they do not come in order. `after` is an id of this file, or the one
    before its first.
    """
    first = "first" if connection.execute(_HAS_FIRST).fetchone() else "NULL"
    sql = f"SELECT {_COLUMNS}, {first} FROM chunk WHERE id > :after"  # noqa: S608  fixed words
    if tail and has_tail(connection):
        sql += f" UNION ALL SELECT {_COLUMNS}, id FROM tail WHERE id > :after"  # noqa: S608  fixed words
    is_in_order = True
    for *row, begins in connection.execute(f"{sql} ORDER BY id LIMIT :limit", {"after": after, "limit": limit}):
        if row[0] <= after:  # read before, or a damaged id came before it
            if is_in_order:
                yield missing_row(after, after, row[1])
            is_in_order = False
            continue
        if begins is not None and begins > after + 1:
            yield missing_row(after, begins - 1, row[1])
        yield _checked(row)
        after = row[0]


def missing_row(after: int, last: int, time_ns: int, *, commits: int | None = None) -> Row:
    """Return what stands for the commits after an id up to `last`, which should be there and are not."""
    _log.error("stored rows are missing", after=after, last=last)
    return Row(last, time_ns, 0, "live", None, last - after if commits is None else commits)


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


def _checked(row: Sequence[Any]) -> Row:
    row_id, stored_ns, readings, stored, body, source = row
    try:
        blocks = decode_chunk(body) if digest(body) == stored else None
    except DecodeError:
        blocks = None
    if blocks is None:
        _log.error("stored bytes are damaged", chunk=row_id)
    return Row(row_id, stored_ns, readings, source, blocks)
