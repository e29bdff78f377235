"""Marks readings that no healthy sensor on a living athlete sends. Pure; deletes nothing."""

import numpy as np
from numpy.typing import NDArray

from shared.quantities import STREAMS
from shared.readings import Quality

_BOUNDS = {
    name: (np.array([q.low for q in stream.quantities]), np.array([q.high for q in stream.quantities]))
    for name, stream in STREAMS.items()
}
_FLAG = np.uint8(Quality.IMPLAUSIBLE)


def implausible(stream: str, values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return IMPLAUSIBLE for each row of `values` [n, k] that has one outside its quantity's range; NaN is missing."""
    low, high = _BOUNDS[stream]
    outside = (values < low) | (values > high)
    if not outside.any():  # nearly always
        return np.zeros(len(values), np.uint8)
    return np.where(outside.any(axis=1), _FLAG, np.uint8(0))
