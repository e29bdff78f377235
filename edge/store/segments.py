"""The journal's files, one a session or a part of one: which there are, how large, and how one is begun and removed.

A file is made before the book lists it and struck off before it is unlinked: after a power cut in between, the next
start finds an empty file to use, or one to unlink. All functions run on the journal's writer thread.
"""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from edge.store.database import Connect, connect, keep_folder, open_segment
from shared.errors import StoreError
from shared.log import get_logger

_log = get_logger("store")
FOLDER = "journal"
ID_BITS = 32
# A file whose last chunk is not known is looked through as far as this: a day of commits, twenty a second.
_FURTHEST = 2_000_000
DAMAGED = "stored bytes were damaged"
"""Why readings are missing that were stored; the count is theirs."""
DAMAGED_COMMITS = f"{DAMAGED}: commits"
"""The same where only their commits can be counted."""
_LOGS = ("", "-wal", "-shm")
_COLUMNS = "number, file, source, session_ns, begun_ns, ended_ns, sealed_ns, filled, last, readings, removed_ns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file of the journal as the book lists it; see schema/0004.sql."""

    number: int
    file: str
    source: str
    session_ns: int
    begun_ns: int
    ended_ns: int
    sealed_ns: int | None
    filled: int
    last: int
    readings: int
    removed_ns: int | None

    @property
    def first_id(self) -> int:
        """The id of its first chunk."""
        return (self.number << ID_BITS) + 1

    @property
    def knows_last(self) -> bool:
        """Whether `last` is the id of a chunk: what was given up when it could not be read has none."""
        return self.last != self.first_id + _FURTHEST


class Segments:
    """The list of the journal's files, kept in the book."""

    def __init__(self, book: sqlite3.Connection, folder: Path, connect: Connect = connect) -> None:
        """`folder` is the one that the book lies in."""
        self._book = book
        self._folder = folder
        self.connect = connect

    def all(self) -> list[Segment]:
        """Return every file, also those removed, in order of number."""
        return read_segments(self._book)

    def kept(self) -> list[Segment]:
        """Return the files that are there."""
        return [segment for segment in self.all() if segment.removed_ns is None]

    def get(self, number: int) -> Segment:
        """Return one file."""
        return read_segments(self._book, f"WHERE number = {number:d}")[0]

    def path(self, segment: Segment) -> Path:
        """Return where a file lies; number 0 is the book itself."""
        return self._folder / (segment.file or "gateway.sqlite")

    def begin(self, now_ns: int, session_ns: int, *, source: str, max_bytes: int) -> tuple[Segment, sqlite3.Connection]:
        """Make a file and list it; two processes may ask at once.

        Raises: StoreError; sqlite3.Error.
        """
        self._book.execute("BEGIN IMMEDIATE")
        number = int(self._book.execute("SELECT coalesce(max(number), 0) + 1 FROM segment").fetchone()[0])
        while not self._is_free(number):  # a book that was restored or lost does not know what came after it
            number += 1
        file = f"{FOLDER}/{number:06d}.sqlite"
        path = self._folder / file
        new_folder = not path.parent.is_dir()
        connection = open_segment(path, max_bytes=max_bytes, connect=self.connect)
        if new_folder:
            keep_folder(self._folder)
        try:
            self._book.execute(
                "INSERT INTO segment (number, file, source, session_ns, begun_ns, ended_ns) VALUES (?, ?, ?, ?, ?, ?)",
                (number, file, source, session_ns, now_ns, now_ns),
            )
            self._book.execute("COMMIT")
        except sqlite3.Error:
            connection.close()
            raise
        return self.get(number), connection

    def _is_free(self, number: int) -> bool:
        """Return whether no file stands under a number, or only an empty one that a power cut left."""
        path = self._folder / FOLDER / f"{number:06d}.sqlite"
        if not path.exists():
            return True
        try:
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            with contextlib.closing(connection):
                tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                used = any(
                    connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608  fixed words
                    for table in tables & {"chunk", "tail"}
                )
        except sqlite3.Error:
            used = True
        if used:
            _log.error("a file of the journal is not in the book and stays as it is", file=f"{FOLDER}/{path.name}")
        return not used

    def open(self, segment: Segment, *, max_bytes: int) -> sqlite3.Connection:
        """Open a file to write.

        Raises: StoreError when it is not there.
        """
        path = self.path(segment)
        if not path.is_file():
            raise StoreError(f"{path}: a file of the journal is missing")
        return open_segment(
            path, max_bytes=max_bytes, connect=self.connect, on_hidden=lambda count: self._tell_hidden(segment, count)
        )

    def _tell_hidden(self, segment: Segment, commits: int) -> None:
        """Record as a gap what a damaged log hides: how many commits, for their readings are not known."""
        self._book.execute(
            "INSERT INTO gap (sensor, stream, from_ns, to_ns, count, reason) VALUES (NULL, 'all', ?, ?, ?, ?)",
            (segment.begun_ns, segment.ended_ns, commits, DAMAGED_COMMITS),
        )

    def read(self, segment: Segment) -> sqlite3.Connection | None:
        """Open a file to read only, None where it is not there (any more)."""
        return open_to_read(self.path(segment), self.connect)

    def seal(self, segment: Segment, connection: sqlite3.Connection, now_ns: int, *, last: int) -> None:
        """Note what a file holds, and that nothing will be added; fold its log into it. `last` is its last chunk."""
        found, readings, ended_ns = count_chunks(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._book.execute(
            "UPDATE segment SET sealed_ns = ?, last = ?, readings = ?, ended_ns = max(ended_ns, ?) WHERE number = ?",
            (now_ns, max(found, last), readings, ended_ns, segment.number),
        )

    def give_up(
        self, segment: Segment, now_ns: int, *, last: int | None = None, readings: int = 0, ended_ns: int = 0
    ) -> None:
        """Note that nothing is added to a file any more that is damaged or missing; what can be read of it is sent."""
        newest = segment.last if last is None else last
        self._book.execute(
            "UPDATE segment SET sealed_ns = ?, last = max(?, filled), readings = max(?, readings), "
            "ended_ns = max(?, ended_ns) WHERE number = ?",
            (now_ns, newest or segment.first_id + _FURTHEST, readings, ended_ns, segment.number),
        )

    def remove(self, segment: Segment, now_ns: int) -> None:
        """Strike a file off the list and unlink it; the chunks in the book itself are deleted."""
        self._book.execute("BEGIN IMMEDIATE")
        self._book.execute("UPDATE segment SET removed_ns = ? WHERE number = ?", (now_ns, segment.number))
        if not segment.file:
            self._book.execute("DELETE FROM chunk")
        self._book.execute("COMMIT")
        self._clear(segment)

    def tidy(self) -> None:
        """Clear away what was struck off but is still there, after a power cut in between."""
        for segment in self.all():
            if segment.removed_ns is not None:
                self._clear(segment)

    def sizes(self, *, logs: bool = True) -> dict[int, int]:
        """Return the bytes of each file that is there, with its log; what is in the book counts there."""
        return {
            segment.number: _bytes_on_disk(self.path(segment), logs=logs) for segment in self.kept() if segment.file
        }

    def _clear(self, segment: Segment) -> None:
        if segment.file:
            self._unlink(segment)
            return
        # A book of an older version gives no room back by itself until it was written anew.
        if self._book.execute("PRAGMA auto_vacuum").fetchone()[0]:
            return
        try:
            self._book.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._book.execute("VACUUM")
        except sqlite3.Error as exc:
            _log.warning("the book is not smaller yet; the next start tries again", problem=str(exc))

    def _unlink(self, segment: Segment) -> None:
        path = self.path(segment)
        there = [name for suffix in _LOGS if (name := path.with_name(path.name + suffix)).exists()]
        for name in there:
            with contextlib.suppress(FileNotFoundError):
                name.unlink()
        if there:
            keep_folder(path.parent)


def read_segments(book: sqlite3.Connection, where: str = "") -> list[Segment]:
    """Return the files that a book lists, in order of number."""
    sql = f"SELECT {_COLUMNS} FROM segment {where} ORDER BY number"  # noqa: S608  fixed words
    names = _COLUMNS.split(", ")
    return [Segment(**dict(zip(names, row, strict=True))) for row in book.execute(sql)]


def open_to_read(path: Path, connect: Connect = connect) -> sqlite3.Connection | None:
    """Open a file of the journal to read only, None where it is not there."""
    if not path.is_file():
        return None
    return connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def has_tail(connection: sqlite3.Connection) -> bool:
    """Return whether a file keeps its last commits one by one: the book's own chunks do not."""
    sql = "SELECT 1 FROM sqlite_master WHERE name = 'tail'"
    return connection.execute(sql).fetchone() is not None


def check_pages(connection: sqlite3.Connection) -> None:
    """Read all of a file. Raises: StoreError when its pages do not fit together."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreError(f"damaged: {verdict}")


def count_chunks(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Return the last chunk's id, the readings, and when the last was stored; zeros for none."""
    tables = ("chunk", "tail") if has_tail(connection) else ("chunk",)
    sql = "SELECT coalesce(max(id), 0), coalesce(sum(readings), 0), coalesce(max(stored_ns), 0) FROM "
    rows = [connection.execute(sql + table).fetchone() for table in tables]
    return max(row[0] for row in rows), sum(row[1] for row in rows), max(row[2] for row in rows)


def _bytes_on_disk(path: Path, *, logs: bool) -> int:
    size = 0
    for suffix in _LOGS[: 2 if logs else 1]:
        with contextlib.suppress(FileNotFoundError):
            size += path.with_name(path.name + suffix).stat().st_size
    return size
