"""Brings the models that the channel names into their slots, one step at a time, and back when they misbehave."""

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge.durable import LOCAL_DISK, Disk, keep_file, keep_folder
from edge.inference.gate import Verdict, check_in_subprocess
from edge.inference.runner import Runner, RunStats
from edge.links import Link, LinkStatus
from edge.release import slots
from edge.release.slots import Slot
from edge.release.updater import ModelUpdater
from edge.settings import ReleaseSettings
from shared.clock import Clock
from shared.errors import LinkDown, ModelError, ModelTooSlow, ModelUntrusted, StoreError
from shared.log import get_logger

if TYPE_CHECKING:
    from edge.inference.session import LoadedModel

_log = get_logger("release")
_WATCH_S = 1.0
# Before this many runs on live data a shadow proves little.
_MIN_SHADOW_RUNS = 5


class Installer:
    """Owner of the model folder and of the slots' states; what runs is in `runner`."""

    def __init__(
        self,
        settings: ReleaseSettings,
        folder: Path,
        updater: ModelUpdater | None,
        runner: Runner,
        clock: Clock,
        *,
        session_runs: Callable[[], bool],
        check: Callable[[Path], Awaitable[Verdict]] = check_in_subprocess,
        disk: Disk = LOCAL_DISK,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._updater = updater
        self._runner = runner
        self._clock = clock
        self._session_runs = session_runs
        self._check = check
        self._disk = disk
        self._link = Link("releases", "release repository is not usable", _log, clock)
        self._state_file = folder / "slots.json"
        self._installing: set[str] = set()
        self._fetching = asyncio.Lock()
        self._writing = asyncio.Lock()
        self.slots: dict[str, Slot] = {}

    @property
    def status(self) -> LinkStatus:
        """The repository's state."""
        return self._link.status

    def start(self) -> None:
        """Load what ran before; a model that no longer loads leaves its slot to the previous one."""
        keep_folder(self._folder, self._disk)
        if self._state_file.exists():
            try:
                known = msgspec.json.decode(self._state_file.read_bytes(), type=list[Slot])
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                # Models come again from the repository; a gateway that does not start would be worse.
                _log.error("slot states are damaged, starting with empty slots", problem=str(exc))
                known = []
            self.slots = {slot.name: slots.resumed(slot) for slot in known}
        known_slots = dict(self.slots)
        for slot in known_slots.values():
            self._resume(slot)
        if self.slots != known_slots:
            with self._disk_reported():
                self._write(self._states())

    async def watch_channel(self) -> None:
        """Ask the repository again and again until cancelled; models are installed side by side."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._poll(tasks)
                await self._clock.sleep(self._settings.poll_s)

    async def watch_models(self) -> None:
        """Go back to the previous version of a model that fails on live data, until cancelled."""
        while True:
            await self._clock.sleep(_WATCH_S)
            for slot in list(self.slots.values()):
                stats = self._runner.stats(slot.name)
                if slot.active and stats and stats.failures:
                    await self._revert(slot.name, stats.problem or "failed on live data")

    async def _poll(self, tasks: asyncio.TaskGroup) -> None:
        if self._updater is None:
            return
        try:
            async with self._fetching:
                channel = await asyncio.to_thread(self._updater.channel)
        except (LinkDown, ModelUntrusted, StoreError) as exc:
            self._link.failed(str(exc))
            return
        self._link.answered()
        for name, version in channel.models.items():
            if name not in self._installing and self._slot(name).wants(version):
                self._installing.add(name)
                tasks.create_task(self._install(self._updater, name, version), name=f"install {name}")

    async def _install(self, updater: ModelUpdater, name: str, version: str) -> None:
        """Fetch, check, shadow and activate one version; whatever it fails at refuses it with the reason.

        What is not the model's fault (link, disk, a machine too busy) leaves the slot as it was.
        """
        folder = self._folder / name / version
        try:
            async with self._fetching:  # the trusted metadata on disk has one writer
                await asyncio.to_thread(updater.fetch, name, version, folder)
            await self._save(slots.offered(self._slot(name), version))
            verdict = await self._check(folder)
            if not verdict.passed:
                raise ModelUntrusted(verdict.reason)
            await self._save(slots.checked(self._slot(name), version))
            await self._shadow(name, version)
        except (LinkDown, StoreError, OSError) as exc:
            self._link.failed(f"{name} {version}: {exc}")  # tried again at the next poll
        except ModelError as exc:
            _log.warning("model refused", model=name, version=version, reason=exc.reason)
            self._runner.end_shadow(name)
            if version != self._slot(name).previous:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await self._save(slots.refused(self._slot(name), version, exc.reason))
        finally:
            self._runner.end_shadow(name)
            # In memory only: on disk, the next start does the same.
            self.slots[name] = slots.resumed(self._slot(name))
            self._installing.discard(name)

    async def _shadow(self, name: str, version: str) -> None:
        """Run the candidate beside the active version, then let it answer.

        Raises: ModelError when it failed on live data or was over its budget there.
        """
        model = await asyncio.to_thread(self._load, name, version)
        if self._session_runs():
            stats = self._runner.shadow(model)
            await self._save(slots.shadowing(self._slot(name), version))
            await self._clock.sleep(self._settings.shadow_s)
            while self._must_go_on(name, stats):
                await self._clock.sleep(_WATCH_S)
            self._runner.end_shadow(name)
            if stats.failures:
                raise ModelUntrusted(f"shadow run: {stats.problem}")
            # The median: the tail of a live run is other work on the machine, and was checked without it already.
            latency_ms = stats.median_ms()
            if latency_ms is not None and latency_ms > model.card.latency_budget_ms:
                raise ModelTooSlow(f"shadow run: half of the runs took over {latency_ms:.1f} ms")
        self._runner.activate(model)
        await self._save(slots.activated(self._slot(name), version, self._clock.utc_ns()))
        _log.info("model active", model=name, version=version)

    def _must_go_on(self, name: str, stats: RunStats) -> bool:
        """Return whether the shadow must run on: it has proved too little, or must not answer within a session.

        An empty slot has nothing to lose: there a candidate need not have seen live data.
        """
        if stats.failures or not self._session_runs():
            return False
        unproved = stats.runs < _MIN_SHADOW_RUNS and self._slot(name).active is not None
        return unproved or not self._settings.activate_in_session

    def _slot(self, name: str) -> Slot:
        """Return the slot as it is now: while one version is tried, another may be reverted."""
        return self.slots.get(name, Slot(name=name))

    async def _revert(self, name: str, reason: str) -> None:
        """Leave the failing version for the one before it, or for none when that one does not load."""
        failing, before = self._slot(name).active, self._slot(name).previous
        _log.warning("model reverted", model=name, version=failing, reason=reason)
        model, problem = None, ""
        if before is not None:
            try:
                model = await asyncio.to_thread(self._load, name, before)
            except ModelError as exc:
                problem = exc.reason
        slot = self._slot(name)
        if slot.active != failing:
            return  # a candidate became active meanwhile
        slot = slots.misbehaved(slot, reason, self._clock.utc_ns())
        if slot.active is None:  # also when the one before is being tried anew
            self._runner.deactivate(name)
        elif model is None:
            slot = slots.misbehaved(slot, problem, self._clock.utc_ns())
            self._runner.deactivate(name)
        else:
            self._runner.activate(model)
        await self._save(slot)

    def _resume(self, slot: Slot) -> None:
        """Run the slot's active version; what cannot be loaded is refused and the one before it loaded."""
        while slot.active is not None:
            try:
                self._runner.activate(self._load(slot.name, slot.active))
            except ModelError as exc:
                slot = slots.misbehaved(slot, exc.reason, self._clock.utc_ns())
                self.slots[slot.name] = slot
            else:
                return
        self._runner.deactivate(slot.name)

    def _load(self, name: str, version: str) -> "LoadedModel":
        """Load what is installed as this version of this model; blocks.

        Raises: ModelError when it does not load, or its card is that of another one.
        """
        from edge.inference.session import load_model  # noqa: PLC0415  the runtime comes with the first model

        model = load_model(self._folder / name / version)
        card = model.card
        if (card.name, card.version) != (name, version):
            raise ModelUntrusted(f"card is that of {card.name} {card.version}, not of {name} {version}")
        return model

    async def _save(self, slot: Slot) -> None:
        """Take the slot's state at once, and keep it, so that at any power cut one whole state is on disk.

        A disk that fails is reported; what is known in memory counts, and goes to disk with the next state.
        """
        self.slots[slot.name] = slot
        async with self._writing:  # one writer at a time, each with the newest states
            writing = asyncio.create_task(asyncio.to_thread(self._write, self._states()), name="write slot states")
            with self._disk_reported():
                try:
                    await asyncio.shield(writing)
                finally:
                    await asyncio.wait([writing])  # the thread goes on when we are cancelled, and holds the file

    @contextlib.contextmanager
    def _disk_reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            self._link.failed(f"slot states cannot be written: {exc}")

    def _states(self) -> bytes:
        return msgspec.json.encode(list(self.slots.values()))

    def _write(self, states: bytes) -> None:
        keep_file(self._state_file, states, self._disk)
