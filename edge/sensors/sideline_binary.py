"""Our compact binary for any stream, little-endian: docs/mqtt.md, "Our binary".

Header of 28 bytes: version u8 (1), stream u8, flags u8, reserved u8 (0), boot u32, sequence u32 of the first row,
time u64 in ns of the last row, period u32 in ns from row to row, count u16, columns u16. Then count × columns whole
multiples of each quantity's resolution, rows one after another, as int32, or int16 with flag 1; the least number of
the type is a value that was not measured. Flag 2: the time counts from the device's own start. Flag 4: no time.
"""

import math
import struct
from typing import Final

from edge.sensors.base import Decoded, DeviceClock, Sensor
from edge.sensors.fields import whole_ns
from shared.errors import DecodeError
from shared.quantities import STREAMS

HEADER: Final = struct.Struct("<BBBBIIQIHH")
_VERSION: Final = 1
_NARROW, _OWN_CLOCK, _NO_TIME = 1, 2, 4
_MAX_ROWS: Final = 2000
_NAN: Final = math.nan
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

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return the rows."""
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
        scales = _SCALES[stream]
        if columns != len(scales) or not 0 < count <= _MAX_ROWS:
            raise DecodeError("binary frame with wrong counts")
        size, letter, nothing = (2, "h", -(2**15)) if flags & _NARROW else (4, "i", -(2**31))
        if len(body) != HEADER.size + size * count * columns:
            raise DecodeError("binary frame whose length is not its counts'")
        raw = struct.unpack_from(f"<{count * columns}{letter}", body, HEADER.size)
        values = [
            [_NAN if number == nothing else number * factor / divisor for number in raw[column::columns]]
            for column, (factor, divisor) in enumerate(scales)
        ]
        return (
            Decoded(
                stream=stream,
                rows=tuple(zip(*values, strict=True)),
                origin=f"{boot:08x}",
                sequence=sequence,
                device_ns=None if flags & _NO_TIME else whole_ns(time_ns, 1),
                clock=DeviceClock.OWN if flags & _OWN_CLOCK else DeviceClock.UTC,
                period_ns=period_ns,
            ),
        )
