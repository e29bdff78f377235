"""What a sensor's decoder is: pure, from one frame's bytes to rows of values."""

from dataclasses import dataclass
from typing import Protocol

from shared.readings import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Rows of one stream from one frame.

    `rows` has the columns of `STREAMS[stream].quantities`. `origin` and `sequence` are the device's own count of the
    first row, where it counts; `time_ns` is the device's own UTC time of the first row, where it sends one.
    `quality` holds Quality bits that the frame itself tells.
    """

    stream: str
    rows: tuple[tuple[float, ...], ...]
    origin: str | None = None
    sequence: int | None = None
    time_ns: int | None = None
    quality: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A frame that says nothing we can use, and why; its bytes are kept."""

    frame: Frame
    reason: str


class Sensor(Protocol):
    """One kind of device.

    `channels` are what its frames come on: Bluetooth characteristics as 4 hexadecimal digits (`"2a37"`) or full UUIDs,
    or the last word of an MQTT topic. `services` are the Bluetooth services that a scan looks for.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def channels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def services(self) -> tuple[str, ...]: ...  # noqa: D102

    def decode(self, channel: str, body: bytes) -> tuple[Decoded, ...]:
        """Return what a frame says.

        Raises: DecodeError, and nothing else, when the bytes do not follow the format.
        """
