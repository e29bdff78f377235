"""Home-made motion pods: our raw IMU profile, version 1 (`docs/imu-profile.md` has every byte)."""

import math
import struct
from itertools import starmap
from typing import Final

from edge.sensors.base import Decoded, DeviceClock, Sensor
from shared.errors import DecodeError

SERVICE: Final = "1d5a0001-6c3e-4f4b-9a57-2f8e51de11e0"
SAMPLES: Final = "1d5a0002-6c3e-4f4b-9a57-2f8e51de11e0"

_VERSION = 1
_FLAG_TURN = 0x01
# Version, flags, power-on, number of the first sample, time of the last (48 bits in two), rate, count.
_HEAD = struct.Struct("<BBHIHIHB")
_ACCELERATION = struct.Struct("<3h")
_BOTH = struct.Struct("<6h")
_MISSING = (-(2**15)).to_bytes(2, "little", signed=True)
# That mark as an acceleration and as a turn rate; no other value of either kind is equal to one of them.
_NO_VALUE = (-32.768, -3276.8)
_RATE_UNITS_PER_HZ = 10
_NO_TURN = (math.nan, math.nan, math.nan)


class ImuPod(Sensor):
    """Accelerations, with turn rates where the pod has a gyroscope, at 100 to 200 Hz."""

    name = "imu_pod"
    channels = (SAMPLES,)
    services = (SERVICE,)

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return the rows of one frame with the pod's own count and time."""
        if len(body) < _HEAD.size:
            raise DecodeError("frame has no head", offset=len(body))
        version, flags, boot, first, low, high, rate, count = _HEAD.unpack_from(body)
        if version != _VERSION or flags & ~_FLAG_TURN:
            raise DecodeError("version or flags of another profile")
        sample = _BOTH if flags & _FLAG_TURN else _ACCELERATION
        if not count or not rate or len(body) != _HEAD.size + count * sample.size:
            raise DecodeError("frame is not as long as its count says", offset=len(body))
        samples = sample.iter_unpack(body[_HEAD.size :])
        rows = tuple(starmap(_turning if flags & _FLAG_TURN else _straight, samples))
        if _MISSING in body:
            rows = tuple([_with_gaps(row) for row in rows])
        return (
            Decoded(
                stream="imu",
                rows=rows,
                origin=f"boot-{boot}",
                sequence=first,
                device_ns=(low | high << 16) * 1000,
                clock=DeviceClock.OWN,
                period_ns=round(1e9 * _RATE_UNITS_PER_HZ / rate),
            ),
        )


def _straight(x: int, y: int, z: int) -> tuple[float, ...]:
    return (x / 1000, y / 1000, z / 1000, *_NO_TURN)


def _turning(x: int, y: int, z: int, turn_x: int, turn_y: int, turn_z: int) -> tuple[float, ...]:
    return (x / 1000, y / 1000, z / 1000, turn_x / 10, turn_y / 10, turn_z / 10)


def _with_gaps(row: tuple[float, ...]) -> tuple[float, ...]:
    """Return the row with NaN for what the pod did not measure."""
    return tuple([math.nan if value in _NO_VALUE else value for value in row])
