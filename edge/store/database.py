"""The gateway's SQLite files: opened with settings that survive a power cut, and with their schema brought up to date.

WAL with synchronous=FULL: with NORMAL, 280 of 300 simulated power cuts lost acknowledged commits, with FULL 0 of 600.
`max_page_count` keeps a full disk from wedging the WAL: inserts fail cleanly and deletes still work.
"""

import contextlib
import fcntl
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from edge.store.log_check import hidden_commits
from shared.errors import ConfigError, StoreCorrupt, StoreError, StoreFull
from shared.ids import Epoch, new_epoch, parse_epoch
from shared.log import get_logger

_log = get_logger("store")
_SCHEMA = Path(__file__).parent / "schema"
_SEGMENT_VERSION = 2
# What brings a file of the version before up to date.
_SEGMENT_STEPS = {1: "ALTER TABLE chunk ADD COLUMN first INTEGER"}
PAGE_BYTES = 4096
# What a new schema needs in a database that has reached its limit.
_MIGRATION_BYTES = 4 * 1024**2
# Two megabytes between two checkpoints: a disk that was full needs twice the log to come free. What a long read made
# larger is given back.
_LOG_PAGES = 500
_LOG_BYTES = 4 * 1024**2


class Connect(Protocol):
    """Opens a SQLite file; another one lets a test stand between SQLite and the disk."""

    def __call__(self, path: str, *, uri: bool = False) -> sqlite3.Connection:  # noqa: D102
        ...


class _Connection(sqlite3.Connection):
    """Says that a file is damaged also where SQLite's words quote damaged bytes, which Python cannot decode."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Raises: sqlite3.Error."""
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as exc:
            damage = sqlite3.DatabaseError("the schema is damaged")
            damage.sqlite_errorcode, damage.sqlite_errorname = sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT"
            raise damage from exc


def connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """Open a file for use by one thread at a time, whichever that is; transactions are begun and ended by hand."""
    return sqlite3.connect(path, uri=uri, isolation_level=None, check_same_thread=False, factory=_Connection)


def open_database(path: Path, *, max_bytes: int, connect: Connect = connect) -> sqlite3.Connection:
    """Open (or make) the gateway's book: batches, gaps, alerts, and the list of the journal's files.

    Raises: StoreError when it cannot be opened or its durability settings do not take.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _closed_on_failure(connect, str(path)) as connection:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded where the file is new
        _durable(connection, path, max_bytes + _MIGRATION_BYTES)
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
        limit_pages(connection, max_bytes)
    return connection


def open_segment(
    path: Path, *, max_bytes: int, connect: Connect = connect, on_hidden: Callable[[int], None] = lambda _: None
) -> sqlite3.Connection:
    """Open (or make) a file of the journal to write; a new one is in its folder for good when this returns.

    `on_hidden` hears how many commits a damaged log hides.
    Raises: StoreError as `open_database`, and for a file that another version made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _closed_on_failure(connect, str(path)) as connection:
        _durable(connection, path, max_bytes, on_hidden)
        version = _version(connection)
        if version == 0:
            _change(connection, _statements(_SCHEMA / "segment.sql"))
            keep_folder(path.parent)
        elif version in _SEGMENT_STEPS:
            _change(connection, [_SEGMENT_STEPS[version]])
        elif version != _SEGMENT_VERSION:
            raise StoreError(f"{path}: the file has schema {version}, this program writes {_SEGMENT_VERSION}")
    return connection


def open_reader(path: Path, *, connect: Connect = connect) -> sqlite3.Connection:
    """Open the book to read only, also while a gateway writes it.

    Raises: StoreError when it is not there or was made by another version.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no such database; has a gateway run with these settings?")
    with _closed_on_failure(connect, f"{path.absolute().as_uri()}?mode=ro", uri=True) as connection:
        newest = max(int(file.stem) for file in _SCHEMA.glob("[0-9]*.sql"))
        found = _version(connection)
        if found != newest:
            raise StoreError(
                f"{path}: the database has schema {found}, this program reads {newest}: start the gateway once"
            )
    return connection


def limit_pages(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Let a file grow to `max_bytes` at the most; one that is larger stays as it is."""
    connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // PAGE_BYTES)}").fetchone()


def file_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of a connection's file, without its log."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    return int(pages) * PAGE_BYTES


def keep_folder(folder: Path) -> None:
    """Make the names in a folder durable: SQLite does it for its logs, not for a new file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as exc:
        raise StoreError(f"{folder}: {exc.strerror}") from exc
    finally:
        os.close(descriptor)


def only_gateway(folder: Path) -> BinaryIO:
    """Return the open lock of a data folder; it is held until the file is closed or the process ends.

    Raises: ConfigError when the folder cannot be written, or another gateway uses it: two writers would fight for
    sensors and broker.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "gateway.lock").open("wb")
    except OSError as exc:
        raise ConfigError("data_dir", f"{folder} cannot be written: {exc.strerror}") from exc
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise ConfigError("data_dir", f"{folder} is used by another gateway that runs") from exc
    return file


def translated(exc: sqlite3.Error) -> StoreError:
    """Return the store error that a SQLite error means."""
    # Errors of the Python module itself (a closed connection) carry no code.
    if getattr(exc, "sqlite_errorcode", None) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_TOOBIG):
        return StoreFull("the disk is full, or the store has reached its limit")
    return StoreError(f"{getattr(exc, 'sqlite_errorname', type(exc).__name__)}: {exc}")


def not_opened(path: str, exc: sqlite3.Error) -> StoreError:
    """Return the store error for a file that cannot be opened: which one, and where it says what to do."""
    problem = translated(exc)
    is_damaged = getattr(exc, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    way_out = "; it is damaged: see `Backup and restore` in docs/operations.md" if is_damaged else ""
    return type(problem)(f"{path}: {problem}{way_out}")


def epoch(connection: sqlite3.Connection) -> Epoch:
    """Return the random name that this database's batches are counted under."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
    if row is None:
        raise StoreCorrupt("meta", 0)
    return parse_epoch(row[0])


@contextlib.contextmanager
def _closed_on_failure(connect: Connect, path: str, *, uri: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a file for the block, which leaves it open unless it fails. Raises: StoreError for SQLite's errors."""
    connection: sqlite3.Connection | None = None
    try:
        connection = connect(path, uri=uri)
        yield connection
    except (sqlite3.Error, StoreError) as exc:
        if connection is not None:
            connection.close()
        if isinstance(exc, sqlite3.Error):
            raise not_opened(path.removeprefix("file://").removesuffix("?mode=ro"), exc) from exc
        raise


def _durable(
    connection: sqlite3.Connection, path: Path, max_bytes: int, on_hidden: Callable[[int], None] = lambda _: None
) -> None:
    """Set what survives a power cut, and see that it took. Raises: StoreError."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    # Some builds write zeros over what is deleted: each merge would go through the log once more. Files go whole.
    connection.execute("PRAGMA secure_delete = OFF").fetchone()
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}").fetchone()
    limit_pages(connection, max_bytes)
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}").fetchone()
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        raise StoreError(f"{path}: the file system does not allow WAL")
    if connection.execute("PRAGMA synchronous").fetchone()[0] != 2:
        raise StoreError(f"{path}: synchronous=FULL did not take")
    hidden = hidden_commits(connection, path)
    if hidden > 1:  # one is what a power cut interrupted, and nobody was told that it is stored
        _log.error("commits are hidden behind damaged bytes of a log", file=path.name, commits=hidden)
        on_hidden(hidden)
    # After a failed fsync the log may hold, in the system's memory alone, what an earlier run was not told is stored;
    # it is written anew before anything comes to stand behind it.
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as exc:
        if not isinstance(translated(exc), StoreFull):
            raise


def _migrate(connection: sqlite3.Connection) -> None:
    """Apply the schema files that this database has not seen, each in one transaction with its record."""
    for file in sorted(_SCHEMA.glob("[0-9]*.sql")):
        number = int(file.stem)
        if number <= _version(connection):
            continue
        connection.execute("BEGIN IMMEDIATE")
        if number <= _version(connection):  # another process opened the same database meanwhile
            connection.execute("ROLLBACK")
            continue
        for statement in _statements(file):
            connection.execute(statement)
        if number == 1:
            connection.execute("INSERT INTO meta VALUES ('epoch', ?)", (new_epoch(),))
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")


def _change(connection: sqlite3.Connection, statements: list[str]) -> None:
    """Bring a file of the journal up to the newest version in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in statements:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_SEGMENT_VERSION}")
    connection.execute("COMMIT")


def _statements(file: Path) -> list[str]:
    script = re.sub(r"--.*", "", file.read_text(encoding="utf-8"))
    return [statement for statement in script.split(";") if statement.strip()]


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
