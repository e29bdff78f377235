"""Compares what a gateway holds of some stream-hours with what is stored. Blocking; called in a thread.

The sums of the batches' tallies are compared first. Where they differ, the objects are read and each reading counts
once, the first that arrived: what was sent twice is no difference. On the way objects that are lost come to light.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from cloud.ingest.ledger import Ledger, StoredBatch
from cloud.objects import Objects
from shared.batch import Reconcile, Reconciled, SeqRange, StreamHour, sha256_hex
from shared.clock import NS_PER_S, Clock
from shared.errors import DecodeError, StoreError
from shared.log import get_logger
from shared.parquet_codec import decode_parquet
from shared.readings import Readings
from shared.tally import NOTHING, HashedReadings, Tally, hashed, signed, tallies

_log = get_logger("ingest")
_DAY_NS = 86_400 * NS_PER_S
# Two hashes a reading: 64 MiB at once.
_READINGS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Compares tallies for `budget_s` at most, give or take one stream-hour; `on_lost` hears why an object is lost."""

    ledger: Ledger
    objects: Objects
    clock: Clock
    budget_s: float
    on_lost: Callable[[str], None]
    readings_at_once: int = _READINGS_AT_ONCE

    def compare(self, gateway: str, asked: Reconcile) -> Reconciled:
        """Return which of the asked stream-hours differ, in the order of the question.

        Raises: StoreError, StoreFull; nothing is decided then.
        """
        end_ns = self.clock.mono_ns() + round(self.budget_s * NS_PER_S)
        if not self._tally_older(gateway, end_ns):
            return Reconciled(differing=[], unchecked=len(asked.tallies))
        theirs: dict[str, list[SeqRange]] = defaultdict(list)
        for one in asked.batches:
            theirs[one.epoch].append(one)
        differing: list[StreamHour] = []
        for done, line in enumerate(asked.tallies):
            if done and self.clock.mono_ns() > end_ns:
                return Reconciled(differing=differing, unchecked=len(asked.tallies) - done)
            held = self._held(gateway, line, theirs)
            if held != Tally(line.count, line.digest):
                differing.append(StreamHour(stream=line.stream, hour=line.hour, count=held.count, digest=held.digest))
        return Reconciled(differing=differing)

    def _held(self, gateway: str, line: StreamHour, theirs: dict[str, list[SeqRange]]) -> Tally:
        """Return the tally of what is stored, by the cheapest way that settles the question."""
        named = self.ledger.holding(gateway, line.stream, line.hour)
        sent = [b for b in named if any(r.first <= b.seq <= r.last for r in theirs.get(b.epoch, ()))]
        there = self._there(gateway, sent)
        total = NOTHING
        for batch in there:
            total += batch.tally
        if total == Tally(line.count, line.digest) or total.count < line.count:
            return total  # what came twice only makes it fewer
        return self._exact(gateway, line, there)

    def _there(self, gateway: str, batches: list[StoredBatch]) -> list[StoredBatch]:
        """Return the batches whose objects have the right size and, once a day, the right digest."""
        now_ns = self.clock.utc_ns()
        sound: list[StoredBatch] = []
        checked: list[int] = []
        for batch in batches:
            if abs(now_ns - batch.checked_ns) > _DAY_NS:
                if self._body(gateway, batch) is None:
                    continue
                checked.append(batch.id)
            elif (size := self.objects.size(batch.object)) != batch.size_bytes:
                self._lose(gateway, batch, "missing" if size is None else "damaged")
                continue
            sound.append(batch)
        if checked:
            self.ledger.note_checked(checked, now_ns)
        return sound

    def _exact(self, gateway: str, line: StreamHour, batches: list[StoredBatch]) -> Tally:
        """Return the tally of the readings that stand in these batches, each identity once.

        The hashes go to scratch files, equal identities to the same one, so that each fits into memory.
        """
        parts = max(1, -(-sum(batch.tally.count for batch in batches) // self.readings_at_once))
        with ExitStack() as stack:
            try:
                files = [stack.enter_context(self.objects.scratch()) for _ in range(parts)]
                for batch in batches:
                    body = self._body(gateway, batch)
                    for part in hashed(_blocks(body, batch)) if body is not None else ():
                        _spread(part, line.hour, files)
                return sum((_each_once(file) for file in files), start=NOTHING)
            except OSError as exc:
                raise StoreError(f"scratch files: {exc.strerror or exc}") from exc

    def _tally_older(self, gateway: str, end_ns: int) -> bool:
        """Tally batches from before the ledger kept tallies; return whether that is done."""
        for done, batch in enumerate(self.ledger.untallied(gateway)):
            if done and self.clock.mono_ns() > end_ns:
                return False
            body = self._body(gateway, batch)
            if body is not None:
                self.ledger.tally(gateway, batch.id, tallies(_blocks(body, batch)))
        return True

    def _body(self, gateway: str, batch: StoredBatch) -> bytes | None:
        """Return a batch's bytes; None, and the batch is forgotten, when they are not what was stored."""
        body = self.objects.read(batch.object)
        if body is not None and sha256_hex(body) == batch.sha256:
            return body
        self._lose(gateway, batch, "missing" if body is None else "damaged")
        return None

    def _lose(self, gateway: str, batch: StoredBatch, problem: str) -> None:
        """Let a batch come again: what is left of its object is kept aside first, so that nothing is overwritten."""
        self.objects.move_aside(batch.object, f"damaged/{gateway}/{batch.epoch}/{batch.seq:012d}.{batch.id}")
        self.ledger.forget(batch.id, self.clock.utc_ns())
        self.on_lost(problem)
        _log.error("stored object is lost", gateway=gateway, object=batch.object, problem=problem)


def _blocks(body: bytes, batch: StoredBatch) -> Iterable[Readings]:
    try:
        return decode_parquet(body)
    except DecodeError as exc:
        _log.error("stored object does not decode", object=batch.object, problem=exc.reason)
        return []


def _spread(part: HashedReadings, hour: int, files: list[BinaryIO]) -> None:
    """Write identity and content of an hour's readings, those of one identity into one file."""
    chosen = part.hour == hour
    pairs = np.column_stack((part.identity[chosen], part.content[chosen]))
    which = pairs[:, 0] % np.uint64(len(files))
    for number, file in enumerate(files):
        file.write(pairs[which == number].tobytes())


def _each_once(file: BinaryIO) -> Tally:
    file.seek(0)
    pairs = np.frombuffer(file.read(), np.uint64).reshape(-1, 2)
    _, first = np.unique(pairs[:, 0], return_index=True)
    return Tally(len(first), signed(int(pairs[first, 1].sum(dtype=np.uint64))))
