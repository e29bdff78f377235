"""When a reading was taken: a device's clock against the gateway's. State machines without I/O.

A frame cannot arrive before it was sent, so the smallest distance between arrival and device time over a while is what
the clocks differ by, plus the fastest way here; delays only add to it (the lower envelope of Moon, Skelly, Towsley,
"Estimation and removal of clock skew from network delay measurements", 1999). Its slope is the drift.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.sensors.base import DeviceClock
from shared.clock import NS_PER_MS, NS_PER_S, Stamp
from shared.readings import Quality

# A reading may be old: a broker keeps what came while the gateway was down, for days if need be. It cannot be new.
MAX_AGE_NS = 14 * 86_400 * NS_PER_S
MAX_AHEAD_NS = 2 * NS_PER_S
# A clock that claims to be UTC and is this near is taken at its word: networks delay by as much.
_NEAR_NS = 100 * NS_PER_MS
# Corrections are led in at 20 ms a second, so that no reading overtakes another; what is further off is set at once.
_SLEW = 0.02
_STEP_NS = 2 * NS_PER_S
# An own clock that goes back by more has started anew; by less, a frame was late.
_RESTART_NS = 5 * NS_PER_S
# By more, the gateway's own clock was set, not merely kept in step.
_SET_NS = NS_PER_S // 2
# A leap counts once frames have agreed on it for as long: what comes late out of a memory comes faster than that.
_CONFIRM_NS = 3 * NS_PER_S
_AGREE_NS = 300 * NS_PER_MS

_BUCKET_NS = 5 * NS_PER_S
_FLOOR_BUCKETS = 12
_STEADY_BUCKETS = 6
_DRIFT_BUCKETS = 360
_UTC = DeviceClock.UTC
_CORRECTED = int(Quality.CLOCK_CORRECTED)


class Envelope:
    """The smallest distance (ns) between arrival and device time, by stretches of five seconds.

    Stretches in which the device's time ran faster or slower than the gateway's by a fifth are left out where `steady`
    is asked for: a memory was being emptied.
    """

    def __init__(self, *, steady: bool) -> None:
        self.steady = steady
        self._minima: deque[tuple[int, int]] = deque(maxlen=_DRIFT_BUCKETS)
        self._drift_ppm: float | None = None
        """Of the minima as they are, once somebody has asked."""
        self._floor_before: int | None = None
        self._first: tuple[int, int] | None = None
        self._last = (0, 0)
        self._least = 0

    def add(self, mono_ns: int, behind_ns: int) -> None:
        """Take one arrival at `mono_ns` whose device time lay `behind_ns` before it."""
        if not self.goes_on(mono_ns, behind_ns):
            self._close()
            self._first, self._least, self._last = (mono_ns, behind_ns), behind_ns, (mono_ns, behind_ns)

    def goes_on(self, mono_ns: int, behind_ns: int) -> bool:
        """Take an arrival into the stretch under way, which moves no steady floor; return False where it is over."""
        if self._first is None or mono_ns - self._first[0] >= _BUCKET_NS:
            return False
        self._least = min(self._least, behind_ns)
        self._last = (mono_ns, behind_ns)
        return True

    @property
    def floor_ns(self) -> int | None:
        """The least of the last minute, None before there is one to speak of."""
        if self.steady:
            return self._floor_before if len(self._minima) >= _STEADY_BUCKETS else None
        if self._first is None:
            return self._floor_before
        return self._least if self._floor_before is None else min(self._least, self._floor_before)

    @property
    def drift_ppm(self) -> float | None:
        """How much faster (+) the device's clock runs, over up to half an hour; None before one minute."""
        if len(self._minima) < _FLOOR_BUCKETS:
            return None
        if self._drift_ppm is None:
            times, minima = np.array(self._minima, np.float64).T
            times -= times[0]
            self._drift_ppm = float(-np.polyfit(times, minima - minima[0], 1)[0] * 1e6)
        return self._drift_ppm

    def _close(self) -> None:
        if self._first is None:
            return
        elapsed_ns = self._last[0] - self._first[0]
        gained_ns = self._first[1] - self._last[1]
        # A clock that is 200 ppm off gains a millisecond here; a memory that empties, seconds.
        if not self.steady or (elapsed_ns > _BUCKET_NS // 2 and abs(gained_ns) < elapsed_ns // 5):
            self._minima.append((self._first[0], self._least))
            self._drift_ppm = None
            self._floor_before = min(least for _, least in list(self._minima)[-_FLOOR_BUCKETS:])
        self._first = None


class DeviceTime:
    """One device's clock. `resets` counts restarts and leaps, `offset_ms` is how far its UTC is behind."""

    def __init__(self) -> None:
        self.resets = 0
        self._begun = False
        self._believed = False
        """Nothing is corrected and nothing hangs in the air: a frame that is on time is taken at its word."""
        self._origin: str | None = None
        self._is_utc = True
        self._gateway_ns = 0
        self._shift_ns = 0
        self._envelope = Envelope(steady=True)
        self._last = (0, 0, 0)
        """Device time, distance and arrival of the frame before."""
        self._last_sequence: int | None = None
        self._leap: tuple[int, int, int] | None = None
        """Distances before and after a leap that is not sure yet, and its arrival."""

    @property
    def offset_ms(self) -> float | None:
        """How far the device's UTC lies behind arrival at the least; None where it sends no UTC, or too little yet."""
        floor_ns = self._envelope.floor_ns if self._is_utc else None
        return None if floor_ns is None else floor_ns / NS_PER_MS

    @property
    def drift_ppm(self) -> float | None:
        """How much faster (+) than the gateway's the device's clock runs."""
        return self._envelope.drift_ppm

    def place(
        self,
        device_ns: int,
        clock: DeviceClock,
        received: Stamp,
        *,
        origin: str | None = None,
        sequence: int | None = None,
    ) -> tuple[int, int]:
        """Return the UTC time of a reading and its Quality bits.

        `origin` and `sequence` are the device's own count, where it counts. A UTC clock is taken at its word while it
        is near; one that has been off for half a minute of steady arrivals is corrected and flagged. One that is more
        than 2 s ahead of arrival, or more than 14 days behind, is not set: it is led to the gateway's from the first
        frame on, as is a clock of the device's own.
        """
        mono_ns, gateway_ns = received.mono_ns, received.utc_ns - received.mono_ns
        if self._believed and clock is _UTC and origin == self._origin:
            behind_ns = received.utc_ns - device_ns
            last_device_ns, _, last_mono_ns = self._last
            if (
                -MAX_AHEAD_NS <= behind_ns <= MAX_AGE_NS
                and -_SET_NS <= gateway_ns - self._gateway_ns <= _SET_NS
                and -_STEP_NS <= (device_ns - last_device_ns) - (mono_ns - last_mono_ns) <= _STEP_NS
                and self._envelope.goes_on(mono_ns, behind_ns)
            ):  # nearly every frame: all that follows would find nothing to do
                self._gateway_ns, self._last = gateway_ns, (device_ns, behind_ns, mono_ns)
                self._last_sequence = sequence
                return device_ns, 0
        self._is_utc = clock is _UTC
        behind_ns = (received.utc_ns if self._is_utc else mono_ns) - device_ns
        restarted = True
        if not self._begun or origin != self._origin:
            self.resets += self._begun
            self._restart(0 if self._is_utc else behind_ns)
        elif self._is_utc and abs(gateway_ns - self._gateway_ns) > _SET_NS:
            # The gateway's clock was set: what the device's differs from it by has changed by as much. A small
            # difference may have been the gateway's fault: the device is believed again.
            small = abs(self._shift_ns) < _STEP_NS
            self._restart(0 if small else self._shift_ns + gateway_ns - self._gateway_ns)
        elif self._leaps(device_ns, behind_ns, mono_ns, sequence):
            self.resets += 1
            self._restart(behind_ns)
        else:
            restarted = False
            self._lead(mono_ns)
        if self._is_utc and not -MAX_AHEAD_NS <= behind_ns - self._shift_ns <= MAX_AGE_NS:
            self.resets += self._begun and not restarted
            self._restart(behind_ns)
        self._envelope.add(mono_ns, behind_ns)
        self._begun, self._origin, self._gateway_ns = True, origin, gateway_ns
        self._last = (device_ns, behind_ns, mono_ns)
        self._last_sequence = sequence
        self._believed = self._is_utc and not self._shift_ns and self._leap is None and not self._may_lead()
        if not self._is_utc:
            return device_ns + self._shift_ns + gateway_ns, 0
        return device_ns + self._shift_ns, _CORRECTED if self._shift_ns else 0

    def place_kept(self, device_ns: int, received: Stamp) -> tuple[int, int]:
        """Return the UTC time and Quality bits of a reading that a UTC device says it kept in its memory.

        How late it is says nothing of the clocks; only the correction that is known already applies.
        """
        shift_ns = self._shift_ns
        gateway_ns = received.utc_ns - received.mono_ns
        if shift_ns and abs(gateway_ns - self._gateway_ns) > _SET_NS:
            shift_ns += gateway_ns - self._gateway_ns
        if not -MAX_AHEAD_NS <= received.utc_ns - device_ns - shift_ns <= MAX_AGE_NS:
            return received.utc_ns, _CORRECTED
        return device_ns + shift_ns, _CORRECTED if shift_ns else 0

    def _leaps(self, device_ns: int, behind_ns: int, mono_ns: int, sequence: int | None) -> bool:
        """Return whether the device's clock has been set, or has started anew."""
        last_device_ns, last_behind_ns, last_mono_ns = self._last
        back_ns = last_device_ns - device_ns
        if behind_ns - self._shift_ns < -MAX_AHEAD_NS or (not self._is_utc and back_ns > _RESTART_NS):
            return True  # nothing arrives before it was measured
        jump_ns = (device_ns - last_device_ns) - (mono_ns - last_mono_ns)
        if abs(jump_ns) > _STEP_NS:
            if sequence is not None and self._last_sequence is not None and sequence > self._last_sequence:
                # What a memory gives up late has older numbers, and what a link held back goes on from the last.
                return back_ns > 0
            before_ns = last_behind_ns if self._leap is None else self._leap[0]
            self._leap = (before_ns, behind_ns, mono_ns) if abs(behind_ns - before_ns) > _STEP_NS else None
        elif self._leap is not None:
            _, leapt_ns, since_ns = self._leap
            if abs(behind_ns - leapt_ns) > _AGREE_NS:
                self._leap = None
            return self._leap is not None and mono_ns - since_ns >= _CONFIRM_NS
        return False

    def _may_lead(self) -> bool:
        """Return whether a correction of a clock that needed none may be due before this stretch is over."""
        floor_ns = self._envelope.floor_ns
        return not self._envelope.steady or (floor_ns is not None and abs(floor_ns) >= _NEAR_NS)

    def _restart(self, shift_ns: int) -> None:
        """Begin a new estimate with this correction; a clock that needs none is believed until it is steadily off."""
        self._leap = None
        self._shift_ns = 0 if self._is_utc and abs(shift_ns) < _NEAR_NS else shift_ns
        self._envelope = Envelope(steady=self._is_utc and not self._shift_ns)

    def _lead(self, mono_ns: int) -> None:
        """Move the correction towards what the envelope says."""
        floor_ns = self._envelope.floor_ns
        if floor_ns is None:
            return
        target_ns = 0 if self._is_utc and abs(floor_ns) < _NEAR_NS else floor_ns
        missing_ns = target_ns - self._shift_ns
        if abs(missing_ns) < _STEP_NS:
            most_ns = max(0, int((mono_ns - self._last[2]) * _SLEW))
            missing_ns = max(-most_ns, min(most_ns, missing_ns))
        self._shift_ns += missing_ns


def beat_times(intervals_ms: NDArray[np.float64], received_ns: int, after_ns: int = 0) -> NDArray[np.int64]:
    """Return the times at which RR intervals ended, int64[n]: the last at arrival, the others counted back from it.

    No beat overtakes the one before, which ended at `after_ns`: frames that the radio held up and sent at once stay in
    order. A beat that is seconds in the future was stamped by a clock that has been set back since. An interval that
    was not measured (NaN) takes no time.
    """
    back_ms = np.concatenate((np.nancumsum(intervals_ms[::-1])[::-1][1:], [0.0]))
    times_ns = received_ns - np.round(back_ms * NS_PER_MS).astype(np.int64)
    if after_ns - received_ns > _STEP_NS:
        return times_ns
    return np.asarray(np.maximum(times_ns, after_ns + NS_PER_MS * (1 + np.arange(len(times_ns)))), np.int64)
