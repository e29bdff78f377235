"""Traccar clients and servers, and OsmAnd: three JSON shapes of one position.

Source: traccar.org/osmand and traccar.org/forward.
- Client (9 and later): `{"location": {"timestamp", "coords": {...}, "battery": {...}}, "device_id"}`, m/s, charge 0..1.
- OsmAnd fields as JSON: `{"id" or "deviceid", "lat", "lon", "timestamp", "speed", ...}`, knots; time as ISO 8601 text,
  or a count since 1970: seconds up to 10^11, milliseconds beyond, as Traccar's server reads it.
- Server forwarding: `{"position": {"latitude", "fixTime", "speed", ...}, "device": {"uniqueId"}}`, knots.
"""

from typing import Annotated, Final

import msgspec

from edge.sensors.base import Decoded, Sensor
from edge.sensors.fields import iso_ns, number, read_json, rows_of, seconds_ns, whole_ns
from shared.clock import NS_PER_MS
from shared.errors import DecodeError

# The international knot, 1,852 m/h.
_KNOT_MPS: Final = 1852 / 3600
_MILLISECONDS_FROM: Final = 1e11

_Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
_Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
_Number = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)] | None


class _Coords(msgspec.Struct, frozen=True):
    latitude: _Latitude
    longitude: _Longitude
    accuracy: _Number = None
    speed: _Number = None
    altitude: _Number = None


class _Battery(msgspec.Struct, frozen=True):
    level: Annotated[float, msgspec.Meta(ge=-1, le=1)] | None = None


class _Location(msgspec.Struct, frozen=True):
    timestamp: str
    coords: _Coords
    battery: _Battery | None = None


class _Attributes(msgspec.Struct, frozen=True, rename="camel"):
    battery_level: _Number = None


class _Forwarded(_Coords, frozen=True, rename="camel", kw_only=True):
    fix_time: str
    attributes: _Attributes | None = None


class _Device(msgspec.Struct, frozen=True, rename="camel"):
    unique_id: str


class _Message(msgspec.Struct, frozen=True):
    location: _Location | None = None
    device_id: str | int | None = None
    position: _Forwarded | None = None
    device: _Device | None = None
    id: str | int | None = None
    deviceid: str | int | None = None
    lat: _Latitude | None = None
    lon: _Longitude | None = None
    timestamp: str | float | None = None
    speed: _Number = None
    altitude: _Number = None
    accuracy: _Number = None
    batt: _Number = None


_decoder = msgspec.json.Decoder(_Message)


class Traccar(Sensor):
    """Latitude and longitude, speed and charge of devices that the frame names."""

    name = "traccar"
    channels = ("traccar",)
    topics = (("traccar/#", "traccar"),)
    names_devices = True

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return the location, and speed and charge where they are sent."""
        said = read_json(_decoder, body, "a Traccar position")
        if said.location is not None:
            level = said.location.battery.level if said.location.battery else None
            charge = level * 100 if level is not None else None
            return _rows(said.device_id, iso_ns(said.location.timestamp), said.location.coords, charge, 1.0)
        if said.position is not None:
            charge = said.position.attributes.battery_level if said.position.attributes else None
            unique = said.device.unique_id if said.device else None
            return _rows(unique, iso_ns(said.position.fix_time), said.position, charge, _KNOT_MPS)
        if said.lat is None or said.lon is None or said.timestamp is None:
            raise DecodeError("a Traccar message without place or time")
        coords = _Coords(said.lat, said.lon, said.accuracy, said.speed, said.altitude)
        name = said.deviceid if said.id is None else said.id
        return _rows(name, _any_ns(said.timestamp), coords, said.batt, _KNOT_MPS)


def _rows(
    name: str | int | None, device_ns: int, coords: _Coords, charge: float | None, speed_unit_mps: float
) -> tuple[Decoded, ...]:
    if name is None:
        raise DecodeError("a Traccar message that names no device")
    values = {"lat_deg": coords.latitude, "lon_deg": coords.longitude}
    if coords.altitude is not None:
        values["altitude_m"] = coords.altitude
    if coords.accuracy is not None and coords.accuracy >= 0:
        values["accuracy_m"] = coords.accuracy
    if coords.speed is not None and coords.speed >= 0:  # -1 says that it is not known
        values["speed_mps"] = coords.speed * speed_unit_mps
    if charge is not None and charge >= 0:
        values["battery_percent"] = charge
    return tuple(
        Decoded(stream=stream, rows=(row,), device_ns=device_ns, sensor=str(name)) for stream, row in rows_of(values)
    )


def _any_ns(time: str | float) -> int:
    if isinstance(time, str):
        return iso_ns(time)
    seconds = number(time)
    if seconds < _MILLISECONDS_FROM:
        return seconds_ns(seconds)
    return whole_ns(round(seconds), NS_PER_MS)
