"""A phone with the Traccar client, one with OsmAnd, and a Traccar server that forwards (traccar.org)."""

import json
from datetime import UTC, datetime

_KNOTS_PER_MPS = 3600 / 1852


def topic(group: str) -> str:
    """Return where a bridge puts a group's messages."""
    return f"traccar/{group}"


def encode_client(
    *,
    device: str,
    t_ms: int,
    lat_deg: float,
    lon_deg: float,
    accuracy_m: float,
    altitude_m: float,
    speed_mps: float,
    battery: float,
) -> bytes:
    """Return what the client sends since version 9; `battery` is 0..1, an unknown speed is -1."""
    coords = {
        "latitude": lat_deg,
        "longitude": lon_deg,
        "accuracy": accuracy_m,
        "speed": speed_mps,
        "heading": 0,
        "altitude": altitude_m,
    }
    location = {
        "timestamp": _iso(t_ms),
        "coords": coords,
        "is_moving": speed_mps > 0,
        "odometer": 0,
        "battery": {"level": battery, "is_charging": False},
        "activity": {"type": "running"},
        "extras": {},
    }
    return json.dumps({"location": location, "device_id": device}).encode("ascii")


def encode_osmand(*, device: str, t_ms: int, lat_deg: float, lon_deg: float, speed_mps: float) -> bytes:
    """Return OsmAnd's fields as JSON: time in ms, speed in knots."""
    fields = {"id": device, "lat": lat_deg, "lon": lon_deg, "timestamp": t_ms, "speed": speed_mps * _KNOTS_PER_MPS}
    return json.dumps(fields).encode("ascii")


def encode_forwarded(*, device: str, t_ms: int, lat_deg: float, lon_deg: float, speed_mps: float) -> bytes:
    """Return what a server forwards: speed in knots."""
    position = {
        "deviceId": 3,
        "protocol": "osmand",
        "fixTime": _iso(t_ms).replace("Z", "+00:00"),
        "valid": True,
        "latitude": lat_deg,
        "longitude": lon_deg,
        "altitude": 40.0,
        "speed": speed_mps * _KNOTS_PER_MPS,
        "course": 0.0,
        "accuracy": 3.0,
        "attributes": {"batteryLevel": 64.0, "motion": True},
    }
    return json.dumps({"position": position, "device": {"id": 3, "uniqueId": device}}).encode("ascii")


def _iso(t_ms: int) -> str:
    seconds, millis = divmod(t_ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{millis:03d}Z"
