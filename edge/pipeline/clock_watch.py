"""Watches the machine's clock: notices when it is set, and holds back what must not leave with a wrong time."""

import asyncio
from collections.abc import Awaitable, Callable

from edge.links import Link, LinkStatus
from edge.store.journal import Journal
from edge.store.restamp import ClockStep
from shared.clock import NS_PER_S, Clock
from shared.errors import StoreError
from shared.log import get_logger

_log = get_logger("clock")
_EVERY_S = 1.0
# Network time keeps a clock in step by some milliseconds a second; by more at once, it was set.
_STEP_NS = NS_PER_S // 2
# The software is newer than this: a clock that is older has not been set since it lost its power.
_RELEASED_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01
# A little is what another machine's clock may have been ahead when the database was copied from it.
_BEHIND_NS = 60 * NS_PER_S

_CLOUD_NS = 3600 * NS_PER_S


class ClockWatch:
    """Compares wall time with monotonic time once a second.

    A clock that is behind the newest stored reading, or older than the software, cannot be right, nor one that is an
    hour off the cloud's: until it is set, or the cloud agrees with it, `trusted` does not return and nothing is made
    ready for the cloud. Readings are stored and shown all the same.
    """

    def __init__(self, journal: Journal, clock: Clock, on_step: Callable[[ClockStep], Awaitable[None]]) -> None:
        self._journal = journal
        self._clock = clock
        self._on_step = on_step
        self._looked_ns = clock.mono_ns()
        self._offset_ns = clock.utc_ns() - self._looked_ns
        self._unstored: list[ClockStep] = []
        """Steps that the journal has not taken yet."""
        self._cloud_ns: tuple[int, int] | None = None
        """The cloud's time and our monotonic one when it was heard."""
        self._right = asyncio.Event()
        self._link = Link("clock", "this machine's clock is not set", _log, clock)

    @property
    def status(self) -> LinkStatus:
        """Whether the clock can be right."""
        return self._link.status

    async def run(self) -> None:
        """Watch until cancelled."""
        newest_ns = await self._journal.newest_ns()
        while True:
            step = self._step()
            if step is not None:
                self._unstored.append(step)
            await self._store_steps()
            self._judge(newest_ns)
            await self._clock.sleep(_EVERY_S)

    async def trusted(self) -> None:
        """Wait until the clock can be right."""
        await self._right.wait()

    def is_trusted(self) -> bool:
        """Return whether the clock can be right."""
        return self._right.is_set()

    def hear(self, cloud_ns: int) -> None:
        """Take the cloud's time of now."""
        self._cloud_ns = (cloud_ns, self._clock.mono_ns())

    def _step(self) -> ClockStep | None:
        since_ns, self._looked_ns = self._looked_ns, self._clock.mono_ns()
        offset_ns = self._clock.utc_ns() - self._looked_ns
        shift_ns, self._offset_ns = offset_ns - self._offset_ns, offset_ns
        if abs(shift_ns) < _STEP_NS:
            return None
        return ClockStep(
            boot=self._clock.boot_id,
            since_ns=since_ns,
            mono_ns=self._looked_ns,
            shift_ns=shift_ns,
            offset_ns=offset_ns,
        )

    async def _store_steps(self) -> None:
        """Hand steps to the journal in order; what it cannot take is tried again with the next look."""
        while self._unstored:
            step = self._unstored[0]
            try:
                gone = await self._journal.set_clock(step)
            except StoreError as exc:
                _log.error("clock step cannot be stored", problem=str(exc))
                return
            self._unstored.pop(0)
            _log.warning("clock was set", shift_s=round(step.shift_ns / NS_PER_S, 3), uploaded_before=gone)
            await self._on_step(step)

    def _judge(self, newest_ns: int) -> None:
        problem = self._problem(newest_ns)
        if problem is None:
            self._right.set()
            self._link.answered()
        else:
            self._right.clear()
            self._link.failed(problem)

    def _problem(self, newest_ns: int) -> str | None:
        if self._unstored:
            return "it was set, and what was stored before cannot be stamped anew yet"
        now_ns = self._clock.utc_ns()
        if self._cloud_ns is not None:
            cloud_ns, heard_ns = self._cloud_ns
            off_ns = now_ns - cloud_ns - (self._clock.mono_ns() - heard_ns)
            hours = abs(off_ns) / _CLOUD_NS
            return None if hours < 1 else f"it is {hours:.0f} h {'behind' if off_ns < 0 else 'ahead of'} the cloud's"
        if now_ns < max(newest_ns - _BEHIND_NS, _RELEASED_NS):
            return "it is behind the newest stored reading; waiting for network time"
        return None
