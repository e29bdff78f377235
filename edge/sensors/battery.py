"""Battery Level 0x2A19 (Battery Service 1.0), which every kind of Bluetooth sensor may have."""

from edge.sensors.base import Decoded, Sensor
from shared.errors import DecodeError


class Battery(Sensor):
    """Charge in per cent."""

    name = "battery"
    channels = ("2a19",)

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return the charge."""
        if len(body) != 1:
            raise DecodeError("battery level is not one byte")
        if body[0] > 100:
            raise DecodeError("battery level above 100 %")
        return (Decoded(stream="battery", rows=((float(body[0]),),)),)
