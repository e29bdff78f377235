"""Our compact binary for any stream, little-endian: docs/mqtt.md, "Our binary".

Header of 28 bytes: version u8 (1), stream u8, flags u8, reserved u8 (0), boot u32, sequence u32 of the first row,
time u64 in ns of the last row, period u32 in ns from row to row, count u16, columns u16. Then count × columns whole
multiples of each quantity's resolution, rows one after another, as int32, or int16 with flag 1; the least number of
the type is a value that was not measured. Flag 2: the time counts from the device's own start. Flag 4: no time.
"""

import math
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.sensors.base import Decoded, DeviceClock, Sensor
from edge.sensors.fields import whole_ns
from shared.errors import DecodeError
from shared.quantities import STREAMS

HEADER: Final = struct.Struct("<BBBBIIQIHH")
_VERSION: Final = 1
_NARROW, _OWN_CLOCK, _NO_TIME = 1, 2, 4
_MAX_ROWS: Final = 2000
_NAN: Final = math.nan
_NOTHING: Final = {"h": -(2**15), "i": -(2**31)}
"""By the type of the numbers, the one that says that nothing was measured."""
# Never renumbered; a new stream takes the next number.
_STREAMS: Final = dict(
    enumerate(
        (
            "heart_rate", "rr", "position", "battery", "location", "speed", "gait", "cadence", "power", "machine",
            "imu", "ecg", "exertion",
        ),
        start=1,
    )
)  # fmt: skip


def _scale(resolution: float) -> tuple[float, float]:
    """Return (factor, divisor): to divide by 1000 gives the decimal that to multiply by 0.001 misses."""
    inverse = 1 / resolution
    whole = round(inverse)
    return (1.0, float(whole)) if abs(inverse - whole) < 1e-6 * inverse else (resolution, 1.0)


_SCALES: Final = {
    name: tuple(_scale(quantity.resolution) for quantity in stream.quantities) for name, stream in STREAMS.items()
}


class SidelineBinary(Sensor):
    """Blocks of rows of one stream with the device's own count and time."""

    name = "sideline_binary"
    channels = ("sideline+binary",)
    topics = (("sideline/binary/{sensor}/#", "sideline+binary"),)
    reads_many = True

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return the rows."""
        head = _head(body)
        scales = _SCALES[head.stream]
        raw = struct.unpack_from(f"<{head.rows * len(scales)}{head.number}", body, HEADER.size)
        nothing = _NOTHING[head.number]
        values = [
            [_NAN if number == nothing else number * factor / divisor for number in raw[column :: len(scales)]]
            for column, (factor, divisor) in enumerate(scales)
        ]
        return (_decoded(head, tuple(zip(*values, strict=True))),)

    def decode_many(self, channel: str, bodies: Sequence[bytes]) -> list[tuple[Decoded, ...]] | None:  # noqa: ARG002
        """Read the rows of each stream at once; None where a frame is malformed."""
        try:
            heads = [_head(body) for body in bodies]
        except DecodeError:
            return None
        alike: dict[tuple[str, str], list[int]] = {}
        for place, head in enumerate(heads):
            alike.setdefault((head.stream, head.number), []).append(place)
        said: list[tuple[Decoded, ...]] = [()] * len(bodies)
        for (stream, number), places in alike.items():
            factors, divisors = np.array(_SCALES[stream]).T
            together = b"".join([bodies[place][HEADER.size :] for place in places])
            raw = np.frombuffer(together, np.dtype(number).newbyteorder("<")).reshape(-1, len(factors))
            rows = raw * factors / divisors
            rows[raw == _NOTHING[number]] = _NAN
            end = 0
            for place in places:
                begin, end = end, end + heads[place].rows
                said[place] = (_decoded(heads[place], rows[begin:end]),)
        return said


class _Head(NamedTuple):
    """What a frame's header says of its rows."""

    stream: str
    number: str
    """How `struct` and numpy call the type of its numbers."""
    rows: int
    flags: int
    boot: int
    sequence: int
    time_ns: int
    period_ns: int


def _head(body: bytes) -> _Head:
    if len(body) < HEADER.size:
        raise DecodeError("binary frame shorter than its header")
    version, code, flags, zero, boot, sequence, time_ns, period_ns, count, columns = HEADER.unpack_from(body)
    if version != _VERSION:
        raise DecodeError("binary frame of an unknown version")
    stream = _STREAMS.get(code)
    if stream is None:
        raise DecodeError("binary frame of an unknown stream")
    if flags & ~(_NARROW | _OWN_CLOCK | _NO_TIME) or zero:
        raise DecodeError("binary frame with unknown flags")
    if columns != len(_SCALES[stream]) or not 0 < count <= _MAX_ROWS:
        raise DecodeError("binary frame with wrong counts")
    number = "h" if flags & _NARROW else "i"
    if len(body) != HEADER.size + (2 if flags & _NARROW else 4) * count * columns:
        raise DecodeError("binary frame whose length is not its counts'")
    if not flags & _NO_TIME:
        time_ns = whole_ns(time_ns, 1)
    return _Head(stream, number, count, flags, boot, sequence, time_ns, period_ns)


def _decoded(head: _Head, rows: tuple[tuple[float, ...], ...] | NDArray[np.float64]) -> Decoded:
    return Decoded(
        stream=head.stream,
        rows=rows,
        origin=f"{head.boot:08x}",
        sequence=head.sequence,
        device_ns=None if head.flags & _NO_TIME else head.time_ns,
        clock=DeviceClock.OWN if head.flags & _OWN_CLOCK else DeviceClock.UTC,
        period_ns=head.period_ns,
    )
