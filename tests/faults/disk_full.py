"""Row 6: the disk is full while the gateway stores, then there is room again.

On real file systems of a few megabytes where this user may mount them, else in a file layer that grants so many bytes.
"""

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count as numbers
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.lanes import Lane, Policy
from edge.pipeline.intake import Intake
from edge.pipeline.keeping import Keeper
from edge.pipeline.roster import Wearers
from edge.pipeline.storing import Storing
from edge.settings import StoreSettings
from edge.sources.base import Delivery
from edge.store.journal import Journal
from edge.store.pressure import THINNED, Thinning
from edge.store.reader import JournalReader
from shared.clock import ManualClock
from shared.errors import StoreError
from shared.parquet_codec import decode_parquet
from shared.readings import Frame, Readings
from tests.factories import TAG, frame, position_frame, roster
from tests.fakes.source import ListSource
from tests.faults.arm import Outcome
from tests.faults.sqlite_disk import Answer, Operation
from tests.faults.store_files import watched_files
from tests.faults.store_work import agree_on_all

_SIZES_MB = (14, 18, 24)
# What comes back must hold the log twice: SQLite folds it into the file before it can be used anew.
_LEFT_SHARE = 0.25
_FILLS = 20
_COMMITS_BEFORE, _MOST_COMMITS, _COMMITS_AFTER = 20, 800, 20
_FRAMES_AT_ONCE = 200
_BOUND_S = 120.0
_TURN_S = 0.001
_STUCK_TURNS = 300
_DROPPED = 7
_NOT_KEPT_UP = "store could not keep up"


class _NumberedSource(ListSource):
    """Numbers its frames through; `early` acknowledges when they are taken, not when they are stored."""

    def __init__(self, *, early: bool) -> None:
        super().__init__()
        self._numbers = numbers()
        self._early = early
        self.given = 0

    def give(self, frames: Sequence[Frame]) -> None:
        """Let frames arrive."""
        self.given += len(frames)
        self._waiting.put_nowait([Delivery(frame=frame, ticket=next(self._numbers)) for frame in frames])

    async def receive(self) -> list[Delivery]:
        """Wait for frames."""
        taken = await super().receive()
        if self._early:
            super().acknowledge(taken)
        return taken

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Remember the numbers."""
        if not self._early:
            super().acknowledge(deliveries)


@dataclass(slots=True)
class _Room:
    """A folder with so many bytes of room in all."""

    folder: Path
    size_bytes: int
    kind: str
    filled_bytes: int = 0
    sizes: dict[str, int] = field(default_factory=dict)

    def fill(self, leave_bytes: int) -> None:
        """Leave no more than so many bytes free."""
        if self.kind == "file layer":
            self.filled_bytes = max(0, self.size_bytes - sum(self.sizes.values()) - leave_bytes)
            return
        free = os.statvfs(self.folder)
        filler = max(0, free.f_bavail * free.f_frsize - leave_bytes)
        with contextlib.suppress(OSError), (self.folder / "filler").open("wb") as file:
            file.write(bytes(filler))

    def free(self) -> None:
        """Take away what filled it."""
        self.filled_bytes = 0
        (self.folder / "filler").unlink(missing_ok=True)

    def watch(self, operation: Operation) -> Answer:
        """Answer for a file layer that grants so many bytes."""
        if self.kind != "file layer" or operation.path.endswith("-shm"):
            return Answer.DONE
        size = self.sizes.get(operation.path, 0)
        if operation.kind == "write":
            grown = max(size, operation.offset + len(operation.body))
            if grown > size and sum(self.sizes.values()) - size + grown + self.filled_bytes > self.size_bytes:
                return Answer.NO_SPACE
            self.sizes[operation.path] = grown
        elif operation.kind == "truncate":
            self.sizes[operation.path] = operation.offset
        elif operation.kind == "delete":
            self.sizes.pop(operation.path, None)
        return Answer.DONE


class _Gateway:
    """The durable lane over a journal on the small disk."""

    def __init__(self, room: _Room, *, has_cloud: bool, early: bool) -> None:
        self._room = room
        self._has_cloud = has_cloud
        self.clock = ManualClock()
        self.source = _NumberedSource(early=early)
        self.path = room.folder / "store" / "gateway.sqlite"
        self.journal = Journal.open(self.path, self.clock, max_bytes=2 * room.size_bytes)
        self.in_cloud: set[int] = set()
        """Numbers of the frames whose readings the cloud has."""
        settings, thinning = StoreSettings(max_bytes=2 * room.size_bytes), Thinning()
        self.keeper = Keeper(self.journal, thinning, settings, self.path.parent, self.clock, has_cloud=has_cloud)
        self.storing = Storing(
            Intake(Wearers(roster()), "run-1"),
            self.journal,
            Lane[list[Readings]]("live", capacity=10, policy=Policy.DROP_OLDEST),
            settings,
            self.clock,
            keeper=self.keeper,
            thinning=thinning,
        )

    async def give(self, commits: int) -> bool:
        """Let frames come; return whether all were acknowledged before it went no further."""
        for number in range(commits):
            first = self.source.given
            now_ns = self.clock.utc_ns()
            self.source.give([_frame(first + i, now_ns, self.clock) for i in range(_FRAMES_AT_ONCE)])
            if not await self._settled(_STUCK_TURNS):
                return False
            if self._has_cloud and number % 10 == 0:
                with contextlib.suppress(StoreError):
                    await self._send()
        return True

    async def all_stored(self) -> None:
        """Wait until everything is acknowledged."""
        async with asyncio.timeout(_BOUND_S):
            while not await self._settled(_STUCK_TURNS):
                pass

    async def _settled(self, turns: int) -> bool:
        """Let time pass until everything is acknowledged; return False when it is not after so many turns."""
        for _ in range(turns):
            await asyncio.sleep(_TURN_S)  # the writer's thread has no event to wait for
            if len(self.source.acknowledged) == self.source.given and not self.storing.withheld:
                return True
            self.clock.advance(0.05)
        return False

    async def _send(self) -> None:
        await self.journal.fill(backlog=False)
        await self.journal.fill(backlog=True)
        while (batch := await self.journal.run(self.journal.outbox.next_pending, "gateway-1")) is not None:
            for block in decode_parquet(batch.body):
                self.in_cloud.update(_tickets(block))
            header = batch.header
            await self.journal.run(self.journal.outbox.record_receipt, header.epoch, header.seq, "stored")
        await self.journal.run(agree_on_all, self.journal)


def disk_full(count: int, seed: int, folder: Path) -> Outcome:
    """Fill the disk in `count` combinations of file system, size, fill point and cloud."""
    return _all(count, seed, folder, early=False)


def disk_full_acknowledged_early(count: int, seed: int, folder: Path) -> Outcome:
    """The same for a gateway that acknowledges what it has taken."""
    return _all(count, seed, folder, early=True)


def _all(count: int, seed: int, folder: Path, *, early: bool) -> Outcome:
    failures: list[str] = []
    notes: Counter[str] = Counter()
    order = list(range(len(_SIZES_MB) * _FILLS * 2))
    # The runner numbers its portions in thousands: together they go through all places once.
    random.Random(seed % 1000).shuffle(order)
    for number in range(count):
        place = order[(seed // 1000 * count + number) % len(order)]
        size, has_cloud, fill = place % 3, place // 3 % 2 == 1, place // 6
        wanted = "ext4" if (fill + size) % 2 else "tmpfs"
        with _room(folder / "disk", _SIZES_MB[size] * 1024 * 1024, wanted) as room:
            name = f"{room.kind} {_SIZES_MB[size]} MB, fill {fill}, {'a' if has_cloud else 'no'} cloud"
            with watched_files(room.folder, room.watch, syncs=True):
                wrong = asyncio.run(_one(room, fill / _FILLS, has_cloud=has_cloud, early=early, notes=notes))
            failures += [f"{name}: {words}" for words in wrong]
            notes[f"on {room.kind}"] += 1
    return Outcome(tried=count, failures=failures, notes=dict(notes))


async def _one(room: _Room, fill: float, *, has_cloud: bool, early: bool, notes: Counter[str]) -> list[str]:
    gateway = _Gateway(room, has_cloud=has_cloud, early=early)
    tasks = [
        asyncio.create_task(gateway.storing.take_from(gateway.source)),
        asyncio.create_task(gateway.storing.store()),
        asyncio.create_task(gateway.keeper.run()),
    ]
    wrong: list[str] = []
    try:
        await gateway.give(_COMMITS_BEFORE)
        room.fill(leave_bytes=round((1 - fill) * room.size_bytes * _LEFT_SHARE))
        was_full = not await gateway.give(_MOST_COMMITS)
        notes["disks that became full"] += was_full
        notes["frames withheld when full"] += gateway.storing.withheld
        gateway.storing.record_drops(Counter({TAG: _DROPPED}))
        wrong += await _compare(gateway, "while full")
        room.free()
        await gateway.all_stored()
        await gateway.give(_COMMITS_AFTER)
        await gateway.all_stored()
        wrong += await _compare(gateway, "after")
        told = sum(row[2] for row in await gateway.journal.gaps() if row[1] == _NOT_KEPT_UP)
        if told != _DROPPED:
            wrong.append(f"{told} readings told as missing, {_DROPPED} are")
        notes["frames stored"] += len(gateway.source.acknowledged)
    except (TimeoutError, StoreError) as exc:
        wrong.append(f"does not recover: {type(exc).__name__} {exc}; {gateway.storing.status.problem}")
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        wrong += [f"crashed: {end!r}" for end in ended if not isinstance(end, asyncio.CancelledError)]
        await gateway.storing.finish()
        gateway.journal.close()
    return wrong


async def _compare(gateway: _Gateway, when: str) -> list[str]:
    """Return what is wrong between acknowledgements, what stands in the journal, and what is told as left out."""
    acknowledged = {int(str(ticket)) for ticket in gateway.source.acknowledged}
    stored: Counter[int] = Counter()
    wrong = []
    with JournalReader(gateway.path) as reader:
        for _, blocks in reader.blocks(imported=True):
            for block in blocks:
                stored.update(_tickets(block))
                if not np.allclose(block.values[:, 0], _values(block.stream, block.sequence)):
                    wrong.append(f"{when}: wrong values")
    # What is in the cloud may have been removed here; positions may be thinned, and each is counted.
    missing = acknowledged - set(stored) - gateway.in_cloud
    places = {ticket for ticket in missing if ticket % 2 == 0}
    if missing - places:
        wrong.append(f"{when}: {len(missing - places)} acknowledged heart rates are not stored")
    told = await gateway.journal.run(_told_as_thinned, gateway.journal)
    if len(places) != told:
        wrong.append(f"{when}: {len(places)} acknowledged positions are not stored, {told} are told as left out")
    if max(stored.values(), default=0) > 1:
        wrong.append(f"{when}: readings stand twice")
    return wrong


def _told_as_thinned(journal: Journal) -> int:
    """Return the readings of the gap records that say so, also of those that are still being summed up."""
    sql = "SELECT reason, count FROM gap UNION ALL SELECT reason, count FROM gap_open"
    return sum(count for reason, count in journal._connection.execute(sql) if reason.startswith(THINNED))


def _frame(number: int, now_ns: int, clock: ManualClock) -> Frame:
    """Return a tag's frame for an even number, a strap's for an odd one."""
    count, is_strap = divmod(number, 2)
    if is_strap:
        return frame(bytes([0, 60 + count % 100]), clock=clock)
    return position_frame(count, t_ns=now_ns, clock=clock)


def _tickets(block: Readings) -> list[int]:
    """Return the numbers of the frames that gave a block's readings."""
    if block.stream not in {"position", "heart_rate"}:
        return []
    numbered: list[int] = (2 * block.sequence + (block.stream == "heart_rate")).tolist()
    return numbered


def _values(stream: str, sequence: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the first value of each reading as its frame said it."""
    return 60.0 + sequence % 100 if stream == "heart_rate" else 1 + sequence / 1000


@contextlib.contextmanager
def _room(folder: Path, size_bytes: int, wanted: str) -> Iterator[_Room]:
    """Give a file system of its own for as long as the `with` lasts, or what stands in for one."""
    folder.mkdir(parents=True)
    image = folder.with_suffix(".ext4")
    kind = wanted if _mounted(folder, image, size_bytes, wanted) else "file layer"
    try:
        yield _Room(folder=folder, size_bytes=size_bytes, kind=kind)
    finally:
        if kind != "file layer":
            subprocess.run(["umount", str(folder)], check=True, capture_output=True)
        image.unlink(missing_ok=True)
        shutil.rmtree(folder)


def _mounted(folder: Path, image: Path, size_bytes: int, wanted: str) -> bool:
    """Return whether a file system was mounted: it takes Linux, its administrator, and loop devices for ext4."""
    if os.name != "posix" or os.geteuid() or not shutil.which("mount"):
        return False
    if wanted == "tmpfs":
        return _runs(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)])
    with image.open("wb") as file:
        file.truncate(size_bytes)
    made = _runs(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image)])
    return made and _runs(["mount", "-o", "loop", str(image), str(folder)])


def _runs(words: list[str]) -> bool:
    try:
        return subprocess.run(words, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
