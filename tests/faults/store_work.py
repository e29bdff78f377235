"""A season of work for a journal, and a ledger that knows at any moment what it must hold and may hold."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.sensors.base import Rejected
from edge.store.journal import Journal
from edge.store.outbox import Pending
from edge.store.reader import JournalReader
from shared.batch import sha256_hex
from shared.clock import NS_PER_MS, ManualClock, stamp
from shared.errors import SidelineError
from shared.ids import SensorId
from shared.parquet_codec import decode_parquet
from shared.quantities import STREAMS
from shared.readings import Frame, Gap, Readings
from tests.factories import readings

MAX_BYTES = 256 * 1024 * 1024
PAUSE_S = 45 * 60.0
"""Ends a session."""
_GAP_REASON = "lost on the way"
_STREAMS = (("heart_rate", "C0:00:00:00:00:01"), ("position", "tag-01"), ("position", "tag-02"), ("imu", "tag-01"))

Key = tuple[str, str, str]
"""Sensor, stream and origin of readings."""
Sent = dict[tuple[str, int], bytes]
"""What the cloud has: bodies by epoch and number."""


@dataclass(slots=True)
class Moment:
    """What had been promised at one moment; numbers are those of appends."""

    acknowledged: int = 0
    removable: int = 0
    """Appends before this one may have been removed: the cloud has them."""
    sent: Sent = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came back: words for what is not as it was handed, and per append how many readings, each counted once."""

    wrong: list[str]
    doubled: list[int]
    """The append of each reading that came more than once."""
    counts: NDArray[np.int64]


@dataclass(slots=True)
class _Column:
    sequence: int = 0
    ends: list[int] = field(default_factory=list)
    """How many readings of this key there are up to and with each append."""
    times: list[NDArray[np.int64]] = field(default_factory=list)
    values: list[NDArray[np.float64]] = field(default_factory=list)


class Ledger:
    """What was handed to a journal, append by append, and the promises made since; `note` hears of each at once."""

    def __init__(self, note: Callable[[Moment], None] = lambda _: None) -> None:
        self.handed = 0
        self.moment = Moment()
        self._note = note
        self._columns: dict[Key, _Column] = {}
        self.may_double: Counter[int] = Counter()
        """How often an append failed before a restart and came again: the cloud takes out what it has twice."""
        self.gaps: list[int] = []
        self.rejected: list[int] = []

    def hand(self, blocks: Sequence[Readings], gaps: Sequence[Gap] = (), rejected: Sequence[Rejected] = ()) -> None:
        """Take down what the next append holds."""
        for block in blocks:
            key = (str(block.sensor), block.stream, block.origin)
            column = self._columns.setdefault(key, _Column(ends=[0] * self.handed))
            column.times.append(block.time_ns)
            column.values.append(block.values)
            column.sequence += len(block)
        self.handed += 1
        for column in self._columns.values():
            column.ends.append(column.sequence)
        self.gaps.append((self.gaps[-1] if self.gaps else 0) + sum(gap.count for gap in gaps))
        self.rejected.append((self.rejected[-1] if self.rejected else 0) + len(rejected))

    def acknowledge(self) -> None:
        """The newest append was acknowledged."""
        self.promise(acknowledged=self.handed)

    def promise(self, **changed: object) -> None:
        """Note a new moment."""
        self.moment = replace(self.moment, **changed)  # type: ignore[arg-type]
        self._note(self.moment)

    def next_sequence(self, key: Key) -> int:
        """Return the number of the next reading of a key."""
        return self._columns[key].sequence if key in self._columns else 0

    def compare(self, blocks: Sequence[Readings]) -> "Comparison":
        """Return what readings that came back say, append by append."""
        found: dict[Key, list[Readings]] = {}
        for block in blocks:
            found.setdefault((str(block.sensor), block.stream, block.origin), []).append(block)
        wrong = [f"{key}: never handed to the journal" for key in found if key not in self._columns]
        counts = np.zeros(self.handed, np.int64)
        doubled: list[int] = []
        for key, column in self._columns.items():
            if key not in found:
                continue
            sequence = np.concatenate([part.sequence for part in found[key]])
            if sequence.min() < 0 or sequence.max() >= column.sequence:
                wrong.append(f"{key}: readings that were never handed")
                continue
            times = np.concatenate([part.time_ns for part in found[key]])
            values = np.concatenate([part.values for part in found[key]])
            finest = np.array([quantity.resolution for quantity in STREAMS[key[1]].quantities])
            if (times != np.concatenate(column.times)[sequence]).any():
                wrong.append(f"{key}: times changed")
            if not (np.abs(values - np.concatenate(column.values)[sequence]) <= 0.51 * finest).all():
                wrong.append(f"{key}: values changed")
            owners = np.searchsorted(np.asarray(column.ends), np.sort(sequence), side="right")
            twice = np.flatnonzero(np.diff(np.sort(sequence), prepend=-1) == 0)
            doubled += owners[twice].tolist()
            counts += np.bincount(np.delete(owners, twice), minlength=self.handed)
        return Comparison(wrong=wrong, doubled=doubled, counts=counts)

    def wholes(self) -> NDArray[np.int64]:
        """Return how many readings each append had."""
        parts = [np.diff(np.asarray(column.ends), prepend=0) for column in self._columns.values()]
        return np.sum(parts, axis=0) if parts else np.zeros(self.handed, np.int64)

    def problems(self, blocks: Sequence[Readings], moment: Moment, *, removed: bool) -> list[str]:
        """Return what is wrong with readings that came back: lost, doubled, torn, changed or never handed.

        With `removed`, appends that were removable may be missing; each stands as a whole or not at all.
        """
        came = self.compare(blocks)
        wrong, counts, wholes = came.wrong, came.counts, self.wholes()
        twice = [owner for owner in came.doubled if owner not in self.may_double]
        if twice:
            wrong.append(f"{len(twice)} readings stand twice, the first of append {twice[0]}")
        first = moment.removable if removed else 0
        lost = np.flatnonzero(counts[first : moment.acknowledged] < wholes[first : moment.acknowledged]) + first
        if len(lost):
            wrong.append(f"{len(lost)} acknowledged appends lost or torn, the first number {lost[0]}")
        torn = np.flatnonzero((counts > 0) & (counts < wholes))
        wrong += [f"append {number} is torn" for number in torn if number >= moment.acknowledged or number < first]
        if (counts[moment.acknowledged + 1 :] > 0).any():
            wrong.append("readings from the future")
        return wrong


def make_append(
    dice: random.Random, ledger: Ledger, clock: ManualClock, origin: str = "device-1"
) -> tuple[list[Readings], list[Rejected], list[Gap]]:
    """Return what one commit of a small squad holds, and hand it to the ledger."""
    blocks = []
    for stream, sensor in dice.sample(_STREAMS, dice.randint(1, len(_STREAMS))):
        count = dice.randint(1, 12)
        first = ledger.next_sequence((sensor, stream, origin))
        rows = [[float(dice.randint(0, 90)) for _ in STREAMS[stream].quantities] for _ in range(count)]
        # Whole milliseconds: the store keeps times less finely than a clock counts.
        newest_ns = clock.utc_ns() // NS_PER_MS * NS_PER_MS
        times_ns = newest_ns - np.arange(count, dtype=np.int64)[::-1] * 10 * NS_PER_MS
        blocks.append(readings(stream, rows, times_ns=times_ns, sensor=SensorId(sensor), origin=origin, first=first))
    gaps = [
        Gap(sensor=None, stream="imu", from_ns=clock.utc_ns(), to_ns=clock.utc_ns(), count=3, reason=_GAP_REASON)
    ] * (dice.random() < 0.1)
    frame = Frame(sensor=SensorId("tag-01"), channel="imu", body=dice.randbytes(40), received=stamp(clock))
    rejected = [Rejected(frame=frame, reason="too short")] * (dice.random() < 0.1)
    ledger.hand(blocks, gaps, rejected)
    return blocks, rejected, gaps


async def work(journal: Journal, clock: ManualClock, ledger: Ledger, dice: random.Random, appends: int) -> None:
    """Append, fill and send batches, pause between sessions, and remove what the cloud has."""
    for _ in range(appends):
        clock.advance(PAUSE_S if dice.random() < 0.015 else dice.uniform(0.1, 4.0))
        blocks, rejected, gaps = make_append(dice, ledger, clock)
        await journal.append(blocks, rejected, gaps)
        ledger.acknowledge()
        if dice.random() < 0.12:
            await journal.fill(backlog=dice.random() < 0.5)
        if dice.random() < 0.2:
            await send(journal, ledger, dice.randint(1, 4))
        if dice.random() < 0.03:
            await remove(journal, ledger)


async def send(journal: Journal, ledger: Ledger, batches: int) -> list[str]:
    """Give up to so many batches to a cloud that keeps all; return what it would complain of."""
    complaints = []
    for _ in range(batches):
        batch: Pending | None = await journal.run(journal.outbox.next_pending, "gateway-1")
        if batch is None:
            break
        key = (str(batch.header.epoch), batch.header.seq)
        if sha256_hex(batch.body) != batch.header.sha256:
            complaints.append(f"batch {key[1]} does not match its digest")
        known = ledger.moment.sent.get(key)
        if known is not None and known != batch.body:
            complaints.append(f"batch {key[1]} was sent before with other bytes")
        ledger.promise(sent=ledger.moment.sent | {key: batch.body})
        status = "stored" if known is None else "duplicate"
        await journal.run(journal.outbox.record_receipt, batch.header.epoch, batch.header.seq, status)
    return complaints


async def remove(journal: Journal, ledger: Ledger) -> None:
    """Let the cloud agree on all that it has, and remove the sessions that are complete there."""
    ledger.promise(removable=ledger.moment.acknowledged)
    await journal.run(agree_on_all, journal)
    await journal.keep(keep_ns=0, pressed=True, has_cloud=True)


def agree_on_all(journal: Journal) -> None:
    """Do what the daily comparison with the cloud does where both count the same."""
    book = journal.outbox._book
    book.execute("UPDATE tally SET agreed_ns = 1 WHERE agreed_ns IS NULL")


async def recover(
    path: Path, ledger: Ledger, moment: Moment, clock: ManualClock, *, dice: random.Random, drain: bool
) -> list[str]:
    """Open what is left with the real journal and return what is wrong with it; with `drain`, send all of it too."""
    try:
        journal = Journal.open(path, clock, max_bytes=MAX_BYTES)
    except SidelineError as exc:
        return [f"does not open: {exc}"]
    try:
        return await _recovered(journal, path, ledger, moment, clock, dice=dice, drain=drain)
    except SidelineError as exc:
        return [f"does not go on: {type(exc).__name__} {exc}"]
    finally:
        journal.close()


async def _recovered(
    journal: Journal,
    path: Path,
    ledger: Ledger,
    moment: Moment,
    clock: ManualClock,
    *,
    dice: random.Random,
    drain: bool,
) -> list[str]:
    with JournalReader(path) as reader:
        blocks = [block for _, members in reader.blocks(imported=True) for block in members]
    wrong = ledger.problems(blocks, moment, removed=True)
    for what, counted, promised in (
        ("gaps", sum(row[2] for row in await journal.gaps() if row[1] == _GAP_REASON), ledger.gaps),
        ("rejected", sum(row[2] for row in await journal.quarantined()), ledger.rejected),
    ):
        at_least = promised[moment.acknowledged - 1] if moment.acknowledged else 0
        at_most = promised[min(moment.acknowledged, ledger.handed - 1)]
        at_most += sum(times * _share(promised, number) for number, times in ledger.may_double.items())
        if not at_least <= counted <= at_most:
            wrong.append(f"{what}: {counted} recorded, {at_least} were acknowledged")
    if drain:
        wrong += await _drained(journal, ledger, moment, clock, dice)
    return wrong


def _share(promised: Sequence[int], number: int) -> int:
    """Return what one append added to a running sum."""
    return promised[number] - (promised[number - 1] if number else 0)


async def _drained(
    journal: Journal, ledger: Ledger, moment: Moment, clock: ManualClock, dice: random.Random
) -> list[str]:
    """Go on for one append more, send everything, and compare the cloud with what was promised."""
    later = Ledger()
    later.moment = replace(moment)
    clock.advance(1.0)
    fresh = make_append(dice, Ledger(), clock, origin="device-2")
    await journal.append(fresh[0], fresh[1], fresh[2])
    wrong = []
    while await journal.run(journal.outbox.fill):
        pass
    while (backlog := await journal.run(journal.outbox.backlog)).batches:
        wrong += await send(journal, later, backlog.batches)
    if await journal.run(journal.outbox.next_pending, "gateway-1") is not None:
        wrong.append("a batch waits that is not counted")
    received = [block for body in later.moment.sent.values() for block in decode_parquet(body)]
    new = sum(len(block) for block in received if block.origin == "device-2")
    if new != sum(map(len, fresh[0])):
        wrong.append(f"{new} of {sum(map(len, fresh[0]))} readings arrived that were stored after the cut")
    old = [block for block in received if block.origin != "device-2"]
    return wrong + [f"cloud: {words}" for words in ledger.problems(old, moment, removed=False)]
