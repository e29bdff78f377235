"""How finely readings are kept: values in steps of their quantity, device times in µs, times of arrival in ms."""

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_MS
from shared.readings import NO_TIME

MISSING = np.iinfo(np.int32).min
"""The scaled value of what the device did not send."""
ARRIVAL_UNIT_NS = NS_PER_MS
"""Times of arrival are kept in whole ones of these: a radio and an event loop know them no better."""
NS_PER_US = 1000


def scale(values: NDArray[np.float64], resolution: float) -> NDArray[np.int64]:
    """Return values as whole multiples of `resolution`, int64; what is NaN or beyond int32 becomes the missing mark."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.round(values / resolution)
    fits = np.abs(scaled) < 2**31 - 1
    if not fits.all():
        scaled = np.where(fits, scaled, MISSING)
    return scaled.astype(np.int64)


def unscale(column: NDArray[np.int64], resolution: float) -> NDArray[np.float64]:
    """Return the values of a scaled column, NaN for the missing mark."""
    # Dividing by the inverse keeps decimal resolutions exact: 1234 * 0.001 is not 1.234, 1234 / 1000 is.
    inverse = 1 / resolution
    values = column / round(inverse) if resolution < 1 and abs(inverse - round(inverse)) < 1e-9 else column * resolution
    return np.where(column == MISSING, np.nan, values)


def kept_arrival(mono_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return monotonic times of arrival as they are kept: cut to whole milliseconds."""
    return mono_ns - np.fmod(mono_ns, ARRIVAL_UNIT_NS)


def kept_device(device_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return times by a device's clock as they are kept: cut to whole microseconds; NO_TIME stays."""
    return device_ns - np.where(device_ns == NO_TIME, 0, np.fmod(device_ns, NS_PER_US))


def kept_time(time_ns: NDArray[np.int64], device_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return UTC times as they are kept: cut to whole microseconds, to milliseconds where the device sent no time.

    What equals the device's time still does, which tells whose clock set it; no cut crosses a second.
    """
    # Cutting towards zero keeps the order and cannot overflow.
    return time_ns - np.fmod(time_ns, np.where(device_ns == NO_TIME, ARRIVAL_UNIT_NS, NS_PER_US))
