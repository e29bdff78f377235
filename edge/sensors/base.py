"""What a sensor's decoder is: pure, from one frame's bytes to rows of values."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.readings import Frame


class DeviceClock(StrEnum):
    """What a device's own time counts from."""

    UTC = "utc"
    """It claims to be UTC."""
    OWN = "own"
    """It counts from its power-on, or from a date that nobody set: only its differences mean something."""


class Decoded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Rows of one stream from one frame.

    `rows` has the columns of `STREAMS[stream].quantities`, oldest first; float64[n, k] where many frames are read
    together. `origin` and `sequence` are the device's own
    count of the first row, where it counts. `device_ns` is the device's own time of the *last* row, where it sends
    one, and `clock` what that counts from; `period_ns` is the time from row to row. `quality` holds Quality bits that
    the frame itself tells, `row_quality` those of each row where they differ. `sensor` names the device where one
    channel carries several (a gateway's topic).
    """

    stream: str
    rows: tuple[tuple[float, ...], ...] | NDArray[np.float64]
    origin: str | None = None
    sequence: int | None = None
    device_ns: int | None = None
    clock: DeviceClock = DeviceClock.UTC
    period_ns: int = 0
    quality: int = 0
    row_quality: tuple[int, ...] = ()
    sensor: str | None = None


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says of itself, for the health page: (`"manufacturer"`, `"Polar"`), (`"location"`, `"chest"`)."""

    facts: tuple[tuple[str, str], ...]
    sensor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Bytes that are written to a characteristic (a full UUID) to make a device start, or stop, sending."""

    characteristic: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A frame that says nothing we can use, and why; its bytes are kept."""

    frame: Frame
    reason: str


class FadingMemory:
    """A memory that means nothing after a silence, as of counters that may have rolled over unseen.

    `lasts_ns` is how long a silence it outlives; the intake keeps `heard_ns`, when the frame before arrived by the
    gateway's monotonic clock.
    """

    __slots__ = ("heard_ns",)
    lasts_ns: ClassVar[int]

    def __init__(self) -> None:
        self.heard_ns: int | None = None

    def outlives(self, mono_ns: int) -> bool:
        """Return whether it still counts for a frame that arrives now, which is remembered."""
        silent_ns = 0 if self.heard_ns is None else mono_ns - self.heard_ns
        self.heard_ns = mono_ns
        return silent_ns <= self.lasts_ns


class Sensor(ABC):
    """One kind of device.

    `channels` are what its frames come on: Bluetooth characteristics as 4 hexadecimal digits (`"2a37"`) or full UUIDs
    in lower case, advertisements by company (`"adv:006b"`), or the name of an MQTT payload's format. `services` are
    the Bluetooth services that a scan looks for. `names_devices` says that frames name their devices themselves
    (`Decoded.sensor`). `reads_many` says that its frames stand alone, and that `decode_many` is faster for a batch.
    `topics` are the MQTT topics that carry its formats, as (pattern, channel): `{sensor}` in a pattern stands for the
    level that names the device, `+` and `#` as in MQTT.
    """

    name: str
    channels: tuple[str, ...]
    services: tuple[str, ...] = ()
    topics: tuple[tuple[str, str], ...] = ()
    names_devices: bool = False
    reads_many: bool = False

    def start(self) -> Any:
        """Return the memory of one device before its first frame, mutable; None where frames stand alone.

        It holds what later frames build on: counters that roll over, the first half of a long packet, aliases. A
        FadingMemory is replaced by a new one when frames come again after a long silence.
        """
        return None

    @abstractmethod
    def decode(self, channel: str, body: bytes, memory: Any) -> tuple[Decoded | About, ...]:
        """Return what a frame says, perhaps nothing yet, with `memory` moved on.

        Raises: DecodeError, and nothing else, when the bytes do not follow the format; `memory` is then as it was.
        """

    def decode_many(self, channel: str, bodies: Sequence[bytes]) -> Sequence[tuple[Decoded, ...]] | None:  # noqa: ARG002
        """Return what each of these frames says, exactly as `decode` would, or None where one may have to be refused.

        Then they are read one by one, so that a bad frame costs no other.
        """
        return None
