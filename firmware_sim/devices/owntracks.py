"""A phone with OwnTracks: one JSON location per message (owntracks.org/booklet/tech/json)."""

import json


def topic(user: str, device: str) -> str:
    """Return where a phone's locations go."""
    return f"owntracks/{user}/{device}"


def encode_location(
    *,
    t_s: int,
    lat_deg: float,
    lon_deg: float,
    accuracy_m: int | None = None,
    altitude_m: int | None = None,
    speed_km_h: int | None = None,
    battery_percent: int | None = None,
) -> bytes:
    """Return a location; the app leaves out what the phone does not know."""
    optional = {"acc": accuracy_m, "alt": altitude_m, "vel": speed_km_h, "batt": battery_percent}
    known = {name: value for name, value in optional.items() if value is not None}
    message = {"_type": "location", "lat": lat_deg, "lon": lon_deg, "tst": t_s, "tid": "JP", "t": "t", **known}
    return json.dumps(message).encode("ascii")
