"""The file of the journal that readings are added to now, and its last seconds.

Each commit is one small row of the table `tail`, cheap to make. Every five seconds the rows become one compressed chunk
made of what is still in memory, in one transaction: a power cut leaves either the rows or the chunk. Runs on the
journal's writer thread.
"""

import sqlite3
from collections.abc import Sequence
from itertools import groupby

from edge.store.chunks import is_damage, read_rows
from edge.store.database import file_bytes, limit_pages
from edge.store.segments import Segment, Segments, check_pages, count_chunks
from shared.chunk_codec import digest, encode_chunk, encode_tail
from shared.clock import NS_PER_S, Clock
from shared.errors import StoreError
from shared.log import get_logger
from shared.readings import Readings

_log = get_logger("store")
SESSION_GAP_NS = 30 * 60 * NS_PER_S
"""Training that pauses for longer than this is another session."""
_MERGE_NS = 5 * NS_PER_S
_MERGE_READINGS = 200_000
# So many fit into one merge after a crash; what is more waits for the next.
_MERGE_ROWS = 2000
_SEGMENT_BYTES = 256 * 1024**2
_COLUMNS = "id, stored_ns, readings, digest, body, source, boot, mono_ns"
_INSERT_TAIL = f"INSERT INTO tail ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, 'live', ?, ?)"  # noqa: S608  fixed words
_INSERT_CHUNK = f"INSERT INTO chunk ({_COLUMNS}, first) VALUES (?, ?, ?, ?, ?, 'live', ?, ?, ?)"  # noqa: S608


class Tail:
    """Owner of the newest live file; `last` is the id of the newest chunk, `newest_ns` when it was stored."""

    def __init__(self, segments: Segments, clock: Clock, *, max_bytes: int) -> None:
        """Go on with the file of a session that goes on; `max_bytes` bounds a file until `limit` says better."""
        self._segments = segments
        self._clock = clock
        self._max_bytes = max_bytes
        self._segment_bytes = min(_SEGMENT_BYTES, max_bytes // 8)
        self.segment: Segment | None = None
        self.connection: sqlite3.Connection | None = None
        self.readings = 0
        self.last = 0
        self.newest_ns = 0
        self._session_ns: int | None = None
        """Whose session goes on, while there is no file to add to."""
        self._newest_mono_ns = clock.mono_ns()
        self._held: list[Readings] = []
        self._held_readings = self._first_held = self._held_since_ns = 0
        self._on_disk = False
        """Whether there are commits that are not in memory: of an earlier run, or that could not be merged."""
        self._go_on()

    def append(self, blocks: Sequence[Readings]) -> None:
        """Add readings in one durable transaction.

        Raises: StoreError; sqlite3.Error. Then nothing was added.
        """
        now_ns = self._clock.utc_ns()
        self.end_session()
        if self._is_large():
            self.seal(goes_on=True)
        body = encode_tail(blocks)
        try:
            self._add(body, sum(map(len, blocks)), now_ns)
        except sqlite3.DatabaseError as exc:
            if not is_damage(exc):
                raise
            self._abandon(exc)
            self._add(body, sum(map(len, blocks)), now_ns)
        self._held += blocks
        self._held_readings += sum(map(len, blocks))
        if self._held_readings >= _MERGE_READINGS or self._clock.mono_ns() - self._held_since_ns >= _MERGE_NS:
            self._try_to_merge()

    def end_session(self) -> None:
        """End the file after a pause that ends a session: its last readings need not wait for the next one's first.

        Raises: sqlite3.Error.
        """
        if self._clock.mono_ns() - self._newest_mono_ns > SESSION_GAP_NS:
            self.seal(goes_on=False)
            self._session_ns = None

    def merge(self) -> None:
        """Make one chunk of the last commits; a file whose pages are damaged is left as it is, and ended.

        Raises: sqlite3.Error; then the commits stand as they stood.
        """
        try:
            self._merge()
        except sqlite3.DatabaseError as exc:
            if not is_damage(exc):
                raise
            self._abandon(exc)

    def _merge(self) -> None:
        if self.connection is None or not (self._first_held or self._on_disk):
            return
        if self._on_disk:
            while self._merge_from_disk(self.connection):
                pass
        else:
            body = encode_chunk(self._held)
            row = (self.last, self.newest_ns, self._held_readings, digest(body), body, self._clock.boot_id)
            self._replace(self.connection, [(*row, self._newest_mono_ns, self._first_held)], self.last)
        self._forget()

    def seal(self, *, goes_on: bool) -> None:
        """End the file; the next reading begins another, of the same session if it `goes_on`.

        Raises: sqlite3.Error.
        """
        if self.segment is None or self.connection is None:
            return
        try:
            self._merge()
            self._segments.seal(self.segment, self.connection, self._clock.utc_ns(), last=self.last)
        except sqlite3.DatabaseError as exc:
            if not is_damage(exc):
                raise
            self._abandon(exc, goes_on=goes_on)
        else:
            self._leave(goes_on=goes_on)

    def moved(self) -> None:
        """Read again when the newest chunk was stored: the clock was set, and the times with it."""
        if self.segment is not None and self.connection is not None:
            self.segment = self._segments.get(self.segment.number)
            self.newest_ns = count_chunks(self.connection)[2] or self.newest_ns

    def limit(self, max_bytes: int) -> None:
        """Let the file, and those that follow, grow to so many bytes at the most."""
        self._max_bytes = max_bytes
        if self.connection is not None:
            limit_pages(self.connection, max_bytes)

    def close(self) -> None:
        """Merge what is left and close the file; it is gone on with after the next start."""
        if self.connection is not None:
            self._try_to_merge()
            self.connection.close()
            self.connection = None

    def _add(self, body: bytes, readings: int, now_ns: int) -> None:
        connection = self.connection or self._begin(now_ns)
        row = (self.last + 1, now_ns, readings, digest(body), body, self._clock.boot_id, self._clock.mono_ns())
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_INSERT_TAIL, row)
        connection.execute("COMMIT")
        self.last += 1
        self.newest_ns, self._newest_mono_ns = now_ns, self._clock.mono_ns()
        self.readings += readings
        if not self._first_held:
            self._first_held, self._held_since_ns = self.last, self._clock.mono_ns()

    def _begin(self, now_ns: int) -> sqlite3.Connection:
        session_ns = now_ns if self._session_ns is None else self._session_ns
        self.segment, self.connection = self._segments.begin(
            now_ns, session_ns, source="live", max_bytes=self._max_bytes
        )
        self.last, self.readings, self.newest_ns = self.segment.first_id - 1, 0, now_ns
        return self.connection

    def _go_on(self) -> None:
        """Open the newest live file if its session goes on, and end what an earlier run left open."""
        live = [segment for segment in self._segments.kept() if segment.source == "live"]
        for segment in live:
            if segment.sealed_ns is None:
                self._open(segment, newest=segment is live[-1])
        if self.segment is None and live:
            self.newest_ns = live[-1].ended_ns
            if self._clock.utc_ns() - self.newest_ns <= SESSION_GAP_NS and live[-1].file:
                self._session_ns = live[-1].session_ns

    def _open(self, segment: Segment, *, newest: bool) -> None:
        try:
            connection, (last, readings, newest_ns) = self._checked(segment)
        except (StoreError, sqlite3.DatabaseError) as exc:
            _log.error("a file of the journal cannot be gone on with", file=segment.file, problem=str(exc))
            self._segments.give_up(segment, self._clock.utc_ns())
            return
        self.segment, self.connection = segment, connection
        # What the book knows of and the file does not hold any more keeps its number: it is missed when it is read.
        self.last = max(last, segment.last, segment.filled, segment.first_id - 1)
        self.readings, self.newest_ns = readings, newest_ns or segment.begun_ns
        self._on_disk = connection.execute("SELECT 1 FROM tail LIMIT 1").fetchone() is not None
        self._try_to_merge()
        goes_on = newest and self._clock.utc_ns() - self.newest_ns <= SESSION_GAP_NS
        if self.segment is None or (goes_on and not self._is_large()):
            return
        try:
            self.seal(goes_on=goes_on)
        except (sqlite3.Error, StoreError) as exc:  # a full disk: its commits are sent as they stand
            self._abandon(exc, goes_on=goes_on)

    def _checked(self, segment: Segment) -> tuple[sqlite3.Connection, tuple[int, int, int]]:
        """Open a file whose pages are all in order, and return what `count_chunks` says of it.

        Reads all of it, once a start: damage may hide the end, which nothing else tells, and writing makes it worse.
        Raises: StoreError; sqlite3.Error.
        """
        connection = self._segments.open(segment, max_bytes=self._max_bytes)
        try:
            check_pages(connection)
            return connection, count_chunks(connection)
        except (StoreError, sqlite3.Error):
            connection.close()
            raise

    def _is_large(self) -> bool:
        return self.connection is not None and file_bytes(self.connection) >= self._segment_bytes

    def _try_to_merge(self) -> None:
        """Merge if it goes; the readings are stored in any case."""
        try:
            self.merge()
        except (sqlite3.Error, StoreError) as exc:
            if self.connection is not None and self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            _log.warning("the last commits are not merged yet", problem=str(exc))
            self._forget()
            self._on_disk = True
            self._first_held, self._held_since_ns = self.last, self._clock.mono_ns()

    def _merge_from_disk(self, connection: sqlite3.Connection) -> bool:
        """Merge rows that an earlier run left, or that could not be merged; return False when there were none.

        Rows of one run become one chunk; damaged ones stay as they are.
        """
        sql = "SELECT id, boot, mono_ns, digest, body FROM tail ORDER BY id LIMIT ?"
        facts = {row[0]: row[1:] for row in connection.execute(sql, (_MERGE_ROWS,))}
        if not facts:
            return False
        above = max(facts)
        chunks: list[tuple[object, ...]] = []
        rows = [row for row in read_rows(connection, min(facts) - 1, _MERGE_ROWS) if row.id in facts]
        # Ids without a hole differ from their places by the same number: what is missing is missed in the chunks too.
        for (boot, whole, _), members in groupby(
            enumerate(rows), key=lambda at: (facts[at[1].id][0], at[1].blocks is not None, at[1].id - at[0])
        ):
            together = [row for _, row in members]
            if not whole:
                chunks += [
                    (r.id, r.stored_ns, r.readings, facts[r.id][2], facts[r.id][3], boot, facts[r.id][1], r.id)
                    for r in together
                ]
                continue
            body = encode_chunk([block for row in together for block in row.blocks or ()])
            newest = together[-1]
            count = sum(row.readings for row in together)
            mono_ns = facts[newest.id][1]
            chunks.append((newest.id, newest.stored_ns, count, digest(body), body, boot, mono_ns, together[0].id))
        self._replace(connection, chunks, above)
        return True

    def _replace(self, connection: sqlite3.Connection, chunks: Sequence[tuple[object, ...]], above: int) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT_CHUNK, chunks)
        connection.execute("DELETE FROM tail WHERE id <= ?", (above,))
        connection.execute("COMMIT")

    def _abandon(self, exc: Exception, *, goes_on: bool = True) -> None:
        """Leave a file as it is that cannot be written: what can be read of it is sent."""
        if self.segment is None:
            return
        _log.error("a file of the journal cannot be gone on with", file=self.segment.file, problem=str(exc))
        if self.connection is not None and self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._segments.give_up(
            self.segment, self._clock.utc_ns(), last=self.last, readings=self.readings, ended_ns=self.newest_ns
        )
        self._leave(goes_on=goes_on)

    def _leave(self, *, goes_on: bool) -> None:
        self._session_ns = self.segment.session_ns if goes_on and self.segment is not None else None
        if self.connection is not None:
            self.connection.close()
        self.segment = self.connection = None
        self._forget()

    def _forget(self) -> None:
        self._held = []
        self._held_readings = self._first_held = self._held_since_ns = 0
        self._on_disk = False
