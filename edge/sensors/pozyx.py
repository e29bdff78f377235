"""Pozyx tags over MQTT: JSON arrays of tags' packets, one tag locally, batches from the cloud.

Source: docs.pozyx.io, "MQTT data structure" 2.0. Coordinates are integers in mm, acceleration in mg, `timestamp` is
float seconds of UTC. A packet with `success` false has no coordinates: the position was missed, and is only counted.
"""

from typing import Annotated, Final

import msgspec

from edge.sensors.base import About, Decoded, Sensor
from edge.sensors.fields import number, read_json, seconds_ns
from shared.errors import DecodeError

_MAX_TAGS: Final = 1024
_MAX_NAME: Final = 64
_Millimetres = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
_NAN: Final = float("nan")


class _Vector(msgspec.Struct, frozen=True, gc=False):
    x: _Millimetres
    y: _Millimetres
    z: _Millimetres | None = None


class _TagFacts(msgspec.Struct, frozen=True, rename="camel"):
    acceleration: _Vector | None = None


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    coordinates: _Vector | None = None
    tag_data: _TagFacts | None = None


class _Packet(msgspec.Struct, frozen=True, rename="camel"):
    tag_id: str | int
    timestamp: float
    success: bool
    body: _Body | None = msgspec.field(default=None, name="data")


_decoder = msgspec.json.Decoder(list[_Packet] | _Packet)

Memory = dict[str, int]
"""Missed positions by tag."""


class Pozyx(Sensor):
    """Positions in local metres and acceleration of tags that the frame names."""

    name = "pozyx"
    channels = ("pozyx",)
    topics = (("tags", "pozyx"), ("tags/+", "pozyx"))
    names_devices = True

    def start(self) -> Memory:
        """Return no tags."""
        return {}

    def decode(self, channel: str, body: bytes, memory: Memory) -> tuple[Decoded | About, ...]:  # noqa: ARG002
        """Return a position per solved packet, an acceleration where there is one, the count of missed positions."""
        packets = read_json(_decoder, body, "a Pozyx packet")
        if isinstance(packets, _Packet):
            packets = [packets]
        if not 0 < len(packets) <= _MAX_TAGS:
            raise DecodeError("a Pozyx array without packets, or with too many")
        parts: list[Decoded | About] = []
        missed: Memory = {}
        for packet in packets:
            tag = str(packet.tag_id)[: _MAX_NAME + 1]
            solved = _rows(packet, tag, parts)
            if not solved:
                missed[tag] = missed.get(tag, 0) + 1
        for tag, count in missed.items():
            if tag in memory or len(memory) < _MAX_TAGS:
                memory[tag] = memory.get(tag, 0) + count
                parts.append(About(facts=(("missed positions", str(memory[tag])),), sensor=tag))
        return tuple(parts)


def _rows(packet: _Packet, tag: str, parts: list[Decoded | About]) -> bool:
    """Add what one packet says; return whether it was located."""
    device_ns = seconds_ns(number(packet.timestamp))
    found = packet.body or _Body()
    at = found.coordinates if packet.success else None
    if packet.success and at is None:
        raise DecodeError("a Pozyx success without coordinates")
    if at is not None:
        row = (at.x / 1000, at.y / 1000, _NAN)
        parts.append(Decoded(stream="position", rows=(row,), device_ns=device_ns, sensor=tag))
    felt = found.tag_data.acceleration if found.tag_data else None
    if felt is not None and felt.z is not None:
        motion = (felt.x / 1000, felt.y / 1000, felt.z / 1000, _NAN, _NAN, _NAN)
        parts.append(Decoded(stream="imu", rows=(motion,), device_ns=device_ns, sensor=tag))
    return at is not None
