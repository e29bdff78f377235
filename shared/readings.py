"""What sensors send and what it means: Frame (bytes as received), Readings (numpy columns), Quality, Gap."""

from dataclasses import dataclass
from enum import IntFlag

import msgspec
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
    UNCERTAIN = 16
    """The device itself doubts the reading: a pulse interval in motion, an unsolved position."""
    BACKLOG = 32
    """The device sent it later than it measured it, from its memory."""
    RESTAMPED = 64
    """The gateway's clock was wrong at arrival; the time was set right afterwards."""
    ESTIMATED = 128
    """Not measured: filled in or derived by the device."""


# A struct, because one is made for every message.
class Frame(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Bytes as one sensor sent them; `channel` (a characteristic's UUID, a topic's last word) says how to read them."""

    sensor: SensorId
    channel: str
    body: bytes
    received: Stamp


NO_TIME = np.iinfo(np.int64).min
"""In `Clocks.device_ns`: the device sent no time with this reading."""


# Structs, because one is made for every sensor's share of every batch; dataclasses too, for `dataclasses.replace`.
@dataclass(init=False, repr=False, eq=False, kw_only=True, match_args=False)
class Clocks(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The clocks behind a block's UTC: what the device's own said, and the gateway's monotonic one at arrival.

    `device_ns` int64[n] counts as the device does (UTC, or nanoseconds since it knows best), NO_TIME where it sent
    none. `mono_ns` int64[n] counts in `boot`, one run of the gateway.
    """

    boot: str
    device_ns: NDArray[np.int64]
    mono_ns: NDArray[np.int64]


@dataclass(init=False, repr=False, eq=False, kw_only=True, match_args=False)
class Readings(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A block of one stream of one sensor: n readings in k columns.

    `sequence` int64[n] counts readings within `origin` (the device's power-on, or the gateway's for devices that do
    not count); (sensor, stream, origin, sequence) is a reading's identity, time is not.
    `time_ns` int64[n] is UTC. `values` float64[n, k] has the columns of `STREAMS[stream].quantities`, NaN where the
    device sent nothing. `quality` uint8[n] holds Quality bits. `clocks` is None where only UTC is known (a file).
    """

    sensor: SensorId
    stream: str
    origin: str
    sequence: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    athlete: AthleteId | None = None
    clocks: Clocks | None = None

    def __len__(self) -> int:
        return len(self.sequence)

    def column(self, quantity: str) -> NDArray[np.float64]:
        """Return the column of `quantity`, float64[n]."""
        return self.values[:, STREAMS[self.stream].column(quantity)]


def select(block: Readings, chosen: slice | NDArray[np.bool_] | NDArray[np.int64]) -> Readings:
    """Return some of a block's readings: a slice, those that a mask marks, or by row number."""
    clocks = block.clocks
    return Readings(
        sensor=block.sensor,
        stream=block.stream,
        origin=block.origin,
        sequence=block.sequence[chosen],
        time_ns=block.time_ns[chosen],
        values=block.values[chosen],
        quality=block.quality[chosen],
        athlete=block.athlete,
        clocks=None
        if clocks is None
        else Clocks(boot=clocks.boot, device_ns=clocks.device_ns[chosen], mono_ns=clocks.mono_ns[chosen]),
    )


# As many readings as this are found the first and the last of without numpy, whose calls cost more than they are.
_FEW = 32


def span_ns(block: Readings) -> tuple[int, int]:
    """Return the times of the earliest and the latest reading of a block that has any."""
    times = block.time_ns
    count = len(times)
    if count == 1:
        only: int = times.item(0)
        return only, only
    if count <= _FEW:
        each: list[int] = times.tolist()
        return min(each), max(each)
    return int(times.min()), int(times.max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Readings known to be missing: which stream, when, how many, and why. Gaps are stored and uploaded too."""

    sensor: SensorId | None
    stream: str
    from_ns: int
    to_ns: int
    count: int
    reason: str
