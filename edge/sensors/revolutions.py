"""Turns a minute from counters that roll over: what cycling sensors send instead of a rate."""

import math
from typing import Final

# A rider coasts or stops: a frame that repeats the counters holds the last rate, so many in a row mean standing
# still. At the usual frame a second that is more than any pedal stroke takes.
_LEAST_REPEATS = 4
_MOST_REPEATS = 16
_SILENCE_S = 2.5


class Revolutions:
    """One counter of revolutions and the time of its last event, both of which roll over.

    Rate: Δrevolutions · 60 · ticks per second / Δticks, each difference modulo its counter's width (Cycling Speed and
    Cadence Service 1.0, §3.1; Cycling Power Service 1.1, §3.2.1). There is no clock here but the device's own: how long
    a frame lasts is learnt from the events seen so far, so that a sensor that notifies four times a second is not
    taken for still between two slow strokes.
    """

    __slots__ = (
        "_frames",
        "_most_per_minute",
        "_revolutions",
        "_scale",
        "_silence",
        "_since",
        "_ticks",
        "_width",
        "rate_rpm",
    )

    def __init__(self, *, width: int, ticks_per_s: int, most_per_minute: float) -> None:
        """`width` is the number of values of the revolution counter; a faster rate means that it was reset."""
        self._width: Final = width - 1
        self._scale: Final = 60.0 * ticks_per_s
        self._silence: Final = _SILENCE_S * ticks_per_s
        self._most_per_minute: Final = most_per_minute
        self._revolutions = -1
        self._ticks = 0
        self._since = 0
        self._frames = float(_LEAST_REPEATS)
        self.rate_rpm = math.nan
        """The rate after the last frame; NaN until two events are known."""

    def take(self, revolutions: int, ticks: int) -> float:
        """Return the rate (1/min) after one more frame; NaN while it cannot be said."""
        turned = (revolutions - self._revolutions) & self._width
        if self._revolutions < 0:
            self._revolutions, self._ticks = revolutions, ticks
            return math.nan
        self._since += 1
        if not turned:
            if self._since >= int(self._frames):
                self.rate_rpm = 0.0
            return self.rate_rpm
        passed = (ticks - self._ticks) & 0xFFFF
        self._revolutions, self._ticks = revolutions, ticks
        frames, self._since = self._since, 0
        # After standing still the ticks may have rolled over any number of times: this event only starts anew.
        if not passed or self.rate_rpm == 0.0:
            self.rate_rpm = math.nan if self.rate_rpm == 0.0 else self.rate_rpm
            return self.rate_rpm
        rate = turned * self._scale / passed
        if rate > self._most_per_minute:
            self.rate_rpm = math.nan
            return math.nan
        self.rate_rpm = rate
        # The number of repeats that mean standing still moves towards 2.5 s of frames.
        wanted = self._silence * frames / passed
        if wanted < _LEAST_REPEATS:
            wanted = _LEAST_REPEATS
        elif wanted > _MOST_REPEATS:
            wanted = _MOST_REPEATS
        self._frames += 0.25 * (wanted - self._frames)
        return rate
