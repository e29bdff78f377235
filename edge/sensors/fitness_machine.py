"""Trainers, treadmills and rowers: 0x2AD2, 0x2ACD and 0x2AD1 (Fitness Machine Service 1.0, §4).

A machine may split one measurement over several notifications, with More Data set on all but the last; each gives
the rows of what it holds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from edge.sensors.base import Decoded, Sensor
from edge.sensors.fitness_fields import BIKE, KJ_PER_KCAL, KNOWN_FLAGS, ROWER, TREADMILL, Field, Layout, compiled
from shared.errors import DecodeError
from shared.readings import Quality

_FIELDS = {"2ad2": BIKE, "2acd": TREADMILL, "2ad1": ROWER}
# What a machine sends for a value that it does not have; a bike's power has no such mark but cannot be 32,767 W.
_NO_UINT16, _NO_INT16, _NO_UINT24 = 0xFFFF, 0x7FFF, 0xFFFFFF
_CENTIKMH_PER_MPS = 360
_PACE_DISTANCE_M = 500.0
_SUPPLEMENT_RESISTANCE_STEP = 10.0
_GOOD, _TRAILING = int(Quality.GOOD), int(Quality.TRAILING_BYTES)


class FitnessMachine(Sensor):
    """Speed, cadence, power and heart rate as other devices send them, and what only machines say.

    A rower's stroke rate stands as cadence, its pace as speed. A heart rate of 0 means that nobody's strap is paired
    with the machine, and gives no row.
    """

    name = "fitness_machine"
    channels = ("2ad2", "2acd", "2ad1")
    services = ("1826",)

    def __init__(self) -> None:
        self._readers: dict[tuple[str, int], tuple[_Reader, _Reader]] = {}

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return a row in each stream of which the frame holds something."""
        length = len(body)
        if length < 2:
            raise DecodeError("frame has no flags", offset=length)
        flags = (body[0] | body[1] << 8) & KNOWN_FLAGS
        reader, other = self._readers.get((channel, flags)) or self._compile(channel, flags)
        if length == other.size:
            reader = other
        if length < reader.size:
            raise DecodeError("frame is shorter than its flags say", offset=length)
        quality = _GOOD if length == reader.size else _TRAILING
        layout = reader.layout
        values = layout.read(body)
        return tuple(
            [
                Decoded(stream=stream, rows=(row,), quality=quality)
                for stream, row_of in reader.streams
                if (row := row_of(values, layout)) is not None
            ]
        )

    def _compile(self, channel: str, flags: int) -> tuple["_Reader", "_Reader"]:
        """Return how to read these flags; there are no more than 8,192 combinations a channel."""
        fields: tuple[Field, ...] = _FIELDS[channel]
        service = _reader(compiled(fields, flags, supplement=False))
        supplement = _reader(compiled(fields, flags, supplement=True))
        found = service, supplement if supplement.size != service.size else service
        self._readers[channel, flags] = found
        return found


def _known(value: int | None, unknown: int) -> float:
    return math.nan if value is None or value == unknown else float(value)


def _if_any(*row: float) -> tuple[float, ...] | None:
    """Return the row, or None where nothing in it is known."""
    # NaN alone is not equal to itself.
    for value in row:
        if value == value:  # noqa: PLR0124
            return row
    return None


def _speed(values: dict[str, int], _layout: Layout) -> tuple[float, ...] | None:
    if "pace" in values:
        pace_s = _known(values["pace"], _NO_UINT16)
        # A pace of zero is how a resting rower is told.
        speed = _PACE_DISTANCE_M / pace_s if pace_s else 0.0
    else:
        speed = _known(values.get("speed"), _NO_UINT16) / _CENTIKMH_PER_MPS
    distance = math.nan
    if "distance" in values:
        distance = _known(values["distance"] | values["distance_high"] << 16, _NO_UINT24)
    return _if_any(speed, distance, math.nan, math.nan)


def _cadence(values: dict[str, int], _layout: Layout) -> tuple[float, ...] | None:
    if "stroke_rate" in values:
        rate, unknown = values["stroke_rate"], 0xFF
    else:
        rate, unknown = values["cadence"], _NO_UINT16
    return None if rate == unknown else (rate / 2, math.nan)


def _power(values: dict[str, int], _layout: Layout) -> tuple[float, ...] | None:
    power_w = values["power"]
    return None if power_w == _NO_INT16 else (float(power_w), math.nan)


def _heart_rate(values: dict[str, int], _layout: Layout) -> tuple[float, ...] | None:
    rate_bpm = values["heart_rate"]
    return None if rate_bpm == 0 else (float(rate_bpm), math.nan, math.nan)


def _machine(values: dict[str, int], layout: Layout) -> tuple[float, ...] | None:
    resistance = _known(values.get("resistance"), _NO_INT16)
    if layout.is_supplement:
        resistance *= _SUPPLEMENT_RESISTANCE_STEP
    return _if_any(
        _known(values.get("incline"), _NO_INT16) / 10,
        resistance,
        _known(values.get("energy"), _NO_UINT16) * KJ_PER_KCAL,
        _known(values.get("elapsed"), _NO_UINT16),
    )


_Row = Callable[[dict[str, int], Layout], tuple[float, ...] | None]
# Stream by stream: the values that it is made of, any of which gives a row, and what makes the row.
_STREAMS: tuple[tuple[str, frozenset[str], _Row], ...] = (
    ("speed", frozenset(("speed", "pace", "distance")), _speed),
    ("cadence", frozenset(("cadence", "stroke_rate")), _cadence),
    ("power", frozenset(("power",)), _power),
    ("heart_rate", frozenset(("heart_rate",)), _heart_rate),
    ("machine", frozenset(("incline", "resistance", "energy", "elapsed")), _machine),
)


@dataclass(frozen=True, slots=True)
class _Reader:
    """One combination of flags: its layout, the length of its frames, and the streams that it has something for."""

    layout: Layout
    size: int
    streams: tuple[tuple[str, _Row], ...]


def _reader(layout: Layout) -> _Reader:
    streams = tuple((stream, row_of) for stream, names, row_of in _STREAMS if not names.isdisjoint(layout.names))
    return _Reader(layout, layout.structure.size, streams)
