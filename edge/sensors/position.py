"""Position tags that publish our JSON profile over MQTT.

Topic `sideline/tags/<sensor>/position`; body `{"boot","n","t_ns","x_mm","y_mm","quality"[,"battery"]}`: `boot` names
the tag's power-on, `n` counts its positions from 0, `t_ns` is its UTC time, `quality` is 0..100.
"""

from typing import Annotated

import msgspec

from edge.sensors.base import Decoded, Sensor
from shared.errors import DecodeError

_Int32 = Annotated[int, msgspec.Meta(ge=-(2**31) + 1, le=2**31 - 1)]
_MAX_BODY_BYTES = 1024


class _Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    boot: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}\Z")]
    n: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    t_ns: Annotated[int, msgspec.Meta(ge=0, le=2**62)]
    x_mm: _Int32
    y_mm: _Int32
    quality: Annotated[int, msgspec.Meta(ge=0, le=100)]
    battery: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None


_decoder = msgspec.json.Decoder(_Position)


class PositionTag(Sensor):
    """Position in local metres with the tag's own count and time."""

    name = "position_tag"
    channels = ("position",)
    topics = (("sideline/tags/{sensor}/position", "position"),)

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return one position row, and the battery's charge where the tag sends it."""
        if len(body) > _MAX_BODY_BYTES:
            raise DecodeError("position body is longer than any tag sends")
        try:
            position = _decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise DecodeError("not a position in our JSON profile") from exc
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
