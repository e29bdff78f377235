"""Cadence and wheel sensors: CSC Measurement 0x2A5B (Cycling Speed and Cadence Service 1.0, §3.1)."""

import math
import struct

from edge.sensors.base import Decoded, FadingMemory, Sensor
from edge.sensors.revolutions import Revolutions
from shared.clock import NS_PER_S
from shared.errors import DecodeError
from shared.readings import Quality

_FLAG_WHEEL = 0x01
_FLAG_CRANK = 0x02
_LAYOUTS = tuple(struct.Struct("<x" + tail) for tail in ("", "IH", "HH", "IHHH"))
_TICKS_PER_S = 1024
# Beyond what legs and wheels can do; such a leap is a counter that began anew.
MOST_CRANK_RPM = 400.0
MOST_WHEEL_RPM = 4000.0
_GOOD, _TRAILING = int(Quality.GOOD), int(Quality.TRAILING_BYTES)


class CadenceMemory(FadingMemory):
    """Both counters of one sensor."""

    __slots__ = ("crank", "wheel")
    # Half of the 16 bits of the wheel's time at 2,048 a second: a longer silence may hide a roll-over.
    lasts_ns = 16 * NS_PER_S

    def __init__(self, wheel_ticks_per_s: int = _TICKS_PER_S) -> None:
        super().__init__()
        self.wheel = Revolutions(width=2**32, ticks_per_s=wheel_ticks_per_s, most_per_minute=MOST_WHEEL_RPM)
        self.crank = Revolutions(width=2**16, ticks_per_s=_TICKS_PER_S, most_per_minute=MOST_CRANK_RPM)


class CyclingCadence(Sensor):
    """Turns a minute of crank and wheel."""

    name = "cycling_cadence"
    channels = ("2a5b",)
    services = ("1816",)

    def start(self) -> CadenceMemory:
        """Return the memory of a sensor that has said nothing."""
        return CadenceMemory()

    def decode(self, channel: str, body: bytes, memory: CadenceMemory) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return one row of cadence once two events are known; nothing before."""
        length = len(body)
        if not length:
            raise DecodeError("empty frame")
        present = body[0] & 0x03
        layout = _LAYOUTS[present]
        if length < layout.size:
            raise DecodeError("frame is shorter than its flags say", offset=length)
        wheel = crank = math.nan
        if present == _FLAG_CRANK:
            crank = memory.crank.take(*layout.unpack_from(body))
        elif present == _FLAG_WHEEL:
            wheel = memory.wheel.take(*layout.unpack_from(body))
        elif present:
            wheel_count, wheel_ticks, crank_count, crank_ticks = layout.unpack_from(body)
            wheel = memory.wheel.take(wheel_count, wheel_ticks)
            crank = memory.crank.take(crank_count, crank_ticks)
        # NaN is not equal to itself.
        if crank != crank and wheel != wheel:  # noqa: PLR0124
            return ()
        quality = _GOOD if length == layout.size else _TRAILING
        return (Decoded(stream="cadence", rows=((crank, wheel),), quality=quality),)
