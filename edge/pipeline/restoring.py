"""The session so far, out of the store: metrics in windows of a minute, which give what windows of a second give."""

from collections.abc import Sequence

import numpy as np

from shared.clock import NS_PER_S
from shared.readings import Readings, select
from shared.windows import Window, Windower

_LONG_NS = 60 * NS_PER_S
_MOVEMENT = "position"


class Past:
    """Takes stored readings, oldest first."""

    def __init__(self) -> None:
        self.windower = Windower(size_ns=_LONG_NS)

    def take(self, blocks: Sequence[Readings]) -> list[Window]:
        """Return the minutes that are over."""
        return self.windower.push(*blocks)


def seconds_of(window: Window) -> list[Window]:
    """Return a long window's seconds that have readings, with the positions: all that the models' inputs look at.

    Those add up over the whole session, and are made of windows of a second.
    """
    known = [block.time_ns // NS_PER_S for block in window.streams.values()]
    seconds = np.unique(np.concatenate([np.unique(numbers) for numbers in known]))
    block = window.streams.get(_MOVEMENT)
    ends = None if block is None else np.searchsorted(block.time_ns, np.append(seconds, seconds[-1] + 1) * NS_PER_S)
    windows: list[Window] = []
    for i, second in enumerate(seconds.tolist()):
        streams: dict[str, Readings] = {}
        if block is not None and ends is not None and ends[i + 1] > ends[i]:
            streams[_MOVEMENT] = select(block, slice(ends[i], ends[i + 1]))
        start_ns = second * NS_PER_S
        windows.append(Window(athlete=window.athlete, start_ns=start_ns, end_ns=start_ns + NS_PER_S, streams=streams))
    return windows
