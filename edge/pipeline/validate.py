"""Marks readings that no healthy sensor on a living athlete sends. Pure; deletes nothing."""

from dataclasses import replace

import numpy as np

from shared.quantities import STREAMS
from shared.readings import Quality, Readings

_BOUNDS = {
    name: (np.array([q.low for q in stream.quantities]), np.array([q.high for q in stream.quantities]))
    for name, stream in STREAMS.items()
}


def validate(block: Readings) -> Readings:
    """Return the block with IMPLAUSIBLE set where a value lies outside its quantity's range; NaN is merely missing."""
    low, high = _BOUNDS[block.stream]
    outside = ((block.values < low) | (block.values > high)).any(axis=1)
    if not outside.any():
        return block
    return replace(block, quality=block.quality | np.where(outside, np.uint8(Quality.IMPLAUSIBLE), np.uint8(0)))
