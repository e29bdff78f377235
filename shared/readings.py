"""What sensors send and what it means: Frame (bytes as received), Readings (numpy columns), Quality, Gap."""

from dataclasses import dataclass, replace
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from shared.clock import Stamp
from shared.ids import AthleteId, SensorId
from shared.quantities import STREAMS


class Quality(IntFlag):
    """What is known to be wrong with a reading; readings are flagged, never deleted."""

    GOOD = 0
    IMPLAUSIBLE = 1
    """Outside the quantity's plausible range."""
    NO_CONTACT = 2
    """The strap reports that it is off the skin."""
    CLOCK_CORRECTED = 4
    """The device's own time was replaced by the time of arrival."""
    TRAILING_BYTES = 8
    """The frame carried bytes beyond its fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Bytes as one sensor sent them; `channel` (a characteristic's UUID, a topic's last word) says how to read them."""

    sensor: SensorId
    channel: str
    body: bytes
    received: Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """A block of one stream of one sensor: n readings in k columns.

    `sequence` int64[n] counts readings within `origin` (the device's power-on, or the gateway's for devices that do
    not count); (sensor, stream, origin, sequence) is a reading's identity, time is not.
    `time_ns` int64[n] is UTC. `values` float64[n, k] has the columns of `STREAMS[stream].quantities`, NaN where the
    device sent nothing. `quality` uint8[n] holds Quality bits.
    """

    sensor: SensorId
    stream: str
    origin: str
    sequence: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    athlete: AthleteId | None = None

    def __len__(self) -> int:
        return len(self.sequence)

    def column(self, quantity: str) -> NDArray[np.float64]:
        """Return the column of `quantity`, float64[n]."""
        return self.values[:, STREAMS[self.stream].column(quantity)]


def cut(block: Readings, part: slice) -> Readings:
    """Return some of a block's readings."""
    return replace(
        block,
        sequence=block.sequence[part],
        time_ns=block.time_ns[part],
        values=block.values[part],
        quality=block.quality[part],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Readings known to be missing: which stream, when, how many, and why. Gaps are stored and uploaded too."""

    sensor: SensorId | None
    stream: str
    from_ns: int
    to_ns: int
    count: int
    reason: str
