"""The family of MQTT formats: JSON, CBOR, protobuf and our binary, each channel with and without a mapping of names."""

from collections.abc import Iterator
from typing import Any

from edge.sensors.base import Sensor
from edge.sensors.registry import SENSORS
from tests.conformance.sensor_vectors import body_of, check_form, memory_before, vectors
from tests.fuzz.engine import Target
from tests.fuzz.trees import from_trees

# A device's memory lives for so many frames, so that what a bad frame left behind would show in the ones after it.
_FRAMES_PER_DEVICE = 64
# What parsers of text, CBOR and protobuf trip over; bodies are spliced with these too.
_TRAPS = (
    b'{"x":NaN}', b"[1e999]", b"[" + b"9" * 40 + b"]", b"[[[[[[[[[[",
    b'{"a":' * 12, b'"\\ud800"', b'"\xff"', b"[null,true]",
    b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", b"\xbf\x9f", b"\xc4\x82\x1a\x3b\x9a\xca\x00\x01", b"\xd8\x23\x62()",
    b"\x81\xa2\x00bhr\x02\xf9\x7e\x00", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0b\x0c", b"\x80" * 12,
)  # fmt: skip
_MAP = "?hr=power_w*0.5&x=heart_rate_bpm&v=rr_ms"


def targets() -> Iterator[Target]:
    """Yield a target for each channel of the MQTT formats, mapped ones among them."""
    for sensor in SENSORS:
        if not sensor.topics:
            continue
        known = vectors(sensor)
        for channel in _channels(sensor, known["valid"]):
            base = channel.partition("?")[0]
            valid = [vector for vector in known["valid"] if vector["channel"].partition("?")[0] == base]
            wrong = [vector for vector in known["malformed"] if vector["channel"].partition("?")[0] == base]
            bodies = [body_of(vector) for vector in valid]
            yield Target(
                name=f"{sensor.name} {channel}",
                # Most inputs begin valid; the rest begins with what is known to be wrong.
                corpus=(*bodies * 8, *(body_of(vector)[:256] for vector in wrong), *_TRAPS),
                parse=_Device(sensor, channel, valid).take,
                make=from_trees(bodies),
            )


def _channels(sensor: Sensor, valid: list[dict[str, Any]]) -> list[str]:
    mapped = [vector["channel"] for vector in valid if "?" in vector["channel"]]
    bases = {channel.partition("?")[0] for channel in mapped}
    return [*sensor.channels, *mapped, *(base + _MAP for base in sorted(bases))]


class _Device:
    """One device after the other, each with the memory of one that was born, or of a new one."""

    def __init__(self, sensor: Sensor, channel: str, valid: list[dict[str, Any]]) -> None:
        self._sensor, self._channel, self._valid = sensor, channel, valid
        self._memory: Any = None
        self._frames = 0

    def take(self, body: bytes) -> None:
        """Decode a frame and check what came of it.

        Raises: DecodeError as the sensor does, AssertionError when what it returned is not what sensors return.
        """
        number, since = divmod(self._frames, _FRAMES_PER_DEVICE)
        if since == 0:
            self._memory = memory_before(self._sensor, self._valid[number % len(self._valid)])
        self._frames += 1
        check_form(self._sensor.decode(self._channel, body, self._memory))
