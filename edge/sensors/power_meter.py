"""Power meters: Cycling Power Measurement 0x2A63 (Cycling Power Service 1.1, §3.2)."""

import math
import struct
from dataclasses import dataclass
from typing import Any

from edge.sensors.base import Decoded, Sensor
from edge.sensors.cycling_cadence import CadenceMemory
from shared.errors import DecodeError
from shared.readings import Quality

_BALANCE, _LEFT_IS_REFERENCE = 0x0001, 0x0002
_WHEEL, _CRANK = 0x0010, 0x0020
_OFFSET_NEEDED = 0x1000
_FLAGS = 0x1FFF
# What stands behind flags and power, in order; fields that are not kept are passed over (x).
_FIELDS = (
    (_BALANCE, "B"),
    (0x0004, "2x"),  # accumulated torque
    (_WHEEL, "IH"),
    (_CRANK, "HH"),
    (0x0040, "4x"),  # extreme force
    (0x0080, "4x"),  # extreme torque
    (0x0100, "3x"),  # extreme angles, two of 12 bits
    (0x0200, "2x"),  # top dead spot
    (0x0400, "2x"),  # bottom dead spot
    (0x0800, "2x"),  # accumulated energy
)
# The wheel's time alone is finer here than in the Cycling Speed and Cadence Service.
_WHEEL_TICKS_PER_S = 2048
_MOST_HALF_PERCENT = 200
_GOOD, _TRAILING, _UNCERTAIN = int(Quality.GOOD), int(Quality.TRAILING_BYTES), int(Quality.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How to read one combination of flags: where each part stands among the values, 0 where it is absent."""

    unpack_from: Any
    size: int
    balance: int
    wheel: int
    crank: int


class PowerMeter(Sensor):
    """Power with the left leg's share, and the turns a minute of crank and wheel."""

    name = "power_meter"
    channels = ("2a63",)
    services = ("1818",)

    def __init__(self) -> None:
        self._layouts: dict[int, _Layout] = {}

    def start(self) -> CadenceMemory:
        """Return the memory of a meter that has said nothing."""
        return CadenceMemory(_WHEEL_TICKS_PER_S)

    def decode(self, channel: str, body: bytes, memory: CadenceMemory) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return one row of power, and one of cadence once two events are known.

        The balance counts only where the left pedal is its reference. A meter that asks for its zero offset doubts
        its own power.
        """
        length = len(body)
        if length < 4:
            raise DecodeError("frame has no power", offset=length)
        flags = (body[0] | body[1] << 8) & _FLAGS
        layout = self._layouts.get(flags) or self._compile(flags)
        if length < layout.size:
            raise DecodeError("frame is shorter than its flags say", offset=length)
        values = layout.unpack_from(body)
        quality = _GOOD if length == layout.size else _TRAILING
        left = math.nan
        if layout.balance and flags & _LEFT_IS_REFERENCE and values[1] <= _MOST_HALF_PERCENT:
            left = values[1] / 2
        power = Decoded(
            stream="power",
            rows=((float(values[0]), left),),
            quality=quality | _UNCERTAIN if flags & _OFFSET_NEEDED else quality,
        )
        wheel = memory.wheel.take(values[layout.wheel], values[layout.wheel + 1]) if layout.wheel else math.nan
        crank = memory.crank.take(values[layout.crank], values[layout.crank + 1]) if layout.crank else math.nan
        # NaN is not equal to itself.
        if crank != crank and wheel != wheel:  # noqa: PLR0124
            return (power,)
        return power, Decoded(stream="cadence", rows=((crank, wheel),), quality=quality)

    def _compile(self, flags: int) -> _Layout:
        """Return how to read these flags; there are no more than 8,192 combinations."""
        code, count, places = "<2xh", 1, {}
        for bit, field in _FIELDS:
            if flags & bit:
                places[bit] = count
                code += field
                count += 0 if "x" in field else len(field)
        compiled = struct.Struct(code)
        found = _Layout(
            compiled.unpack_from, compiled.size, places.get(_BALANCE, 0), places.get(_WHEEL, 0), places.get(_CRANK, 0)
        )
        self._layouts[flags] = found
        return found
