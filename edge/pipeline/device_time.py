"""When a reading was taken: from the device's clock where it can be trusted, else from its arrival. Pure."""

import numpy as np
from numpy.typing import NDArray

from edge.sensors.base import DeviceClock
from shared.clock import NS_PER_MS, NS_PER_S, Stamp
from shared.readings import Quality

# A reading may be old: a broker keeps what came while the gateway was down, for days if need be. It cannot be new.
MAX_AGE_NS = 14 * 86_400 * NS_PER_S
MAX_AHEAD_NS = 2 * NS_PER_S


class DeviceTime:
    """One device's clock against the gateway's."""

    def __init__(self) -> None:
        self.resets = 0
        self.offset_ms: float | None = None
        self.drift_ppm: float | None = None

    def place(self, device_ns: int, clock: DeviceClock, received: Stamp) -> tuple[int, int]:
        """Return the UTC time of a reading and its Quality bits.

        A UTC device time that is more than 2 s ahead of its arrival, or more than 14 days behind, comes from a clock
        that is not set: it is replaced by the time of arrival and flagged CLOCK_CORRECTED.
        """
        if clock is DeviceClock.UTC and -MAX_AHEAD_NS <= received.utc_ns - device_ns <= MAX_AGE_NS:
            return device_ns, 0
        return received.utc_ns, int(Quality.CLOCK_CORRECTED) if clock is DeviceClock.UTC else 0


def beat_times(intervals_ms: NDArray[np.float64], received_ns: int) -> NDArray[np.int64]:
    """Return the times at which RR intervals ended, int64[n]: the last at arrival, the others counted back from it."""
    back_ms = np.concatenate((np.cumsum(intervals_ms[::-1])[::-1][1:], [0.0]))
    return received_ns - np.round(back_ms * NS_PER_MS).astype(np.int64)
