"""How the store is, seen from outside: read only, while a gateway writes it or not; and what SQLite grants here."""

import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge.store.database import open_database, open_reader, translated
from edge.store.segments import Segment, count_chunks, open_to_read, read_segments

_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """What a database opened by `open_database` says of itself, read back."""

    journal_mode: str
    synchronous: str
    max_bytes: int
    sqlite: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What the book says: its schema, and what waits for the cloud or was not taken by it.

    `unsent_files` hold readings that stand in no batch yet, `absent_files` are listed and not there; `oldest_ns` is the
    oldest of what waits, in batches or not.
    """

    schema: int
    unsent_batches: int
    unsent_bytes: int
    unsent_files: int
    absent_files: tuple[str, ...]
    oldest_ns: int | None
    refused: int
    missing: int
    sessions: int
    newest_segment: int


def probe_durability(folder: Path, max_bytes: int) -> Durability:
    """Open a database of its own in `folder` as the gateway does, and return what came of the settings; blocks.

    Raises: StoreError when they do not take.
    """
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as scratch:
        connection = open_database(Path(scratch) / "scratch.sqlite", max_bytes=max_bytes)
        try:
            one = {name: _pragma(connection, name) for name in ("journal_mode", "max_page_count", "page_size")}
            return Durability(
                journal_mode=str(one["journal_mode"]),
                synchronous=_SYNCHRONOUS[int(_pragma(connection, "synchronous"))],
                max_bytes=int(one["max_page_count"]) * int(one["page_size"]),
                sqlite=str(connection.execute("SELECT sqlite_version()").fetchone()[0]),
                options=tuple(row[0] for row in connection.execute("PRAGMA compile_options")),
            )
        except sqlite3.Error as exc:
            raise translated(exc) from exc
        finally:
            connection.close()


def read_condition(book: Path) -> Condition:
    """Return how a gateway's store is; blocks.

    Raises: StoreError when it is not there, is damaged, or was made by another version.
    """
    connection = open_reader(book)
    try:
        unsent, unsent_bytes, oldest_ns = connection.execute(
            "SELECT count(*), coalesce(sum(length(body)), 0), min(created_ns) FROM batch WHERE receipt IS NULL"
        ).fetchone()
        refused = connection.execute(
            "SELECT count(*) FROM batch WHERE receipt NOT IN ('stored', 'duplicate', 'split')"
        ).fetchone()[0]
        kept = read_segments(connection, "WHERE removed_ns IS NULL")
        waiting = [segment for segment in kept if _waits(book, segment)]
        times = [s.ended_ns if s.filled and s.sealed_ns is None else s.begun_ns for s in waiting]
        return Condition(
            schema=int(_pragma(connection, "user_version")),
            unsent_batches=unsent,
            unsent_bytes=unsent_bytes,
            unsent_files=len(waiting),
            absent_files=tuple(s.file for s in kept if s.file and not (book.parent / s.file).is_file()),
            oldest_ns=min([*times, *([oldest_ns] if oldest_ns is not None else [])], default=None),
            refused=refused,
            missing=connection.execute(
                "SELECT coalesce(sum(count), 0) FROM (SELECT count FROM gap UNION ALL SELECT count FROM gap_open)"
            ).fetchone()[0],
            sessions=_sessions(connection),
            newest_segment=connection.execute(
                "SELECT coalesce(max(number), 0) FROM segment WHERE removed_ns IS NULL"
            ).fetchone()[0],
        )
    except sqlite3.Error as exc:
        raise translated(exc) from exc
    finally:
        connection.close()


def _waits(book: Path, segment: Segment) -> bool:
    """Return whether a file holds readings that stand in no batch; one that is written to is asked itself."""
    if segment.sealed_ns is not None:
        return segment.filled < segment.last
    connection = open_to_read(book.parent / segment.file) if segment.source == "live" else None
    if connection is None:
        return False
    try:
        return count_chunks(connection)[0] > segment.filled
    finally:
        connection.close()


def _sessions(connection: sqlite3.Connection) -> int:
    sql = "SELECT count(DISTINCT session_ns) FROM segment WHERE removed_ns IS NULL AND source = 'live'"
    return int(connection.execute(sql).fetchone()[0])


def _pragma(connection: sqlite3.Connection, name: str) -> str | int:
    value: str | int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
