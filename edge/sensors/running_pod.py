"""Foot pods: RSC Measurement 0x2A53 and RSC Feature 0x2A54 (Running Speed and Cadence Service 1.0, §3.1, §3.2)."""

import math
import struct

from edge.sensors.base import About, Decoded, Sensor
from shared.errors import DecodeError
from shared.readings import Quality

_FLAG_STRIDE = 0x01
_FLAG_DISTANCE = 0x02
_FLAG_RUNNING = 0x04
_SPEED_UNITS_PER_MPS = 256
_STRIDE_UNITS_PER_M = 100
_DISTANCE_UNITS_PER_M = 10
_LAYOUTS = tuple(struct.Struct("<xHB" + tail) for tail in ("", "H", "I", "HI"))
_FEATURES = ("stride length", "total distance", "walking or running", "calibration", "several locations")
_GOOD, _TRAILING = int(Quality.GOOD), int(Quality.TRAILING_BYTES)


class PodMemory:
    """Whether the pod last said that its wearer runs."""

    __slots__ = ("running",)

    def __init__(self) -> None:
        # A pod that cannot tell has the bit clear for ever and never claims anything.
        self.running = False


class RunningPod(Sensor):
    """Speed, distance, step rate and stride as the pod computes them."""

    name = "running_pod"
    channels = ("2a53", "2a54")
    services = ("1814",)

    def start(self) -> PodMemory:
        """Return the memory of a pod that has said nothing."""
        return PodMemory()

    def decode(self, channel: str, body: bytes, memory: PodMemory) -> tuple[Decoded | About, ...]:
        """Return one row of speed; the gait as a fact when it changes.

        The step rate is what the pod sends: some pods count strides, half the steps.
        """
        if channel == "2a54":
            return (_features(body),)
        flags = body[0] if body else 0
        layout = _LAYOUTS[flags & 0x03]
        length = len(body)
        if length < layout.size:
            raise DecodeError("frame is shorter than its flags say", offset=length)
        stride = distance = math.nan
        match flags & 0x03:
            case 0:
                speed, rate = layout.unpack_from(body)
            case 1:
                speed, rate, raw = layout.unpack_from(body)
                stride = raw / _STRIDE_UNITS_PER_M
            case 2:
                speed, rate, raw = layout.unpack_from(body)
                distance = raw / _DISTANCE_UNITS_PER_M
            case _:
                speed, rate, raw, far = layout.unpack_from(body)
                stride, distance = raw / _STRIDE_UNITS_PER_M, far / _DISTANCE_UNITS_PER_M
        row = (speed / _SPEED_UNITS_PER_MPS, distance, float(rate), stride)
        decoded = Decoded(stream="speed", rows=(row,), quality=_GOOD if length == layout.size else _TRAILING)
        running = bool(flags & _FLAG_RUNNING)
        if running is memory.running:
            return (decoded,)
        memory.running = running
        return decoded, About(facts=(("gait", "running" if running else "walking"),))


def _features(body: bytes) -> About:
    if len(body) < 2:
        raise DecodeError("features are not two bytes")
    bits = int.from_bytes(body[:2], "little")
    found = ", ".join(word for bit, word in enumerate(_FEATURES) if bits >> bit & 1)
    return About(facts=(("features", found or "none"),))
