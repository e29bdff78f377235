"""Row 2: the power fails while the store works; what it promised must be there after it is switched on again."""

import asyncio
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.store.journal import Journal
from shared.clock import ManualClock
from tests.faults.arm import Outcome
from tests.faults.crash import MODES, CutDisk, write_image
from tests.faults.sqlite_disk import Answer, Operation
from tests.faults.store_files import done, watched_files
from tests.faults.store_work import MAX_BYTES, Ledger, Moment, recover, work

_APPENDS = 150
_IMAGES_EACH = 250
"""So many cuts of one run of work."""
_DRAINED = 0.25
"""Share of the images whose outbox is sent to its end."""


@dataclass(frozen=True, slots=True)
class _Trace:
    ledger: Ledger
    events: list[Operation | Moment]
    end_ns: int


def record(folder: Path, seed: int, appends: int) -> _Trace:
    """Let a journal work in `folder` and return every operation on its files between the promises it made."""
    events: list[Operation | Moment] = []
    ledger = Ledger(events.append)
    clock = ManualClock()

    def watch(operation: Operation) -> Answer:
        events.append(operation)
        return Answer.DONE

    async def run() -> None:
        journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=MAX_BYTES)
        try:
            await work(journal, clock, ledger, random.Random(seed), appends)
        finally:
            journal.close()

    folder.mkdir(parents=True)
    with watched_files(folder, watch):
        asyncio.run(run())
    return _Trace(ledger, [_relative(event, folder) for event in events], clock.utc_ns())


def without_commit_syncs(events: Sequence[Operation | Moment]) -> list[Operation | Moment]:
    """Return a trace as `synchronous=NORMAL` would have left it: the log is synced only before it is folded back."""
    kept: list[Operation | Moment] = []
    waiting: dict[str, Operation] = {}
    for event in events:
        if isinstance(event, Operation):
            if event.kind == "sync" and event.path.endswith("-wal"):
                waiting[event.path] = event
                continue
            log = f"{event.path}-wal"
            if event.kind == "write" and log in waiting:
                kept.append(waiting.pop(log))
        kept.append(event)
    return kept


def replay(events: Sequence[Operation | Moment], cuts: Sequence[int]) -> Iterator[tuple[int, CutDisk, Moment]]:
    """Yield the disk and the promises at each cut; `cuts` ascend."""
    disk, moment, position = CutDisk(), Moment(), 0
    for cut in cuts:
        for event in events[position:cut]:
            if isinstance(event, Moment):
                moment = event
            else:
                done(disk, event)
        position = cut
        yield cut, disk, moment


def power_cut(count: int, seed: int, folder: Path) -> Outcome:
    """Cut the power `count` times."""
    return _cut(count, seed, folder, normal=False)


def power_cut_normal(count: int, seed: int, folder: Path) -> Outcome:
    """The same with what `synchronous=NORMAL` syncs."""
    return _cut(count, seed, folder, normal=True)


def _cut(count: int, seed: int, folder: Path, *, normal: bool) -> Outcome:
    failures: list[str] = []
    notes = {"operations": 0.0, "appends": 0.0, "images drained": 0.0}
    done = 0
    for run in range(-(-count // _IMAGES_EACH)):
        run_seed = seed * 1000 + run
        trace = record(folder / f"work{run}", run_seed, _APPENDS)
        events = without_commit_syncs(trace.events) if normal else trace.events
        notes["operations"] += len(events)
        notes["appends"] += trace.ledger.handed
        dice = random.Random(run_seed)
        cuts = sorted(dice.randrange(1, len(events) + 1) for _ in range(min(_IMAGES_EACH, count - done)))
        for number, (cut, disk, moment) in enumerate(replay(events, cuts)):
            mode = dice.choice(MODES)
            drain = dice.random() < _DRAINED
            wrong = _check(disk.image(mode, dice), trace, moment, folder / "image", dice, drain=drain)
            failures += [f"seed {run_seed} image {number} cut {cut} of {len(events)} {mode}: {w}" for w in wrong[:1]]
            notes["images drained"] += drain
            done += 1
        shutil.rmtree(folder / f"work{run}")
    return Outcome(tried=done, failures=failures, notes=notes)


def _check(
    image: dict[str, bytes], trace: _Trace, moment: Moment, folder: Path, dice: random.Random, *, drain: bool
) -> list[str]:
    write_image(image, folder)
    clock = ManualClock(utc_ns=trace.end_ns, boot_id="boot-1")
    try:
        with watched_files(folder, lambda _: Answer.DONE):
            path = folder / "gateway.sqlite"
            return asyncio.run(recover(path, trace.ledger, moment, clock, dice=dice, drain=drain))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _relative(event: Operation | Moment, folder: Path) -> Operation | Moment:
    if isinstance(event, Moment):
        return event
    path = str(Path(event.path).relative_to(folder))
    return Operation(event.kind, path, event.offset, event.body, event.syncs_folder)
