"""Row 8: the disk fails a write, a sync or a read while the store works, and the power fails after that."""

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from edge.store.journal import Journal
from shared.clock import ManualClock
from shared.errors import StoreError
from tests.faults.arm import Outcome
from tests.faults.crash import MODES, CutDisk, write_image
from tests.faults.sqlite_disk import Answer, Operation
from tests.faults.store_files import done, watched_files
from tests.faults.store_work import MAX_BYTES, PAUSE_S, Ledger, make_append, recover, remove, send

_APPENDS = 24
_FIRST, _LAST = 1, 350
"""Between which of its operations a run of work meets the fault."""
_TRIES_BEFORE_RESTART = 3
_RESTARTS = 8
# What fails: an operation, how, and whether reads are watched too (which is slow).
_FAULTS: tuple[tuple[str, Answer], ...] = (
    ("write", Answer.FAILED),
    ("write", Answer.HALF_DONE),
    ("write", Answer.NO_SPACE),
    ("sync", Answer.FAILED),
    ("sync", Answer.FAILED),
    ("truncate", Answer.FAILED),
    ("create", Answer.NO_SPACE),
    ("read", Answer.FAILED),
)


@dataclass(slots=True)
class _FailingDisk:
    """Fails the `burst` operations of one kind that come next after operation `first`."""

    folder: Path
    kind: str
    answer: Answer
    first: int
    burst: int
    seen: int = 0
    met: int = 0
    cut: CutDisk = field(default_factory=CutDisk)

    def watch(self, operation: Operation) -> Answer:
        """Answer one operation, and keep what a power cut would leave."""
        self.seen += 1
        answer = Answer.DONE
        if self.seen >= self.first and self.met < self.burst and operation.kind == self.kind:
            self.met += 1
            answer = self.answer
        path = str(Path(operation.path).relative_to(self.folder))
        if answer is Answer.DONE and operation.kind != "read":
            done(self.cut, operation, path=path)
        elif answer is Answer.FAILED and operation.kind == "sync":
            self.cut.sync_failed(path)
        elif answer is Answer.HALF_DONE:
            half = operation.body[: len(operation.body) // 2]
            self.cut.write(path, operation.offset, half)
        return answer


class _Gateway:
    """Works as the durable lane does: what fails is tried again, and nothing is acknowledged until it went."""

    def __init__(self, folder: Path, clock: ManualClock, ledger: Ledger, dice: random.Random) -> None:
        self._path = folder / "gateway.sqlite"
        self._clock = clock
        self._ledger = ledger
        self._dice = dice
        self._journal: Journal | None = None
        self.errors = 0
        self.restarts = 0

    async def work(self, appends: int) -> None:
        """Append, fill, send and remove, whatever the disk does."""
        for _ in range(appends):
            self._clock.advance(PAUSE_S if self._dice.random() < 0.05 else self._dice.uniform(0.1, 6.0))
            blocks, rejected, gaps = make_append(self._dice, self._ledger, self._clock)
            await self._until_done(lambda journal, given=blocks: journal.append(given))
            await self._until_done(lambda journal, r=rejected, g=gaps: journal.note(r, g))
            self._ledger.acknowledge()
            chore = self._dice.choice([_fill, _fill, _send, _remove, None, None])
            if chore is not None:
                await self._once(lambda journal, chore=chore: chore(journal, self._ledger))

    def close(self) -> None:
        """End the process."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    async def _until_done(self, step: Callable[[Journal], Awaitable[object]]) -> None:
        for _ in range(_RESTARTS):
            for _ in range(_TRIES_BEFORE_RESTART):
                if await self._once(step):
                    return
            self.close()
            self.restarts += 1
            self._ledger.may_double[self._ledger.handed - 1] += 1
        raise StoreError("the store does not get over it")

    async def _once(self, step: Callable[[Journal], Awaitable[object]]) -> bool:
        try:
            if self._journal is None:
                self._journal = Journal.open(self._path, self._clock, max_bytes=MAX_BYTES)
            await step(self._journal)
        except StoreError:
            self.errors += 1
            return False
        return True


def disk_errors(count: int, seed: int, folder: Path) -> Outcome:
    """Put one fault, or a burst of them, into each of `count` runs of work."""
    return _all(count, seed, folder, swallowed=False)


def swallowed_errors(count: int, seed: int, folder: Path) -> Outcome:
    """The same with writes and syncs that are left out and reported as done."""
    return _all(count, seed, folder, swallowed=True)


def _all(count: int, seed: int, folder: Path, *, swallowed: bool) -> Outcome:
    failures: list[str] = []
    notes = {"faults met": 0.0, "errors raised": 0.0, "restarts": 0.0}
    for number in range(count):
        dice = random.Random(seed * 100_000 + number)
        kind, answer = dice.choice(_FAULTS)
        if swallowed:
            kind, answer = dice.choice(("write", "sync")), Answer.DROPPED
        disk = _FailingDisk(
            folder / "work", kind, answer, first=dice.randint(_FIRST, _LAST), burst=dice.choice((1, 1, 2, 5, 20))
        )
        wrong, gateway = _one(disk, dice, folder)
        failures += [f"seed {seed} try {number} {kind} {answer.name} at {disk.first}: {w}" for w in wrong[:1]]
        notes["faults met"] += disk.met > 0
        notes["errors raised"] += gateway.errors
        notes["restarts"] += gateway.restarts
    return Outcome(tried=count, failures=failures, notes=notes)


def _one(disk: _FailingDisk, dice: random.Random, folder: Path) -> tuple[list[str], _Gateway]:
    ledger, clock = Ledger(), ManualClock()
    disk.folder.mkdir()
    gateway = _Gateway(disk.folder, clock, ledger, dice)
    try:
        with watched_files(disk.folder, disk.watch, reads=disk.kind == "read"):
            try:
                asyncio.run(gateway.work(dice.randint(_APPENDS // 2, _APPENDS)))
            except StoreError as exc:
                return [str(exc)], gateway
            finally:
                image = disk.cut.image(dice.choice(MODES), dice)
                gateway.close()
        return _after(image, ledger, clock, dice, folder / "image"), gateway
    finally:
        shutil.rmtree(disk.folder)


def _after(image: dict[str, bytes], ledger: Ledger, clock: ManualClock, dice: random.Random, folder: Path) -> list[str]:
    folder.mkdir()
    write_image(image, folder)
    later = ManualClock(utc_ns=clock.utc_ns(), boot_id="boot-1")
    try:
        with watched_files(folder, lambda _: Answer.DONE):
            path = folder / "gateway.sqlite"
            return asyncio.run(recover(path, ledger, ledger.moment, later, dice=dice, drain=dice.random() < 0.5))
    finally:
        shutil.rmtree(folder)


async def _fill(journal: Journal, _ledger: Ledger) -> object:
    return await journal.fill(backlog=False)


async def _send(journal: Journal, ledger: Ledger) -> object:
    return await send(journal, ledger, 3)


async def _remove(journal: Journal, ledger: Ledger) -> object:
    return await remove(journal, ledger)
