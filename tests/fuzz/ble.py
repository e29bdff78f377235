"""The family of Bluetooth sensors: every channel of every sensor that a radio hears."""

from collections.abc import Iterator
from typing import Any

from edge.sensors.base import Sensor
from edge.sensors.registry import SENSORS
from tests.conformance.sensor_vectors import body_of, check_form, vectors
from tests.fuzz.engine import Target

# A device's memory lives for so many frames, so that what a bad frame left behind would show in the ones after it.
_FRAMES_PER_DEVICE = 64


def targets() -> Iterator[Target]:
    """Yield a target for each channel of the Bluetooth sensors."""
    for sensor in SENSORS:
        for channel in sensor.channels:
            if is_radio(channel):
                frames = [v for v in vectors(sensor)["valid"] if v["channel"] == channel]
                frames += [frame for v in frames for frame in v.get("before", ()) if "channel" not in frame]
                yield Target(
                    name=f"{sensor.name} {channel}",
                    corpus=tuple(body_of(frame) for frame in frames),
                    parse=Device(sensor, channel).take,
                )


def is_radio(channel: str) -> bool:
    """Return whether a channel is a characteristic or an advertisement."""
    return len(channel) in {4, 36} or channel.startswith("adv:")


class Device:
    """One device after the other, each with a memory of its own."""

    def __init__(self, sensor: Sensor, channel: str) -> None:
        self._sensor, self._channel = sensor, channel
        self._memory: Any = None
        self._frames = 0

    def take(self, body: bytes) -> None:
        """Decode a frame and check what came of it.

        Raises: DecodeError as the sensor does, AssertionError when what it returned is not what sensors return.
        """
        if self._frames % _FRAMES_PER_DEVICE == 0:
            self._memory = self._sensor.start()
        self._frames += 1
        check_form(self._sensor.decode(self._channel, body, self._memory))
