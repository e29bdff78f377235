"""Opens the cloud's SQLite database: WAL, every commit on disk, schema brought up to date from `schema/*.sql`."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import StoreError, StoreFull

_SCHEMA = Path(__file__).parent / "schema"
# Two processes may write at once (API and an operator's command); each commit takes milliseconds.
_BUSY_TIMEOUT_S = 5.0


def open_database(path: Path) -> sqlite3.Connection:
    """Open (and make) the database at `path`; the connection may be used by one thread at a time.

    Raises: StoreError when it cannot be opened or is newer than this program.
    """
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
    except sqlite3.Error as exc:
        raise StoreError(f"{path}: {exc}") from exc
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock for the block; commit at its end, roll back on an error.

    Raises: StoreError, StoreFull for what SQLite raises.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except sqlite3.Error as exc:
        raise store_error(exc) from exc
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def store_error(exc: sqlite3.Error) -> StoreError:
    """Translate SQLite's error."""
    full = getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return (StoreFull if full else StoreError)(f"ledger: {exc}")


def _migrate(connection: sqlite3.Connection) -> None:
    """Run the schema files that the database has not seen, in order, each in one transaction."""
    files = sorted(_SCHEMA.glob("[0-9][0-9][0-9][0-9].sql"))
    newest = int(files[-1].stem)
    if _version(connection) > newest:
        raise StoreError(f"ledger has schema {_version(connection)}, this program knows up to {newest}")
    for file in files:
        number = int(file.stem)
        if number <= _version(connection):
            continue
        script = re.sub(r"--.*", "", file.read_text(encoding="utf-8"))
        with transaction(connection):
            if number > _version(connection):  # else another process brought it up to date meanwhile
                for statement in filter(str.strip, script.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
