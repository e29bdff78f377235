"""Sets readings right that were stamped before the machine's clock was: the network's time came after the first data.

A chunk's bytes are never rewritten; what is known of the clock is applied whenever it is read. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_MS, NS_PER_S
from shared.readings import NO_TIME, Quality, Readings
from shared.resolution import ARRIVAL_UNIT_NS

_Times = NDArray[np.int64]
# What is further off is set at once: 2 s, and what a network delays.
_LED_IN_NS = 3 * NS_PER_S
_NEAR_NS = 100 * NS_PER_MS


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
        old_ns, new_ns = np.abs(offset_ns - (step.offset_ns - step.shift_ns)), np.abs(offset_ns - step.offset_ns)
        # Near neither: on its way from its device's time to the wrong clock's, where the right clock leads none.
        is_old = (old_ns <= new_ns) | ((new_ns > _NEAR_NS) & (abs(step.shift_ns) <= _LED_IN_NS))
        # Arrivals are kept cut to a unit: one that seems to come just before a look at the clock may have come after.
        before = (clocks.mono_ns < step.since_ns - ARRIVAL_UNIT_NS) | ((clocks.mono_ns < step.mono_ns) & is_old)
        shift_ns += np.where(before, step.shift_ns, 0)
        right_ns = np.where(before, clocks.mono_ns + step.offset_ns, right_ns)
    shift_ns = _led_in(block.time_ns, clocks.device_ns, right_ns - shift_ns, shift_ns)
    moved = shift_ns != 0
    if not moved.any():
        return block
    quality = np.where(moved, block.quality | np.uint8(Quality.RESTAMPED), block.quality)
    return replace(block, time_ns=block.time_ns + shift_ns, quality=quality.astype(np.uint8))


def _led_in(time_ns: _Times, device_ns: _Times, arrival_ns: _Times, shift_ns: _Times) -> _Times:
    """Return the shifts of readings, less for those that stand between their device's time and their arrival.

    Corrections of seconds are led in bit by bit (`edge/pipeline/device_time.py`): of a wrong clock's error a reading
    has the share that it was led by, and none where it stands where its device's time put it. `arrival_ns` is by the
    wrong clock.
    """
    device_ns = np.where(device_ns == NO_TIME, 0, device_ns)
    led_ns, way_ns = time_ns - device_ns, arrival_ns - device_ns
    share = np.clip(led_ns / np.where(way_ns == 0, 1, way_ns), 0.0, 1.0)
    is_led = np.abs(way_ns) <= _LED_IN_NS
    shares = np.round(np.where(is_led, shift_ns, 0) * share).astype(np.int64)
    return np.where(led_ns == 0, 0, np.where(is_led, shares, shift_ns))
