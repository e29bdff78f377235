"""Row 3: the power fails between any two operations on the files of model slots and roster."""

import asyncio
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec

from edge.durable import LocalDisk
from edge.inference.gate import Verdict
from edge.inference.runner import Runner
from edge.pipeline.roster import keep_roster
from edge.release.installer import Installer
from edge.release.slots import Slot
from edge.release.updater import ModelUpdater, place_model
from edge.settings import ReleaseSettings
from shared.clock import ManualClock
from shared.errors import SidelineError
from shared.release import Channel
from shared.roster import encode_roster, read_roster
from tests.factories import effort_inputs, roster, write_model
from tests.faults.arm import Outcome
from tests.faults.crash import MODES, CutDisk, write_image
from tests.tools import until

_STEPS = 14
_IMAGES_EACH = 500
_MODEL = "effort"
_BOUND_S = 60.0
_WATCHERS = 2


@dataclass(frozen=True, slots=True)
class _Promise:
    """What holds from here on: what may run, which versions may be refused, and which rosters may be read."""

    active: frozenset[str | None] = frozenset({None})
    refused: frozenset[str] = frozenset()
    rosters: frozenset[bytes | None] = frozenset({None})
    """None: there may be none."""


_Event = tuple[str, tuple[Any, ...]] | _Promise


class _WaitedClock(ManualClock):
    """Tells how many wait for it."""

    asleep = 0

    async def sleep(self, seconds: float) -> None:
        """Wait until time has passed."""
        self.asleep += 1
        try:
            await super().sleep(seconds)
        finally:
            self.asleep -= 1


class RecordingDisk(LocalDisk):
    """The machine's file system, and a list of what was done to it below one folder."""

    def __init__(self, folder: Path, events: list[_Event]) -> None:
        self._folder = folder
        self._events = events
        self._there: set[Path] = set()

    def write(self, path: Path, body: bytes) -> None:
        """Note the new file's parts."""
        super().write(path, body)
        self._note("truncate" if path in self._there else "create", path, *([0] if path in self._there else []))
        self._there.add(path)
        self._note("write", path, 0, body)

    def sync(self, path: Path) -> None:
        """Note it; the disk of this machine need not do it."""
        self._note("sync", path)

    def rename(self, path: Path, to: Path) -> None:
        """Note both names."""
        super().rename(path, to)
        self._there = (self._there - {path}) | {to}
        self._events.append(("rename", (self._name(path), self._name(to))))

    def make_folder(self, path: Path) -> None:
        """Note it."""
        super().make_folder(path)
        self._note("make_folder", path)

    def sync_folder(self, path: Path) -> None:
        """Note it."""
        self._note("sync_folder", path)

    def remove(self, path: Path) -> None:
        """Note it."""
        super().remove(path)
        self._there.discard(path)
        self._note("delete", path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _note(self, what: str, path: Path, *more: object) -> None:
        self._events.append((what, (self._name(path), *more)))


class _Releases:
    """Stands in for the channel's client: verified bytes come from here, and go to disk as they do there."""

    def __init__(self, folder: Path, disk: LocalDisk) -> None:
        self._folder = folder
        self._disk = disk
        self.wanted: dict[str, str] = {}

    def channel(self) -> Channel:
        """Return which version shall run."""
        return Channel(models=self.wanted)

    def fetch(self, name: str, version: str, folder: Path) -> None:
        """Put the files into their folder."""
        made = write_model(self._folder / name / version, version=version, body=_body(version))
        place_model(folder, (made / "model.onnx").read_bytes(), (made / "card.json").read_bytes(), self._disk)


class _Season:
    """A gateway whose models and roster change, step by step."""

    def __init__(self, folder: Path, events: list[_Event], dice: random.Random) -> None:
        self._events = events
        self._dice = dice
        self._disk = RecordingDisk(folder, events)
        self._clock = _WaitedClock()
        self._runner = Runner(self._clock)
        self._releases = _Releases(folder.parent / "released", self._disk)
        self._roster_file = folder / "roster.json"
        self._promise = _Promise()
        self._number = 0
        self._models = folder / "models"
        self._installer = Installer(
            ReleaseSettings(poll_s=10.0, shadow_s=0.0),
            self._models,
            cast("ModelUpdater", self._releases),
            self._runner,
            self._clock,
            session_runs=lambda: False,
            check=_verdict,
            disk=self._disk,
        )

    async def run(self, steps: int) -> None:
        """Take so many steps."""
        self._installer.start()
        self._keep_roster()
        watchers = (self._installer.watch_channel(), self._installer.watch_models())
        tasks = [asyncio.create_task(watcher) for watcher in watchers]
        try:
            await self._release("good")
            for _ in range(steps):
                await self._step()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._runner.close()

    async def _step(self) -> None:
        what = self._dice.choice(["good", "good", "refused", "failing", "roster"])
        if what == "roster":
            self._keep_roster()
            return
        await self._release(what)
        if what == "failing":
            before = self._slot.previous
            self._may(active={self._slot.active, before}, refused={str(self._slot.active)})
            await self._runner.infer(_MODEL, {"features": effort_inputs(1, fill=-1.0)})
            await self._passes(1.0, lambda: self._slot.state == "reverted")
            self._holds(active=before)

    async def _release(self, kind: str) -> None:
        self._number += 1
        version = f"{self._number}-{kind}"
        refuses = kind == "refused"
        self._may(active=set() if refuses else {version}, refused={version} if refuses else set())
        self._releases.wanted = {_MODEL: version}
        await self._passes(10.0, lambda: self._slot.state in {"active", "refused"} and not self._slot.wants(version))
        if self._slot.state != ("refused" if refuses else "active"):
            raise AssertionError(f"{version} became {self._slot}")
        self._holds(active=self._slot.active)

    def _keep_roster(self) -> None:
        changed = roster(self._dice.randint(1, 12))
        self._events.append(replace(self._promise, rosters=self._promise.rosters | {encode_roster(changed)}))
        keep_roster(changed, self._roster_file, self._disk)
        self._promise = replace(self._promise, rosters=frozenset({encode_roster(changed)}))
        self._events.append(self._promise)

    @property
    def _slot(self) -> Slot:
        return self._installer.slots.get(_MODEL, Slot(name=_MODEL))

    async def _passes(self, seconds: float, reached: Callable[[], bool]) -> None:
        """Let time pass until a state is reached and is on disk."""

        def ticked() -> bool:
            if not reached() and self._clock.asleep == _WATCHERS:
                self._clock.advance(seconds)
            return reached()

        await until(ticked, bound_s=_BOUND_S)
        await until(self._is_kept, bound_s=_BOUND_S)

    def _is_kept(self) -> bool:
        states = msgspec.json.encode(list(self._installer.slots.values()))
        kept = (self._models / "slots.json").read_bytes() == states
        return kept and self._events[-1] == ("sync_folder", (self._models.name,))

    def _may(self, *, active: set[str | None] | set[str], refused: set[str]) -> None:
        self._promise = replace(
            self._promise, active=self._promise.active | active, refused=self._promise.refused | refused
        )
        self._events.append(self._promise)

    def _holds(self, *, active: str | None) -> None:
        self._promise = replace(self._promise, active=frozenset({active}))
        self._events.append(self._promise)


def power_cut(count: int, seed: int, folder: Path) -> Outcome:
    """Cut the power `count` times."""
    return _cut(count, seed, folder, syncs=True)


def power_cut_without_sync(count: int, seed: int, folder: Path) -> Outcome:
    """The same where nothing is synced before it is renamed."""
    return _cut(count, seed, folder, syncs=False)


def _cut(count: int, seed: int, folder: Path, *, syncs: bool) -> Outcome:
    failures: list[str] = []
    notes = {"operations": 0.0, "images with an active model": 0.0}
    done = 0
    for run in range(-(-count // _IMAGES_EACH)):
        run_seed = seed * 1000 + run
        dice = random.Random(run_seed)
        work = folder / f"work{run}"
        events: list[_Event] = []
        work.mkdir(parents=True)
        asyncio.run(_Season(work, events, dice).run(_STEPS))
        if not syncs:
            events = [e for e in events if isinstance(e, _Promise) or e[0] != "sync"]
        notes["operations"] += len(events)
        cuts = sorted(dice.randrange(1, len(events) + 1) for _ in range(min(_IMAGES_EACH, count - done)))
        disk, promise, position = CutDisk(), _Promise(), 0
        for number, cut in enumerate(cuts):
            promise = _replay(disk, promise, events[position:cut])
            position = cut
            mode = dice.choice(MODES)
            wrong, has_model = _check(disk.image(mode, dice), promise, folder / "image")
            failures += [f"seed {run_seed} image {number} cut {cut} of {len(events)} {mode}: {w}" for w in wrong[:1]]
            notes["images with an active model"] += has_model
            done += 1
        shutil.rmtree(work)
    return Outcome(tried=done, failures=failures, notes=notes)


def _replay(disk: CutDisk, promise: _Promise, events: Sequence[_Event]) -> _Promise:
    for event in events:
        if isinstance(event, _Promise):
            promise = event
        else:
            what, given = event
            getattr(disk, what)(*given)
    return promise


def _check(image: dict[str, bytes], promise: _Promise, folder: Path) -> tuple[list[str], bool]:
    """Start on what is left, and return what is wrong with it and whether a model runs."""
    folder.mkdir()
    write_image(image, folder)
    runner = Runner(ManualClock())
    wrong: list[str] = []
    try:
        installer = Installer(
            ReleaseSettings(), folder / "models", None, runner, ManualClock(), session_runs=lambda: False
        )
        installer.start()
        slot = installer.slots.get(_MODEL, Slot(name=_MODEL))
        card = runner.card(_MODEL)
        runs = card.version if card else None
        if runs != slot.active or runs not in promise.active:
            wrong.append(f"{runs} runs, the slot says {slot.active}, promised was one of {set(promise.active)}")
        unjust = {refusal.version for refusal in slot.refusals} - promise.refused
        if unjust:
            wrong.append(f"{unjust} refused for good, for no fault of theirs")
        wrong += _roster_problems(folder / "roster.json", promise)
    finally:
        runner.close()
        shutil.rmtree(folder)
    return wrong, runs is not None


def _roster_problems(path: Path, promise: _Promise) -> list[str]:
    try:
        found = encode_roster(read_roster(path)) if path.exists() else None
    except SidelineError as exc:
        return [f"the roster cannot be read: {exc}"]
    return [] if found in promise.rosters else ["the roster is neither the old one nor the new one"]


def _body(version: str) -> str:
    return "nan_below_zero" if version.endswith("failing") else "linear"


async def _verdict(folder: Path) -> Verdict:
    return Verdict(passed=not folder.name.endswith("refused"), reason="too slow")
