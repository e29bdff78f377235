"""Movesense's GATT SensorData Protocol (GSP): the subscriptions that we ask for.

Source: movesense.com/docs/esw/gatt_sensordata_protocol. A client names each subscription by a byte, and data comes
back with that byte alone. So the byte says here which resource it is, and a decoder needs no memory of what was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.sensors.base import Command
from shared.errors import ConfigError

SERVICE: Final = "34802252-7185-4d5d-b431-630e7050e8f0"
WRITE: Final = "34800001-7185-4d5d-b431-630e7050e8f0"
NOTIFY: Final = "34800002-7185-4d5d-b431-630e7050e8f0"

_SUBSCRIBE, _UNSUBSCRIBE = 1, 2
_FIRST_REFERENCE = 100
_MOTION_RATES_HZ = (13, 26, 52, 104, 208, 416)
_ECG_RATES_HZ = (125, 128, 200, 250, 256, 500, 512)


@dataclass(frozen=True, slots=True)
class Resource:
    """What one subscription brings: `kind` is "ECG", "Acc", "IMU6", "IMU9" or "HR" (which has no rate)."""

    kind: str
    rate_hz: int = 0

    @property
    def path(self) -> str:
        """The resource's path on the device."""
        return f"/Meas/{self.kind}/{self.rate_hz}" if self.rate_hz else f"/Meas/{self.kind}"


_USUAL = (Resource("ECG", 200), Resource("Acc", 52), Resource("HR"))
_OTHERS = (
    *(Resource("ECG", rate_hz) for rate_hz in _ECG_RATES_HZ),
    *(Resource(kind, rate_hz) for kind in ("Acc", "IMU6", "IMU9") for rate_hz in _MOTION_RATES_HZ),
)
RESOURCES: Final = dict(enumerate((*_USUAL, *(r for r in _OTHERS if r not in _USUAL)), start=_FIRST_REFERENCE))
"""The resources by the byte that names their subscription."""

_REFERENCES = {resource.path: reference for reference, resource in RESOURCES.items()}


def start_commands(paths: Sequence[str]) -> tuple[Command, ...]:
    """Return the subscriptions to resources, such as `"/Meas/ECG/200"`, `"/Meas/IMU6/104"`, `"/Meas/HR"`.

    Raises: ConfigError for a path that is not read here.
    """
    return tuple(
        Command(characteristic=WRITE, body=bytes([_SUBSCRIBE, _reference(path)]) + path.encode("ascii"))
        for path in paths
    )


def stop_commands(paths: Sequence[str]) -> tuple[Command, ...]:
    """Return what ends these subscriptions.

    Raises: ConfigError as `start_commands`.
    """
    return tuple(Command(characteristic=WRITE, body=bytes([_UNSUBSCRIBE, _reference(path)])) for path in paths)


def _reference(path: str) -> int:
    if path not in _REFERENCES:
        raise ConfigError("movesense_paths", f"{path!r} is no resource that is read, such as /Meas/IMU6/104")
    return _REFERENCES[path]
