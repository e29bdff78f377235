"""Polar's measurement data service (PMD): which bytes start and stop a stream, and the answers to them.

Source: Polar BLE SDK, "Polar Measurement Data specification for 3rd party" (online_measurement.pdf). The control point
takes an operation (1 get settings, 2 start, 3 stop), a measurement, and settings as [kind][count][values].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.sensors.base import Command
from shared.errors import ConfigError

SERVICE: Final = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
CONTROL: Final = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA: Final = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"

ECG, ACCELERATION, PULSE_INTERVALS = 0, 2, 3
MEASUREMENTS: Final = {"ecg": ECG, "acc": ACCELERATION, "ppi": PULSE_INTERVALS}
"""The streams that can be asked for, with their measurement numbers."""

_GET_SETTINGS, _START, _STOP = 1, 2, 3
_RATE, _RESOLUTION, _RANGE, _CHANNELS = 0, 1, 2, 4
_ECG_RATE_HZ, _ECG_BITS = 130, 14
_ACCELERATION_BITS, _ACCELERATION_RANGE_G = 16, 8
# H10: 25, 50, 100 and 200 Hz. Verity Sense: 52 Hz, and it wants the number of its axes.
_ACCELERATION_RATES_HZ = (25, 50, 52, 100, 200)
_USUAL_ACCELERATION_RATE_HZ = 100
_VERITY_RATE_HZ = 52


@dataclass(frozen=True, slots=True)
class _Wanted:
    measurement: int
    rate_hz: int


def start_commands(streams: Sequence[str]) -> tuple[Command, ...]:
    """Return what starts streams: `"ecg"`, `"ppi"`, `"acc"`, or `"acc:52"` for another rate than 100 Hz.

    Before each start the settings are asked for: the answer tells the health page what the device can do.
    Raises: ConfigError for a stream or rate that no device has.
    """
    return tuple(
        Command(characteristic=CONTROL, body=body)
        for wanted in map(_wanted, streams)
        for body in (bytes([_GET_SETTINGS, wanted.measurement]), _start(wanted))
    )


def stop_commands(streams: Sequence[str]) -> tuple[Command, ...]:
    """Return what stops streams; without it an H10 measures on and drains its battery.

    Raises: ConfigError as `start_commands`.
    """
    return tuple(
        Command(characteristic=CONTROL, body=bytes([_STOP, wanted.measurement])) for wanted in map(_wanted, streams)
    )


def _wanted(stream: str) -> _Wanted:
    name, colon, rate = stream.partition(":")
    if name not in MEASUREMENTS:
        raise ConfigError("polar_streams", f"{stream!r} is none of {', '.join(MEASUREMENTS)}")
    if not colon:
        return _Wanted(MEASUREMENTS[name], _USUAL_ACCELERATION_RATE_HZ)
    if name != "acc" or rate not in map(str, _ACCELERATION_RATES_HZ):
        rates = ", ".join(map(str, _ACCELERATION_RATES_HZ))
        raise ConfigError("polar_streams", f"{stream!r}: only acc has a choice of rates, {rates} Hz")
    return _Wanted(MEASUREMENTS[name], int(rate))


def _start(wanted: _Wanted) -> bytes:
    head = bytes([_START, wanted.measurement])
    if wanted.measurement == ECG:
        return head + _setting(_RATE, _ECG_RATE_HZ) + _setting(_RESOLUTION, _ECG_BITS)
    if wanted.measurement == PULSE_INTERVALS:
        return head
    axes = bytes([_CHANNELS, 1, 3]) if wanted.rate_hz == _VERITY_RATE_HZ else b""
    return (
        head
        + _setting(_RATE, wanted.rate_hz)
        + _setting(_RESOLUTION, _ACCELERATION_BITS)
        + _setting(_RANGE, _ACCELERATION_RANGE_G)
        + axes
    )


def _setting(kind: int, value: int) -> bytes:
    return bytes([kind, 1]) + value.to_bytes(2, "little")
