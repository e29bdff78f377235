"""A clock that goes on by itself and can be put ahead: fourteen days pass between two lines of a test."""

from shared.clock import NS_PER_S, SystemClock


class LeapClock:
    """Implements shared.clock.Clock; `leap` lets time pass at once, `sleep` waits in real time."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._ahead_ns = 0

    @property
    def boot_id(self) -> str:
        """The real clock's."""
        return self._real.boot_id

    def utc_ns(self) -> int:
        """Wall time, with all that was leapt over."""
        return self._real.utc_ns() + self._ahead_ns

    def mono_ns(self) -> int:
        """Monotonic time, with all that was leapt over."""
        return self._real.mono_ns() + self._ahead_ns

    def leap(self, seconds: float) -> None:
        """Let this much time pass at once."""
        self._ahead_ns += round(seconds * NS_PER_S)

    async def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        await self._real.sleep(seconds)
