"""Decawave DWM1001 (PANS) and LEAPS tags behind their gateway's MQTT connector.

Source: docs.leapslabs.com, PANS PRO RTLS, "MQTT connector". Topics `dwm/node/<id>/uplink/location` and `/status`.
Positions are in metres without a time or a count; an unsolved position is the text "NaN" or null, and is only counted.
`quality` is 0..100; at 0 the tag doubts its position. The location is published retained: see docs/mqtt.md.
"""

import math
from typing import Annotated, Final, Literal

import msgspec

from edge.sensors.base import About, Decoded, Sensor
from edge.sensors.fields import read_json, whole_ns
from shared.errors import DecodeError
from shared.readings import Quality

_Metres = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)] | Literal["NaN", "nan"] | None
_Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
# 19 digits of µs are beyond any clock; int() of longer text would only cost time.
_MAX_DIGITS: Final = 19


class _Position(msgspec.Struct, frozen=True, gc=False):
    x: _Metres
    y: _Metres
    z: _Metres = None
    quality: _Percent | None = None


class _Location(msgspec.Struct, frozen=True):
    position: _Position


class _Nested(msgspec.Struct, frozen=True):
    location: _Location | None = None
    position: _Position | None = None


class _Status(msgspec.Struct, frozen=True):
    present: bool
    batt: _Percent | None = None
    timestamp: str | None = None


_location_decoder = msgspec.json.Decoder(_Nested)
_status_decoder = msgspec.json.Decoder(_Status)


class Missed:
    """Unsolved positions of one tag."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Dwm1001(Sensor):
    """Position in local metres; presence and charge."""

    name = "dwm1001"
    channels = ("dwm1001.location", "dwm1001.status")
    topics = (
        ("dwm/node/{sensor}/uplink/location", "dwm1001.location"),
        ("dwm/node/{sensor}/uplink/status", "dwm1001.status"),
    )

    def start(self) -> Missed:
        """Return nothing missed."""
        return Missed()

    def decode(self, channel: str, body: bytes, memory: Missed) -> tuple[Decoded | About, ...]:
        """Return a position, or how many were missed; or what a status says."""
        if channel == "dwm1001.status":
            return _status(body)
        said = read_json(_location_decoder, body, "a DWM1001 location")
        position = said.location.position if said.location else said.position
        if position is None:
            raise DecodeError("a DWM1001 location without a position")
        x_m, y_m = _metres(position.x), _metres(position.y)
        if math.isnan(x_m) or math.isnan(y_m):
            memory.count += 1
            return (About(facts=(("missed positions", str(memory.count)),)),)
        share = math.nan if position.quality is None else position.quality / 100
        doubt = int(Quality.UNCERTAIN) if share == 0 else 0
        return (Decoded(stream="position", rows=((x_m, y_m, share),), quality=doubt),)


def _status(body: bytes) -> tuple[Decoded | About, ...]:
    said = read_json(_status_decoder, body, "a DWM1001 status")
    about = About(facts=(("present", "yes" if said.present else "no"),))
    if said.batt is None:
        return (about,)
    device_ns = None
    if said.timestamp is not None:
        if not (said.timestamp.isascii() and said.timestamp.isdigit() and len(said.timestamp) <= _MAX_DIGITS):
            raise DecodeError("a DWM1001 time that is no count of microseconds")
        device_ns = whole_ns(int(said.timestamp), 1000)
    return about, Decoded(stream="battery", rows=((said.batt,),), device_ns=device_ns)


def _metres(value: float | str | None) -> float:
    return value if isinstance(value, float | int) else math.nan
