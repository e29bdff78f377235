"""The ledger of batches: which ids are stored, under which digest, and up to where each epoch is complete."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cloud.database import open_database, store_error, transaction
from cloud.ingest.decide import Decision, Known
from shared.batch import BatchHeader, EpochState


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
            "SELECT contiguous_seq, stored FROM epochs WHERE gateway = ? AND epoch = ?", (gateway, epoch)
        )
        if not rows:
            return EpochState(epoch=epoch, contiguous_seq=-1, stored=0)
        return EpochState(epoch=epoch, contiguous_seq=rows[0]["contiguous_seq"], stored=rows[0]["stored"])

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
        """Return all stored batches in order of arrival."""
        rows = self._query(
            "SELECT gateway, epoch, seq, content, sha256, count, object, received_ns FROM batches ORDER BY id", ()
        )
        return [BronzeObject(**dict(row)) for row in rows]

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

    def add(self, *, object_key: str, size_bytes: int, received_ns: int) -> None:
        """Record the batch as stored; its object must be durable by now."""
        h = self._header
        self._connection.execute(
            "INSERT INTO batches (gateway, epoch, seq, lane, content, schema, sha256, count, bytes, object,"
            " received_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(h.gateway, h.epoch, h.seq, h.lane.value, h.content, h.schema, h.sha256, h.count),
                *(size_bytes, object_key, received_ns),
            ),
        )
        self._connection.execute(
            "INSERT INTO epochs (gateway, epoch, stored) VALUES (?, ?, 1)"
            " ON CONFLICT (gateway, epoch) DO UPDATE SET stored = stored + 1",
            (h.gateway, h.epoch),
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
        """Move `contiguous_seq` over what is now complete; each number is passed once in the epoch's life."""
        name = (self._header.gateway, self._header.epoch)
        row = self._connection.execute(
            "SELECT contiguous_seq FROM epochs WHERE gateway = ? AND epoch = ?", name
        ).fetchone()
        reached = before = int(row["contiguous_seq"])
        rows = self._connection.execute(
            "SELECT seq FROM batches WHERE gateway = ? AND epoch = ? AND seq > ? ORDER BY seq", (*name, before)
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
            "SELECT sha256, count FROM batches WHERE gateway = ? AND epoch = ? AND seq = ?",
            (header.gateway, header.epoch, header.seq),
        ).fetchone()
    except sqlite3.Error as exc:
        raise store_error(exc) from exc
    return None if row is None else Known(sha256=row["sha256"], count=row["count"])
