"""What any Bluetooth device says of itself: Device Information Service 1.2 §3, and Sensor Location 0x2A5D."""

from edge.sensors.base import About, Sensor
from shared.errors import DecodeError

_FACTS = {
    "2a29": "manufacturer",
    "2a24": "model",
    "2a25": "serial",
    "2a27": "hardware",
    "2a26": "firmware",
    "2a28": "software",
}
_SENSOR_LOCATION = "2a5d"
# GATT Specification Supplement, Sensor Location; the services for running, cycling and power share it.
_LOCATIONS = (
    "other", "top of shoe", "in shoe", "hip", "front wheel", "left crank", "right crank", "left pedal", "right pedal",
    "front hub", "rear dropout", "chainstay", "rear wheel", "rear hub", "chest", "spider", "chain ring",
)  # fmt: skip
# An attribute may have 512 bytes; no name on a health page needs more than this.
_MAX_BYTES = 64


class DeviceInformation(Sensor):
    """Maker, model, versions and place of the sensor, for the health page."""

    name = "device_information"
    channels = (*_FACTS, _SENSOR_LOCATION)

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[About, ...]:  # noqa: ARG002
        """Return one fact; nothing where the device left the text empty."""
        if channel == _SENSOR_LOCATION:
            if len(body) != 1 or body[0] >= len(_LOCATIONS):
                raise DecodeError("not one of the sensor locations")
            return (About(facts=(("location", _LOCATIONS[body[0]]),)),)
        text = _text(body)
        return (About(facts=((_FACTS[channel], text),)),) if text else ()


def _text(body: bytes) -> str:
    """Return UTF-8 text as people may see it; many devices end theirs with zero bytes.

    Raises: DecodeError for text that is too long, is not UTF-8, or holds characters that cannot be shown.
    """
    if len(body) > _MAX_BYTES:
        raise DecodeError("text is longer than any device's name")
    try:
        text = body.rstrip(b"\0").decode("utf-8").strip()
    except UnicodeDecodeError as exc:
        raise DecodeError("text is not UTF-8", offset=exc.start) from exc
    if not text.isprintable():
        raise DecodeError("text holds control characters")
    return text
