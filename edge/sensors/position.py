"""Position tags that publish our JSON profile over MQTT.

Topic `sideline/tags/<sensor>/position`; body `{"boot","n","t_ns","x_mm","y_mm","quality"[,"battery"]}`: `boot` names
the tag's power-on, `n` counts its positions from 0, `t_ns` is its UTC time, `quality` is 0..100.
"""

from collections.abc import Sequence
from operator import methodcaller
from typing import Annotated

import msgspec

from edge.sensors.base import Decoded, Sensor
from shared.errors import DecodeError

_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31) + 1, le=2**31 - 1)]
_MAX_BODY_BYTES = 1024
_OPENS = methodcaller("startswith", b"{")


class _Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    boot: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}\Z")]
    n: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    t_ns: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    x_mm: _Int32
    y_mm: _Int32
    quality: Annotated[int, msgspec.Meta(ge=0, le=100)]
    battery: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None


_decoder = msgspec.json.Decoder(_Position)
_many_decoder = msgspec.json.Decoder(list[_Position])


class PositionTag(Sensor):
    """Position in local metres with the tag's own count and time."""

    name = "position_tag"
    channels = ("position",)
    topics = (("sideline/tags/{sensor}/position", "position"),)
    reads_many = True

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return one position row, and the battery's charge where the tag sends it."""
        if len(body) > _MAX_BODY_BYTES:
            raise DecodeError("position body is longer than any tag sends")
        try:
            position = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise DecodeError("not a position in our JSON profile") from exc
        return _said(position)

    def decode_many(self, channel: str, bodies: Sequence[bytes]) -> list[tuple[Decoded, ...]] | None:  # noqa: ARG002
        """Read the bodies as one JSON array, which costs less than half.

        A position holds no other object, and no text with a brace in it. So where every body begins with a brace, each
        of these begins a position of the array; and if there are no more of them, each body is one.
        """
        if len(max(bodies, key=len)) > _MAX_BODY_BYTES or not all(map(_OPENS, bodies)):
            return None
        try:
            positions = _many_decoder.decode(b"[%b]" % b",".join(bodies))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return [_said(position) for position in positions] if len(positions) == len(bodies) else None


def _said(position: _Position) -> tuple[Decoded, ...]:
    decoded = Decoded(
        stream="position",
        rows=((position.x_mm / 1000, position.y_mm / 1000, position.quality / 100),),
        origin=position.boot,
        sequence=position.n,
        device_ns=position.t_ns,
    )
    if position.battery is None:
        return (decoded,)
    battery = Decoded(
        stream="battery",
        rows=((float(position.battery),),),
        origin=position.boot,
        sequence=position.n,
        device_ns=position.t_ns,
    )
    return decoded, battery
