"""Sets readings right that were stamped before the machine's clock was: the network's time came after the first data.

A chunk's bytes are never rewritten; what is known of the clock is applied whenever it is read. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from shared.readings import Quality, Readings
from shared.resolution import ARRIVAL_UNIT_NS

# What is further off is set at once: 2 s, and what a network delays.
_LED_IN_NS = 3 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """Between `since_ns` and `mono_ns` of run `boot` the wall clock was set: what was before is `shift_ns` too early.

    `offset_ns` is what UTC differed from monotonic time by afterwards: it tells on which side of the step a reading
    stands that came between the two looks at the clock.
    """

    boot: str
    since_ns: int
    mono_ns: int
    shift_ns: int
    offset_ns: int


Steps = Mapping[str, Sequence[ClockStep]]
"""The known steps by run."""


def restamp(block: Readings, steps: Steps) -> Readings:
    """Return the block with UTC as the clock says since it was set; moved readings are flagged RESTAMPED.

    A reading that stands where its device's own UTC put it stays: that clock was not the one that was wrong.
    """
    clocks = block.clocks
    known = steps.get(clocks.boot) if clocks is not None else None
    if clocks is None or not known:
        return block
    shift_ns = np.zeros(len(block), np.int64)
    right_ns = np.zeros(len(block), np.int64)
    for step in known:
        offset_ns = block.time_ns + shift_ns - clocks.mono_ns
        is_old = np.abs(offset_ns - (step.offset_ns - step.shift_ns)) <= np.abs(offset_ns - step.offset_ns)
        # Arrivals are kept cut to a unit: one that seems to come just before a look at the clock may have come after.
        before = (clocks.mono_ns < step.since_ns - ARRIVAL_UNIT_NS) | ((clocks.mono_ns < step.mono_ns) & is_old)
        shift_ns += np.where(before, step.shift_ns, 0)
        right_ns = np.where(before, clocks.mono_ns + step.offset_ns, right_ns)
    shift_ns = _led_in(block.time_ns - clocks.device_ns, right_ns - shift_ns - clocks.device_ns, shift_ns)
    moved = shift_ns != 0
    if not moved.any():
        return block
    quality = np.where(moved, block.quality | np.uint8(Quality.RESTAMPED), block.quality)
    return replace(block, time_ns=block.time_ns + shift_ns, quality=quality.astype(np.uint8))


def _led_in(
    correction_ns: NDArray[np.int64], distance_ns: NDArray[np.int64], shift_ns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return shifts for readings that stand between their device's time and their arrival: by as much as they were led.

    `correction_ns` is how far a reading was moved off its device's time, `distance_ns` how far that is from its arrival
    by the wrong clock. Corrections of seconds are led in bit by bit (`edge/pipeline/device_time.py`).
    """
    share = np.clip(correction_ns / np.where(distance_ns == 0, 1, distance_ns), 0.0, 1.0)
    share = np.where((np.abs(distance_ns) <= _LED_IN_NS) | (correction_ns == 0), share, 1.0)
    return np.round(shift_ns * share).astype(np.int64)
