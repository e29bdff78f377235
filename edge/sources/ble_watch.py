"""What is expected of one sensor and what came: silence, loss and gaps. Pure."""

from collections import deque

from shared.clock import NS_PER_S, Stamp
from shared.ids import SensorId
from shared.readings import Gap

OUT_OF_RANGE = "out of range"
SILENT = "connected but silent"
ADAPTER_LOST = "adapter lost"
HEART_RATE_CHANNELS = ("2a37", "adv:006b")
"""Channels with a nominal rate: one frame a second (Heart Rate Service 1.0 §3.1.1.2 recommends about that)."""

_NOMINAL_HZ = 1.0
_WINDOW_S = 60
# A share of fewer frames than this means nothing.
_FEWEST_EXPECTED = 10
# A pause this long is no jitter: later it is a gap even where the link stayed.
_PAUSE_NS = 5 * NS_PER_S


class Flow:
    """The readings of one sensor over all its connections.

    What counts is heart-rate frames once one has come, every frame that carries readings else.
    """

    def __init__(self, sensor: SensorId, silent_ns: int) -> None:
        """`silent_ns` is how long a connected sensor may say nothing, 0 for ever."""
        self._sensor = sensor
        self._silent_ns = silent_ns
        self._watched_ns: int | None = None
        self._silent = False
        self._is_heart_rate = False
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._counts: deque[list[int]] = deque()
        """[second, frames], the last minute's."""
        self._lost: str | None = None

    def watch(self, now_ns: int) -> None:
        """A connection is up whose sensor sends all the time."""
        self._watched_ns = now_ns

    def lose(self, reason: str) -> None:
        """The link is gone while readings are expected."""
        self._watched_ns = None
        self._lost = self._lost or reason

    def end(self, now: Stamp) -> Gap | None:
        """Nobody expects readings any longer; return what has been missing until now."""
        gap = self._gap(now, arrived=False)
        self._watched_ns = self._lost = self._first_ns = self._last_ns = None
        self._silent = False
        self._counts.clear()
        return gap

    def come(self, channel: str, now: Stamp) -> Gap | None:
        """A frame with readings came; return what was missing before it."""
        is_heart_rate = channel in HEART_RATE_CHANNELS
        if self._is_heart_rate and not is_heart_rate:
            if self._watched_ns is not None:
                self._watched_ns = now.mono_ns
            return None
        if is_heart_rate and not self._is_heart_rate:  # what came before on other channels is another count
            self._is_heart_rate = True
            self._first_ns = self._last_ns = None
            self._counts.clear()
        gap = self._gap(now, arrived=True)
        self._lost, self._silent = None, False
        if self._watched_ns is not None:
            self._watched_ns = now.mono_ns
        if self._first_ns is None:
            self._first_ns = now.mono_ns
        self._last_ns = now.mono_ns
        second = now.mono_ns // NS_PER_S
        if self._counts and self._counts[-1][0] == second:
            self._counts[-1][1] += 1
        else:
            self._counts.append([second, 1])
        while self._counts[0][0] < second - _WINDOW_S:
            self._counts.popleft()
        return gap

    def is_stalled(self, now_ns: int) -> bool:
        """Return whether the connection must be made anew: nothing came for the whole of the allowed time."""
        return bool(self._silent_ns) and self._watched_ns is not None and now_ns - self._watched_ns >= self._silent_ns

    def is_silent(self, now_ns: int) -> bool:
        """Return whether nothing came for half of the allowed time; true until the next reading, whatever the link."""
        if self._silent_ns and self._watched_ns is not None and now_ns - self._watched_ns >= self._silent_ns // 2:
            self._silent = True
        return self._silent

    def loss_percent(self, now_ns: int) -> float | None:
        """Return the share of the expected frames that did not come, in %; None where no rate is nominal.

        Expected is one heart-rate frame in each whole second of the last minute, or since the first frame; a missing
        one counts from the second on, since one may stand at either edge. None below ten expected frames.
        """
        if not self._is_heart_rate or self._first_ns is None:
            return None
        now_s = now_ns // NS_PER_S
        begin_s = max(now_s - _WINDOW_S, self._first_ns // NS_PER_S)
        expected = (now_s - begin_s) * _NOMINAL_HZ
        if expected < _FEWEST_EXPECTED:
            return None
        came = sum(count for second, count in self._counts if begin_s <= second < now_s)
        missing = expected - came
        return round(100.0 * missing / expected, 1) if missing > 1 else 0.0

    def _gap(self, now: Stamp, *, arrived: bool) -> Gap | None:
        """Return the gap between the last frame and now; its count is time by rate, less the frame that ends it."""
        if self._last_ns is None:
            return None
        elapsed_ns = now.mono_ns - self._last_ns
        if self._lost is None and not (self._is_heart_rate and elapsed_ns > _PAUSE_NS):
            return None
        count = round(elapsed_ns / NS_PER_S * self._rate_hz()) - arrived
        if count < 1:
            return None
        return Gap(
            sensor=self._sensor,
            stream="heart_rate" if self._is_heart_rate else "all",
            from_ns=now.utc_ns - elapsed_ns,
            to_ns=now.utc_ns,
            count=count,
            reason=self._lost or SILENT,
        )

    def _rate_hz(self) -> float:
        """Return the nominal rate, or what came in the minute before the last frame."""
        if self._is_heart_rate:
            return _NOMINAL_HZ
        spanned_s = self._counts[-1][0] - self._counts[0][0] + 1
        return sum(count for _, count in self._counts) / spanned_s
