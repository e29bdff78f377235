"""What formats of named numbers share: bounds on bodies, numbers and times, and rows of quantities. Pure."""

import math
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import msgspec

from shared.errors import DecodeError
from shared.quantities import STREAMS

T = TypeVar("T")

MAX_BODY_BYTES: Final = 65_536
"""A batch of a thousand tags; anything longer is no sensor's message."""
# Beyond what any quantity says, and far inside what float64 counts exactly.
_MAX_NUMBER: Final = 1e15
# 2^62 ns is the year 2116.
_MAX_NS: Final = 2**62
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_STREAM_OF: Final = {quantity.name: name for name, stream in STREAMS.items() for quantity in stream.quantities}
_PLACES: Final = {
    name: {quantity.name: column for column, quantity in enumerate(stream.quantities)}
    for name, stream in STREAMS.items()
}
_SHARED: Final = "left_percent"
"""Stands in two streams: with a power it is the pedals', else the feet's."""

QUANTITIES: Final = frozenset(_STREAM_OF)
"""Names of all quantities."""

NAMES: Final = {name: name for name in QUANTITIES} | {
    "hr": "heart_rate_bpm",
    "heart_rate": "heart_rate_bpm",
    "heartrate": "heart_rate_bpm",
    "rr": "rr_ms",
    "batt": "battery_percent",
    "battery": "battery_percent",
    "lat": "lat_deg",
    "latitude": "lat_deg",
    "lon": "lon_deg",
    "lng": "lon_deg",
    "longitude": "lon_deg",
    "alt": "altitude_m",
    "altitude": "altitude_m",
    "accuracy": "accuracy_m",
    "speed": "speed_mps",
    "distance": "distance_m",
    "cadence": "cadence_rpm",
    "power": "power_w",
    "x": "x_m",
    "y": "y_m",
    "rpe": "exertion_cr10",
}
"""What devices call our quantities; a topic's own mapping comes first."""


def read_json(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """Return a decoded body.

    Raises: DecodeError when it is too long, no JSON, nested too deep or not `what`.
    """
    if len(body) > MAX_BODY_BYTES:
        raise DecodeError("body is longer than any sensor sends")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise DecodeError(f"not {what}") from exc


def number(value: object) -> float:
    """Return a number that fits float64 and any quantity.

    Raises: DecodeError for anything else: a bool, text, NaN, infinity, a number beyond ±10^15.
    """
    if type(value) is not float and type(value) is not int:  # bool is neither
        raise DecodeError("a value is not a number")
    if not -_MAX_NUMBER <= value <= _MAX_NUMBER:  # false for NaN too
        raise DecodeError("a number is out of range")
    return float(value)


def seconds_ns(seconds: float) -> int:
    """Return seconds since 1970 as nanoseconds, as exact as the float64 is.

    Raises: DecodeError when no clock shows it.
    """
    if not 0 <= seconds < _MAX_NS / 1e9:
        raise DecodeError("a time that no clock shows")
    whole = math.floor(seconds)
    return whole * 1_000_000_000 + round((seconds - whole) * 1e9)


def whole_ns(count: int, unit_ns: int) -> int:
    """Return a count of `unit_ns` since 1970 as nanoseconds.

    Raises: DecodeError when no clock shows it.
    """
    if not 0 <= count * unit_ns <= _MAX_NS:
        raise DecodeError("a time that no clock shows")
    return count * unit_ns


def iso_ns(text: str) -> int:
    """Return an ISO 8601 time with its offset as nanoseconds since 1970.

    Raises: DecodeError when it is none, has no offset or lies before 1970.
    """
    try:
        time = datetime.fromisoformat(text)
        micros = (time - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError, TypeError) as exc:  # TypeError: without an offset
        raise DecodeError("not an ISO 8601 time with its offset") from exc
    return whole_ns(micros, 1000)


def rows_of(values: dict[str, float]) -> list[tuple[str, tuple[float, ...]]]:
    """Return one row per stream from quantities measured together; what was not measured is NaN."""
    rows: dict[str, list[float]] = {}
    for quantity, value in values.items():
        stream = _STREAM_OF[quantity]
        if quantity == _SHARED:
            stream = "power" if "power_w" in values else "gait"
        row = rows.get(stream)
        if row is None:
            row = rows[stream] = [math.nan] * len(_PLACES[stream])
        row[_PLACES[stream][quantity]] = value
    return [(stream, tuple(row)) for stream, row in rows.items()]
