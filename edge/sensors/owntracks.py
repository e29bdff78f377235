"""OwnTracks phones: `_type` `location` on `owntracks/<user>/<device>`; every other type says nothing here.

Source: owntracks.org/booklet/tech/json. `tst` is whole seconds of UTC, `vel` km/h, `acc` and `alt` m, `batt` per cent.
"""

from typing import Annotated, Final

import msgspec

from edge.sensors.base import Decoded, Sensor
from edge.sensors.fields import read_json, rows_of, whole_ns
from shared.clock import NS_PER_S

_KM_H: Final = 1 / 3.6
_Number = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)] | None


class _Type(msgspec.Struct, frozen=True):
    type: str = msgspec.field(name="_type")


class _Location(msgspec.Struct, frozen=True):
    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)]
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)]
    tst: Annotated[int, msgspec.Meta(ge=0)]
    acc: _Number = None
    alt: _Number = None
    vel: _Number = None
    batt: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None


_type_decoder = msgspec.json.Decoder(_Type)
_location_decoder = msgspec.json.Decoder(_Location)


class OwnTracks(Sensor):
    """Latitude and longitude, speed and charge of a phone."""

    name = "owntracks"
    channels = ("owntracks",)
    topics = (("owntracks/+/{sensor}", "owntracks"),)

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return the location, and speed and charge where the phone sends them."""
        if read_json(_type_decoder, body, "an OwnTracks message").type != "location":
            return ()
        said = read_json(_location_decoder, body, "an OwnTracks location")
        values = {"lat_deg": said.lat, "lon_deg": said.lon}
        more = {"altitude_m": said.alt, "accuracy_m": said.acc, "battery_percent": said.batt}
        values |= {quantity: value for quantity, value in more.items() if value is not None}
        if said.vel is not None and said.vel >= 0:
            values["speed_mps"] = said.vel * _KM_H
        device_ns = whole_ns(said.tst, NS_PER_S)
        return tuple(Decoded(stream=stream, rows=(row,), device_ns=device_ns) for stream, row in rows_of(values))
