"""The ledger of batches: which ids are stored, under which digest, and up to where each epoch is complete."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cloud.database import open_database, store_error, transaction
from cloud.ingest.decide import Decision, Known
from shared.batch import BatchHeader, EpochState
from shared.errors import StoreError
from shared.tally import Tallies, Tally

_STORED = "b.id, b.epoch, b.seq, b.object, b.sha256, b.bytes AS size_bytes, b.checked_ns"


class ReceivedBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stored batch as `GET .../receipts` lists it; `id` is the cursor for the next call."""

    id: int
    epoch: str
    seq: int
    content: str
    count: int
    received_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BronzeObject:
    """One stored batch as the pipeline reads it."""

    gateway: str
    epoch: str
    seq: int
    content: str
    sha256: str
    count: int
    object: str
    received_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBatch:
    """One stored batch as reconciliation looks at it; `tally` is of the stream and hour that were asked for."""

    id: int
    epoch: str
    seq: int
    object: str
    sha256: str
    size_bytes: int
    checked_ns: int
    tally: Tally


class Ledger:
    """One connection, one user at a time: a commit waits for the disk, so more connections would only queue there."""

    def __init__(self, path: Path) -> None:
        self._connection = open_database(path)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def deciding(self, header: BatchHeader) -> Iterator["Turn"]:
        """Hold the ledger, against other processes too, while one batch is decided; commit at the end.

        Raises: StoreError, StoreFull; then nothing of the turn is kept.
        """
        with self._lock, transaction(self._connection):
            yield Turn(self._connection, header)

    def state(self, gateway: str, epoch: str) -> EpochState:
        """Return what is stored of an epoch."""
        rows = self._query(
            "SELECT contiguous_seq, stored, highest_seq FROM epochs WHERE gateway = ? AND epoch = ?", (gateway, epoch)
        )
        if not rows:
            return EpochState(epoch=epoch, contiguous_seq=-1, stored=0)
        return EpochState(epoch=epoch, **dict(rows[0]))

    def known(self, header: BatchHeader) -> Known | None:
        """Return what is stored under the batch's id."""
        with self._lock:
            return _known(self._connection, header)

    def received(self, gateway: str, *, after: int, limit: int) -> list[ReceivedBatch]:
        """Return the gateway's stored batches in order of arrival, after cursor `after`."""
        rows = self._query(
            "SELECT id, epoch, seq, content, count, received_ns FROM batches"
            " WHERE gateway = ? AND id > ? ORDER BY id LIMIT ?",
            (gateway, after, limit),
        )
        return [ReceivedBatch(**dict(row)) for row in rows]

    def bronze(self) -> list[BronzeObject]:
        """Return all stored batches whose objects are there, in order of arrival."""
        rows = self._query(
            "SELECT gateway, epoch, seq, content, sha256, count, object, received_ns FROM batches"
            " WHERE lost_ns IS NULL ORDER BY id",
            (),
        )
        return [BronzeObject(**dict(row)) for row in rows]

    def holding(self, gateway: str, stream: str, hour: int) -> list[StoredBatch]:
        """Return the gateway's batches that hold readings of a stream and hour, in order of arrival."""
        rows = self._query(
            f"SELECT {_STORED}, t.count, t.digest FROM tallies t JOIN batches b ON b.id = t.batch"  # noqa: S608  fixed words
            " WHERE t.gateway = ? AND t.stream = ? AND t.hour = ? AND b.lost_ns IS NULL ORDER BY b.id",
            (gateway, stream, hour),
        )
        return [_stored(row) for row in rows]

    def untallied(self, gateway: str) -> list[StoredBatch]:
        """Return the gateway's batches from before the ledger kept tallies."""
        rows = self._query(
            f"SELECT {_STORED}, 0 AS count, 0 AS digest FROM batches b"  # noqa: S608  fixed words
            " WHERE b.gateway = ? AND b.tallied = 0 AND b.lost_ns IS NULL ORDER BY b.id",
            (gateway,),
        )
        return [_stored(row) for row in rows]

    def tally(self, gateway: str, batch: int, tallies: Tallies) -> None:
        """Record what an older batch holds.

        Raises: StoreError, StoreFull.
        """
        with self._lock, transaction(self._connection):
            _insert_tallies(self._connection, gateway, batch, tallies)
            self._connection.execute("UPDATE batches SET tallied = 1 WHERE id = ?", (batch,))

    def note_checked(self, batches: Iterable[int], now_ns: int) -> None:
        """Record that the objects of these batches matched their digests.

        Raises: StoreError, StoreFull.
        """
        with self._lock, transaction(self._connection):
            sql = "UPDATE batches SET checked_ns = ? WHERE id = ?"
            self._connection.executemany(sql, [(now_ns, batch) for batch in batches])

    def forget(self, batch: int, now_ns: int) -> None:
        """Record that a batch's object is lost: its id takes the same bytes again, and counts as missing until then.

        Raises: StoreError, StoreFull.
        """
        with self._lock, transaction(self._connection):
            row = self._connection.execute(
                "UPDATE batches SET lost_ns = ? WHERE id = ? AND lost_ns IS NULL RETURNING gateway, epoch, seq",
                (now_ns, batch),
            ).fetchone()
            if row is not None:
                self._connection.execute(
                    "UPDATE epochs SET stored = stored - 1, contiguous_seq = min(contiguous_seq, ? - 1)"
                    " WHERE gateway = ? AND epoch = ?",
                    (row["seq"], row["gateway"], row["epoch"]),
                )

    def refusals(self) -> int:
        """Return how many different refused batches are known."""
        return int(self._query("SELECT count(*) AS n FROM refusals", ())[0]["n"])

    def _query(self, sql: str, parameters: tuple[str | int, ...]) -> list[sqlite3.Row]:
        try:
            with self._lock:
                return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as exc:
            raise store_error(exc) from exc


class Turn:
    """The ledger while one batch is decided."""

    def __init__(self, connection: sqlite3.Connection, header: BatchHeader) -> None:
        self._connection = connection
        self._header = header

    def known(self) -> Known | None:
        """Return what is stored under the batch's id."""
        return _known(self._connection, self._header)

    def add(self, *, object_key: str, size_bytes: int, received_ns: int, tallies: Tallies | None = None) -> None:
        """Record the batch as stored; its object must be durable by now. One that was lost counts again."""
        h = self._header
        (batch,) = self._connection.execute(
            "INSERT INTO batches (gateway, epoch, seq, lane, content, schema, sha256, count, bytes, object,"
            " received_ns, checked_ns, tallied) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
            " ON CONFLICT (gateway, epoch, seq) DO UPDATE SET lost_ns = NULL, checked_ns = excluded.checked_ns,"
            " tallied = 1 WHERE lost_ns IS NOT NULL AND sha256 = excluded.sha256 RETURNING id",
            (
                *(h.gateway, h.epoch, h.seq, h.lane.value, h.content, h.schema, h.sha256, h.count),
                *(size_bytes, object_key, received_ns, received_ns),
            ),
        ).fetchone() or (None,)
        if batch is None:
            raise StoreError(f"ledger: {h.epoch}/{h.seq} is stored already")
        _insert_tallies(self._connection, h.gateway, batch, tallies or {})
        self._connection.execute(
            "INSERT INTO epochs (gateway, epoch, stored, highest_seq) VALUES (?, ?, 1, ?)"
            " ON CONFLICT (gateway, epoch) DO UPDATE SET stored = stored + 1,"
            " highest_seq = max(highest_seq, excluded.highest_seq)",
            (h.gateway, h.epoch, h.seq),
        )
        self._advance()

    def refuse(self, decision: Decision, *, sha256: str, object_key: str, received_ns: int) -> None:
        """Record a refusal; the same bytes refused again add nothing."""
        h = self._header
        self._connection.execute(
            "INSERT OR IGNORE INTO refusals (gateway, epoch, seq, verdict, problem, sha256, object, received_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (h.gateway, h.epoch, h.seq, decision.verdict.value, decision.problem, sha256, object_key, received_ns),
        )

    def _advance(self) -> None:
        """Move `contiguous_seq` over what is now complete; each number is passed once unless an object was lost."""
        name = (self._header.gateway, self._header.epoch)
        row = self._connection.execute(
            "SELECT contiguous_seq FROM epochs WHERE gateway = ? AND epoch = ?", name
        ).fetchone()
        reached = before = int(row["contiguous_seq"])
        rows = self._connection.execute(
            "SELECT seq FROM batches WHERE gateway = ? AND epoch = ? AND seq > ? AND lost_ns IS NULL ORDER BY seq",
            (*name, before),
        )
        for (seq,) in rows:
            if seq != reached + 1:
                break
            reached = seq
        if reached != before:
            self._connection.execute(
                "UPDATE epochs SET contiguous_seq = ? WHERE gateway = ? AND epoch = ?", (reached, *name)
            )


def _known(connection: sqlite3.Connection, header: BatchHeader) -> Known | None:
    try:
        row = connection.execute(
            "SELECT sha256, count, lost_ns FROM batches WHERE gateway = ? AND epoch = ? AND seq = ?",
            (header.gateway, header.epoch, header.seq),
        ).fetchone()
    except sqlite3.Error as exc:
        raise store_error(exc) from exc
    if row is None:
        return None
    return Known(sha256=row["sha256"], count=row["count"], is_lost=row["lost_ns"] is not None)


def _stored(row: sqlite3.Row) -> StoredBatch:
    fields = dict(row)
    return StoredBatch(tally=Tally(fields.pop("count"), fields.pop("digest")), **fields)


def _insert_tallies(connection: sqlite3.Connection, gateway: str, batch: int, tallies: Tallies) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO tallies (gateway, stream, hour, batch, count, digest) VALUES (?, ?, ?, ?, ?, ?)",
        [(gateway, stream, hour, batch, tally.count, tally.digest) for (stream, hour), tally in tallies.items()],
    )
