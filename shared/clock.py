"""The only place that reads a clock. Everything else is given a Clock, or a time."""

import asyncio
import time
import uuid
from typing import Protocol

import msgspec

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Stamp(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One moment: wall time for people, monotonic time for durations, and the boot that it counts in."""

    utc_ns: int
    mono_ns: int
    boot_id: str


class Clock(Protocol):
    """What the rest of the code may ask about time."""

    @property
    def boot_id(self) -> str:
        """Name of the run of this machine (or process) that `mono_ns` counts in."""

    def utc_ns(self) -> int:
        """Nanoseconds since 1970 UTC; may jump when the machine's clock is set."""

    def mono_ns(self) -> int:
        """Nanoseconds that never go back, for durations."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


def stamp(clock: Clock) -> Stamp:
    """Read both times at once."""
    return Stamp(utc_ns=clock.utc_ns(), mono_ns=clock.mono_ns(), boot_id=clock.boot_id)


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._boot_id = uuid.uuid4().hex[:16]

    @property
    def boot_id(self) -> str:
        """A fresh name for each process: monotonic times of two processes are never compared."""
        return self._boot_id

    def utc_ns(self) -> int:
        """Wall time in nanoseconds."""
        return time.time_ns()

    def mono_ns(self) -> int:
        """Monotonic time in nanoseconds."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that moves only when told; `sleep` returns when `advance` has passed its end."""

    def __init__(self, *, utc_ns: int = 1_790_000_000 * NS_PER_S, boot_id: str = "boot-0") -> None:
        self._utc_ns = utc_ns
        self._mono_ns = 0
        self._boot_id = boot_id
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def boot_id(self) -> str:
        """The name given at construction."""
        return self._boot_id

    def utc_ns(self) -> int:
        """Wall time as set."""
        return self._utc_ns

    def mono_ns(self) -> int:
        """Monotonic time as advanced."""
        return self._mono_ns

    def set_utc(self, utc_ns: int) -> None:
        """Make the wall clock jump; monotonic time stays."""
        self._utc_ns = utc_ns

    def advance(self, seconds: float) -> None:
        """Let time pass and wake the sleepers whose time has come."""
        step_ns = round(seconds * NS_PER_S)
        self._utc_ns += step_ns
        self._mono_ns += step_ns
        due = [future for end_ns, future in self._sleepers if end_ns <= self._mono_ns]
        self._sleepers = [(end_ns, future) for end_ns, future in self._sleepers if end_ns > self._mono_ns]
        for future in due:
            if not future.done():
                future.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved time by this much."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._mono_ns + round(seconds * NS_PER_S), future))
        await future
