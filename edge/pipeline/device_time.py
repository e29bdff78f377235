"""When a reading was taken: from the device's clock where it can be trusted, else from its arrival. Pure."""

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_MS, NS_PER_S
from shared.readings import Quality

# A reading may be old: a broker keeps what came while the gateway was down, for days if need be. It cannot be new.
MAX_AGE_NS = 14 * 86_400 * NS_PER_S
MAX_AHEAD_NS = 2 * NS_PER_S


def reading_times(
    device_ns: NDArray[np.int64], received_ns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return UTC times and Quality bits of readings whose device sends its own time.

    A device time that is more than 2 s ahead of its arrival, or more than 14 days behind, comes from a clock that is
    not set: it is replaced by the time of arrival and flagged CLOCK_CORRECTED.
    """
    age_ns = received_ns - device_ns
    wrong = (age_ns > MAX_AGE_NS) | (age_ns < -MAX_AHEAD_NS)
    times = np.where(wrong, received_ns, device_ns)
    return times, np.where(wrong, np.uint8(Quality.CLOCK_CORRECTED), np.uint8(0))


def beat_times(intervals_ms: NDArray[np.float64], received_ns: int) -> NDArray[np.int64]:
    """Return the times at which RR intervals ended, int64[n]: the last at arrival, the others counted back from it."""
    back_ms = np.concatenate((np.cumsum(intervals_ms[::-1])[::-1][1:], [0.0]))
    return received_ns - np.round(back_ms * NS_PER_MS).astype(np.int64)
