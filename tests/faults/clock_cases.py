"""Row 9: the machine's clock is wrong, or is set, while readings come: they stay in order, and no time runs back."""

import asyncio
import contextlib
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge.pipeline.clock_watch import ClockWatch
from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.store.journal import Journal
from edge.store.reader import JournalReader
from edge.store.restamp import ClockStep
from shared.clock import NS_PER_S, ManualClock
from shared.readings import Readings
from tests.factories import START_NS, frame, position_frame, roster
from tests.faults.arm import Outcome
from tests.faults.sqlite_disk import Answer
from tests.faults.store_files import watched_files
from tests.faults.store_work import MAX_BYTES
from tests.tools import settled, until

_DAY_NS = 86_400 * NS_PER_S
_TAG_HZ = 5
_PPM = 200e-6
# A clock that is set leaves readings this near to the truth; one that drifts is as wrong as it is.
_NEAR_NS = NS_PER_S // 10

# How wrong the wall clock is before it is set right.
_SET = {
    "3 days behind": -3 * _DAY_NS,
    "a year ahead": 365 * _DAY_NS,
    "1970 at boot": 3600 * NS_PER_S - START_NS,
    "a leap second": NS_PER_S,
    "summer time": 3600 * NS_PER_S,
}
_DRIFTS = "200 ppm fast"
_KINDS = (*_SET, _DRIFTS)


@dataclass(slots=True)
class _Wall:
    """The truth, and the machine's clock that differs from it."""

    clock: ManualClock
    error: Callable[[int], int]
    """What the clock is ahead by, in ns, so many ns after the start."""
    passed_ns: int = 0

    @property
    def true_ns(self) -> int:
        """UTC as it is."""
        return START_NS + self.passed_ns

    def pass_time(self, step_ns: int) -> None:
        """Let time pass; the clock is set when its error changes by more than it drifts."""
        self.passed_ns += step_ns
        self.clock.advance(step_ns / NS_PER_S)
        self.clock.set_utc(self.true_ns + self.error(self.passed_ns))


@dataclass(slots=True)
class _Gateway:
    """The parts that time goes through."""

    journal: Journal
    wall: _Wall
    intake: Intake
    watch: ClockWatch | None
    steps: list[ClockStep] = field(default_factory=list)
    straps: list[int] = field(default_factory=list)
    """When each heart rate was measured."""
    tags: list[int] = field(default_factory=list)

    async def train(self, seconds: int) -> None:
        """Take a strap's frames, which carry no time, and a tag's, whose own clock is right."""
        for _ in range(seconds):
            frames = []
            for _ in range(_TAG_HZ):
                self.wall.pass_time(NS_PER_S // _TAG_HZ)
                tag = position_frame(len(self.tags), t_ns=self.wall.true_ns, clock=self.wall.clock)
                self.tags.append(self.wall.true_ns)
                frames.append(tag)
            frames.append(frame(bytes([0, 120]), clock=self.wall.clock))
            self.straps.append(self.wall.true_ns)
            await settled()
            blocks, _ = self.intake.take(frames)
            await self.journal.append(blocks)


def clocks(count: int, seed: int, folder: Path) -> Outcome:
    """Play `count` cases."""
    return _all(count, seed, folder, watched=True)


def clocks_unwatched(count: int, seed: int, folder: Path) -> Outcome:
    """The same for a gateway that does not look whether its clock was set."""
    return _all(count, seed, folder, watched=False)


def _all(count: int, seed: int, folder: Path, *, watched: bool) -> Outcome:
    failures: list[str] = []
    readings = 0
    for number in range(count):
        kind = _KINDS[number % len(_KINDS)]
        dice = random.Random(seed * 1000 + number)
        place = folder / "clock"
        place.mkdir()
        with watched_files(place, lambda _: Answer.DONE):
            wrong, came = asyncio.run(_one(place / "gateway.sqlite", kind, dice, watched=watched))
        failures += [f"seed {seed} case {number} {kind}: {words}" for words in wrong]
        readings += came
        shutil.rmtree(place)
    return Outcome(tried=count, failures=failures, notes={"readings": readings})


async def _one(path: Path, kind: str, dice: random.Random, *, watched: bool) -> tuple[list[str], int]:
    set_at_ns = round(dice.uniform(5, 90) * NS_PER_S)
    end_ns = set_at_ns + round(dice.uniform(5, 90) * NS_PER_S)

    def error(passed_ns: int) -> int:
        if kind == _DRIFTS:
            return round(passed_ns * _PPM)
        return _SET[kind] if passed_ns < set_at_ns else 0

    clock = ManualClock(utc_ns=START_NS + error(0))
    journal = Journal.open(path, clock, max_bytes=MAX_BYTES)
    gateway = _Gateway(journal, _Wall(clock, error), Intake(Wearers(roster()), clock.boot_id), None)

    async def told(step: ClockStep) -> None:
        gateway.steps.append(step)

    watching = asyncio.create_task(ClockWatch(journal, clock, told).run()) if watched else None
    try:
        await settled()
        await gateway.train(end_ns // NS_PER_S)
        if watching is not None and kind != _DRIFTS:
            await until(lambda: bool(gateway.steps))
    finally:
        if watching is not None:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        journal.close()
    with JournalReader(path) as reader:
        blocks = [block for _, members in reader.blocks(imported=True) for block in members]
    off_ns = _NEAR_NS + abs(error(end_ns))
    wrong = _problems(blocks, "heart_rate", gateway.straps, off_ns)
    return wrong + _problems(blocks, "position", gateway.tags, off_ns), sum(map(len, blocks))


def _problems(blocks: list[Readings], stream: str, measured: list[int], off_ns: int) -> list[str]:
    """Return what is wrong with a stream against when its readings were measured."""
    mine = [block for block in blocks if block.stream == stream]
    sequence = np.concatenate([block.sequence for block in mine])
    times = np.concatenate([block.time_ns for block in mine])
    wrong = []
    if sequence.tolist() != list(range(len(measured))):
        wrong.append(f"{stream}: {len(sequence)} readings of {len(measured)}, or out of order")
        return wrong
    back = int((np.diff(times) < 0).sum())
    if back:
        wrong.append(f"{stream}: time runs back {back} times")
    far = np.abs(times - np.asarray(measured))
    if (far > off_ns).any():
        wrong.append(f"{stream}: {int((far > off_ns).sum())} readings off by up to {far.max() / NS_PER_S:.3f} s")
    return wrong
