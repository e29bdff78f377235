"""SenML over MQTT (RFC 8428), JSON and CBOR: names become device and quantity, units become ours.

The device is the DEV URN at the front of a name (`urn:dev:mac:a0b1c2d3e4f5`, RFC 9039) or what stands before its last
`:` or `/`; a name without either belongs to the device that the topic names. The rest is the quantity: one that the
channel maps, one of our names, or a usual one (`hr`, `lat`, ...). Units are the IANA SenML units.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Final

from edge.sensors.base import Decoded, Sensor
from edge.sensors.fields import NAMES, rows_of, seconds_ns
from edge.sensors.mapping import Targets, base_of, targets_of
from edge.sensors.senml_pack import RELATIVE_BELOW_S, Measured, read_pack_cbor, read_pack_json, resolve
from shared.clock import NS_PER_S
from shared.errors import DecodeError

_URN: Final = re.compile(r"(urn:dev:[A-Za-z0-9]+:[A-Za-z0-9.\-]+)[:_/]?(.*)")
# By unit: the quantities that may have it, and the factor to ours. "" is no unit given: the value is in ours.
_UNITS: Final[dict[str, dict[str, float]]] = {
    "beat/min": {"heart_rate_bpm": 1.0},
    "%EL": {"battery_percent": 1.0},
    "lat": {"lat_deg": 1.0},
    "lon": {"lon_deg": 1.0},
    "deg": {"lat_deg": 1.0, "lon_deg": 1.0},
    "m/s": {"speed_mps": 1.0},
    "km/h": {"speed_mps": 1 / 3.6},
    "W": {"power_w": 1.0},
    "s": {"rr_ms": 1000.0, "contact_ms": 1000.0, "elapsed_s": 1.0},
    "ms": {"rr_ms": 1.0, "contact_ms": 1.0, "elapsed_s": 0.001},
    "m": dict.fromkeys(("x_m", "y_m", "altitude_m", "accuracy_m", "distance_m", "stride_m"), 1.0),
    "mm": dict.fromkeys(("x_m", "y_m", "altitude_m", "accuracy_m", "distance_m", "stride_m"), 0.001),
    "km": {"distance_m": 1000.0},
    "1/min": dict.fromkeys(("cadence_rpm", "step_rate_spm", "wheel_rpm", "heart_rate_bpm"), 1.0),
    "/": {"battery_percent": 100.0, "left_percent": 100.0, "incline_percent": 100.0, "position_quality": 1.0},
    "%": dict.fromkeys(("battery_percent", "left_percent", "incline_percent"), 1.0) | {"position_quality": 0.01},
    "m/s2": {f"acceleration_{axis}_g": 1 / 9.80665 for axis in "xyz"},
    "J": {"energy_kj": 0.001, "machine_energy_kj": 0.001},
    "V": {"ecg_uv": 1e6},
    "mV": {"ecg_uv": 1e3},
}
# A unit that says by itself what is measured.
_TELLING: Final = {"beat/min": "heart_rate_bpm", "%EL": "battery_percent", "lat": "lat_deg", "lon": "lon_deg"}
_STEP_TOLERANCE_S: Final = 1e-6


class SenMl(Sensor):
    """Any quantity of ours, of devices that the names name."""

    name = "senml"
    channels = ("senml+json", "senml+cbor")
    topics = (("senml/json/{sensor}", "senml+json"), ("senml/cbor/{sensor}", "senml+cbor"))
    names_devices = True

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return the rows of each device and stream, oldest first; names that are no quantity are left out."""
        records = read_pack_cbor(body) if base_of(channel) == "senml+cbor" else read_pack_json(body)
        found = _found(resolve(records), targets_of(channel))
        return tuple(
            part for (device, stream), rows in _by_stream(found).items() for part in _timed(device, stream, rows)
        )


Found = tuple[str | None, float, str, float]
"""Device, time in s, quantity, value."""


def split_name(name: str) -> tuple[str | None, str]:
    """Return the device that a resolved name begins with, if any, and the rest."""
    urn = _URN.fullmatch(name)
    if urn is not None:
        return urn[1], urn[2]
    at = max(name.rfind(":"), name.rfind("/"))
    return (name[:at], name[at + 1 :]) if at > 0 else (None, name)


def _found(measured: Sequence[Measured], targets: Targets) -> list[Found]:
    found: list[Found] = []
    for one in measured:
        if one.value is None:
            continue
        device, name = split_name(one.name)
        if name in targets:
            quantity, scale = targets[name]
            found.append((device, one.time_s, quantity, one.value * scale))
            continue
        unit = one.unit or ""
        named = NAMES.get(name) or _TELLING.get(unit)
        if named is None:
            continue
        factor = _UNITS.get(unit, {}).get(named) if unit else 1.0
        if factor is None:
            raise DecodeError("a SenML unit that does not fit its quantity")
        found.append((device, one.time_s, named, one.value * factor))
    return found


def _by_stream(found: Sequence[Found]) -> dict[tuple[str | None, str], list[tuple[float, tuple[float, ...]]]]:
    """Return timed rows per device and stream; quantities of one time stand in one row."""
    together: dict[tuple[str | None, float], list[dict[str, float]]] = {}
    for device, time_s, quantity, value in found:
        group = together.setdefault((device, time_s), [{}])
        if quantity in group[-1]:
            group.append({})
        group[-1][quantity] = value
    rows: dict[tuple[str | None, str], list[tuple[float, tuple[float, ...]]]] = {}
    for (device, time_s), groups in together.items():
        for values in groups:
            for stream, row in rows_of(values):
                rows.setdefault((device, stream), []).append((time_s, row))
    for timed in rows.values():
        timed.sort(key=lambda one: one[0])
    return rows


def _timed(device: str | None, stream: str, timed: list[tuple[float, tuple[float, ...]]]) -> list[Decoded]:
    """Return one Decoded per absolute time, or a single one that ends now.

    Raises: DecodeError for relative times that are not evenly spaced up to now: nothing says when they were.
    """
    times = [time_s for time_s, _ in timed]
    rows = tuple(row for _, row in timed)
    if times[0] >= RELATIVE_BELOW_S:
        return [
            Decoded(stream=stream, rows=(row,), device_ns=seconds_ns(time_s), sensor=device) for time_s, row in timed
        ]
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    even = not steps or max(steps) - min(steps) <= _STEP_TOLERANCE_S
    if times[-1] != 0 or not even:
        raise DecodeError("relative SenML times not evenly spaced up to now")
    period_ns = round(steps[0] * NS_PER_S) if steps else 0
    return [Decoded(stream=stream, rows=rows, period_ns=period_ns, sensor=device)]
