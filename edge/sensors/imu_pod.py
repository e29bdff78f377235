"""Home-made motion pods: our raw IMU profile, version 1 (`docs/imu-profile.md` has every byte)."""

import math
import struct
from collections.abc import Sequence
from itertools import starmap
from typing import Final

import numpy as np
from numpy.typing import NDArray

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
_LEAST = -(2**15)
_MISSING = _LEAST.to_bytes(2, "little", signed=True)
_UNITS = np.array([1000.0] * 3 + [10.0] * 3)
"""Of an acceleration in a g, of a turn rate in a degree a second."""
# That mark as an acceleration and as a turn rate; no other value of either kind is equal to one of them.
_NO_VALUE = (-32.768, -3276.8)
_RATE_UNITS_PER_HZ = 10
_NO_TURN = (math.nan, math.nan, math.nan)


class ImuPod(Sensor):
    """Accelerations, with turn rates where the pod has a gyroscope, at 100 to 200 Hz."""

    name = "imu_pod"
    channels = (SAMPLES,)
    services = (SERVICE,)
    reads_many = True

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return the rows of one frame with the pod's own count and time."""
        head = _head(body)
        turns = bool(head[1] & _FLAG_TURN)
        samples = (_BOTH if turns else _ACCELERATION).iter_unpack(body[_HEAD.size :])
        rows = tuple(starmap(_turning if turns else _straight, samples))
        if _MISSING in body:
            rows = tuple([_with_gaps(row) for row in rows])
        return (_decoded(head, rows),)

    def decode_many(self, channel: str, bodies: Sequence[bytes]) -> list[tuple[Decoded, ...]] | None:  # noqa: ARG002
        """Read the samples of all frames at once; None where one is malformed, or some have turn rates and some not."""
        try:
            heads = [_head(body) for body in bodies]
        except DecodeError:
            return None
        turns = heads[0][1] & _FLAG_TURN
        if any(head[1] & _FLAG_TURN != turns for head in heads):
            return None
        raw = np.frombuffer(b"".join([body[_HEAD.size :] for body in bodies]), "<i2").reshape(-1, 6 if turns else 3)
        rows = np.full((len(raw), 6), np.nan)
        rows[:, : raw.shape[1]] = raw / _UNITS[: raw.shape[1]]
        rows[:, : raw.shape[1]][raw == _LEAST] = np.nan
        said: list[tuple[Decoded, ...]] = []
        end = 0
        for head in heads:
            begin, end = end, end + head[-1]
            said.append((_decoded(head, rows[begin:end]),))
        return said


def _head(body: bytes) -> tuple[int, ...]:
    """Return the head's fields: version, flags, power-on, first number, time in two parts, rate, count."""
    if len(body) < _HEAD.size:
        raise DecodeError("frame has no head", offset=len(body))
    head = _HEAD.unpack_from(body)
    version, flags, _, _, _, _, rate, count = head
    if version != _VERSION or flags & ~_FLAG_TURN:
        raise DecodeError("version or flags of another profile")
    sample = _BOTH if flags & _FLAG_TURN else _ACCELERATION
    if not count or not rate or len(body) != _HEAD.size + count * sample.size:
        raise DecodeError("frame is not as long as its count says", offset=len(body))
    return head


def _decoded(head: tuple[int, ...], rows: tuple[tuple[float, ...], ...] | NDArray[np.float64]) -> Decoded:
    _, _, boot, first, low, high, rate, _ = head
    return Decoded(
        stream="imu",
        rows=rows,
        origin=f"boot-{boot}",
        sequence=first,
        device_ns=(low | high << 16) * 1000,
        clock=DeviceClock.OWN,
        period_ns=round(1e9 * _RATE_UNITS_PER_HZ / rate),
    )


def _straight(x: int, y: int, z: int) -> tuple[float, ...]:
    return (x / 1000, y / 1000, z / 1000, *_NO_TURN)


def _turning(x: int, y: int, z: int, turn_x: int, turn_y: int, turn_z: int) -> tuple[float, ...]:
    return (x / 1000, y / 1000, z / 1000, turn_x / 10, turn_y / 10, turn_z / 10)


def _with_gaps(row: tuple[float, ...]) -> tuple[float, ...]:
    """Return the row with NaN for what the pod did not measure."""
    return tuple([math.nan if value in _NO_VALUE else value for value in row])
