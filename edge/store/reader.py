"""Reads the journal from outside the gateway, while it runs or not; writes nothing."""

import sqlite3
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from edge.store.database import open_reader, translated
from edge.store.journal import read_chunks
from shared.ids import AthleteId
from shared.readings import Readings, select

# Read in steps: one long read would keep the gateway's write-ahead log from being folded back.
_STEP_CHUNKS = 500


class JournalReader:
    """A read-only connection for as long as the `with` lasts."""

    def __init__(self, path: Path) -> None:
        self._connection = open_reader(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def chunks(self) -> int:
        """Return the number of the newest chunk, 0 where nothing is stored."""
        return self._number("SELECT coalesce(max(id), 0) FROM chunk")

    def latest_session(self, gap_ns: int) -> int | None:
        """Return the first chunk of the latest live session, which no pause of more than `gap_ns` interrupts."""
        first: int | None = None
        later_ns = 0
        sql = "SELECT id, stored_ns FROM chunk WHERE source = 'live' ORDER BY id DESC"
        try:
            for row, stored_ns in self._connection.execute(sql):
                if first is not None and later_ns - stored_ns > gap_ns:
                    break
                first, later_ns = row, stored_ns
        except sqlite3.Error as exc:
            raise translated(exc) from exc
        return first

    def blocks(
        self,
        *,
        first: int = 1,
        from_ns: int | None = None,
        to_ns: int | None = None,
        athletes: AbstractSet[AthleteId] = frozenset(),
        imported: bool,
    ) -> Iterator[tuple[int, list[Readings]]]:
        """Yield, chunk by chunk from number `first` on, its number and its readings in [from_ns, to_ns).

        `athletes` are the ones asked for, all when there are none; `imported` includes readings out of files. What is
        stored after the first step is left out.
        Raises: StoreError.
        """
        position, newest = first - 1, self.chunks()
        while position < newest:
            try:
                chunks = list(read_chunks(self._connection, position, _STEP_CHUNKS, imported=imported))
            except sqlite3.Error as exc:
                raise translated(exc) from exc
            if not chunks:
                return
            for row, blocks in chunks:
                if row > newest:
                    return
                wanted = [block for block in blocks if not athletes or block.athlete in athletes]
                yield row, [part for block in wanted if len(part := _between(block, from_ns, to_ns))]
            position = chunks[-1][0]

    def _number(self, sql: str) -> int:
        try:
            return int(self._connection.execute(sql).fetchone()[0])
        except sqlite3.Error as exc:
            raise translated(exc) from exc


def _between(block: Readings, from_ns: int | None, to_ns: int | None) -> Readings:
    inside = np.ones(len(block), bool)
    if from_ns is not None:
        inside &= block.time_ns >= from_ns
    if to_ns is not None:
        inside &= block.time_ns < to_ns
    return block if inside.all() else select(block, inside)
