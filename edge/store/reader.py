"""Reads the journal from outside the gateway, while it runs or not; writes nothing."""

import sqlite3
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from edge.store.chunks import Row, missing_row, read_rows
from edge.store.database import open_reader, translated
from edge.store.restamp import restamp
from edge.store.segments import ID_BITS, Segment, has_tail, open_to_read, read_segments
from edge.store.steps import read_steps
from shared.ids import AthleteId
from shared.readings import Readings, select

# Read in steps: one long read would keep the gateway's write-ahead log from being folded back.
_STEP_CHUNKS = 100


class JournalReader:
    """Reads for as long as the `with` lasts."""

    def __init__(self, path: Path) -> None:
        """Raises: StoreError where there is no database, or one of another version."""
        self._path = path
        self._book = open_reader(path)
        self.damaged = 0
        """How many of the chunks that `blocks` came upon are damaged or missing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._book.close()

    def chunks(self, first: int = 0) -> int:
        """Return how many chunks there are from number `first` on."""
        count = 0
        for segment, connection in self._files(first, imported=True):
            tables = ("chunk", "tail") if segment.file else ("chunk",)
            for table in tables:
                sql = f"SELECT count(*) FROM {table} WHERE id >= ?"  # noqa: S608  fixed words
                count += int(self._one(connection, sql, first))
        return count

    def latest_session(self, gap_ns: int) -> int | None:
        """Return the first chunk of the latest live session, which no pause of more than `gap_ns` interrupts."""
        live = [segment for segment in self._segments() if segment.source == "live"]
        if not live:
            return None
        if live[-1].file:
            return next(s for s in live if s.session_ns == live[-1].session_ns).first_id
        return self._walk_back(gap_ns)

    def blocks(
        self,
        *,
        first: int = 0,
        from_ns: int | None = None,
        to_ns: int | None = None,
        athletes: AbstractSet[AthleteId] = frozenset(),
        imported: bool,
    ) -> Iterator[tuple[int, list[Readings]]]:
        """Yield, chunk by chunk from number `first` on, its number and its readings in [from_ns, to_ns).

        `athletes` are the ones asked for, all when there are none; `imported` includes readings out of files. What is
        stored after a file was begun to be read is left out.
        Raises: StoreError.
        """
        steps = read_steps(self._book)
        for segment, connection in self._files(first, imported=imported):
            position = max(first, segment.first_id if segment.file else 0) - 1
            for row in self._rows(segment, connection, position):
                self.damaged += row.blocks is None
                if row.source != "live" and not imported:
                    continue
                blocks = [restamp(block, steps) for block in row.blocks or ()]
                wanted = [block for block in blocks if not athletes or block.athlete in athletes]
                yield row.id, [part for block in wanted if len(part := _between(block, from_ns, to_ns))]

    def _segments(self) -> list[Segment]:
        try:
            return read_segments(self._book, "WHERE removed_ns IS NULL")
        except sqlite3.Error as exc:
            raise translated(exc) from exc

    def _files(self, first: int, *, imported: bool) -> Iterator[tuple[Segment, sqlite3.Connection]]:
        """Yield the files from chunk `first` on, each open while it is looked at."""
        for segment in self._segments():
            if segment.number < first >> ID_BITS or (segment.source != "live" and not imported):
                continue
            path = self._path.parent / segment.file if segment.file else self._path
            connection = open_to_read(path)
            if connection is None:  # removed since the list was read
                continue
            try:
                yield segment, connection
            finally:
                connection.close()

    def _rows(self, segment: Segment, connection: sqlite3.Connection, position: int) -> Iterator[Row]:
        """Yield rows in steps; the last seconds are read at once, before a merge makes one chunk of them.

        Where the file ends before the chunk that the book knows as its last, a row for what is missing follows.
        """
        try:
            tail, newest = _snapshot(connection, position)
            while position < newest:
                steps = read_rows(connection, position, _STEP_CHUNKS, tail=False)
                rows = [row for row in steps if row.id <= newest] or [missing_row(position, newest, segment.begun_ns)]
                yield from rows
                position = rows[-1].id
            yield from tail
            position = tail[-1].id if tail else position
            if position < segment.last:
                known = None if segment.knows_last else 0
                yield missing_row(position, segment.last, segment.begun_ns, commits=known)
        except sqlite3.Error as exc:
            raise translated(exc) from exc

    def _walk_back(self, gap_ns: int) -> int | None:
        """Return where the latest session begins in a database of an older version."""
        first: int | None = None
        later_ns = 0
        sql = "SELECT id, stored_ns FROM chunk WHERE source = 'live' ORDER BY id DESC"
        try:
            for row, stored_ns in self._book.execute(sql):
                if first is not None and later_ns - stored_ns > gap_ns:
                    break
                first, later_ns = row, stored_ns
        except sqlite3.Error as exc:
            raise translated(exc) from exc
        return first

    def _one(self, connection: sqlite3.Connection, sql: str, *values: int) -> int:
        try:
            return int(connection.execute(sql, values).fetchone()[0])
        except sqlite3.Error as exc:
            raise translated(exc) from exc


def _snapshot(connection: sqlite3.Connection, position: int) -> tuple[list[Row], int]:
    """Return the commits that stand alone, and the newest chunk beside them."""
    connection.execute("BEGIN")
    newest = int(connection.execute("SELECT coalesce(max(id), 0) FROM chunk").fetchone()[0])
    tail = list(read_rows(connection, max(newest, position), 1_000_000)) if has_tail(connection) else []
    connection.execute("COMMIT")
    return tail, newest


def _between(block: Readings, from_ns: int | None, to_ns: int | None) -> Readings:
    inside = np.ones(len(block), bool)
    if from_ns is not None:
        inside &= block.time_ns >= from_ns
    if to_ns is not None:
        inside &= block.time_ns < to_ns
    return block if inside.all() else select(block, inside)
