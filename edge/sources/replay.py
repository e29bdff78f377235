"""Frames recorded to a file, and played again as a source: u32 length, then the frame as msgpack."""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from edge.links import LinkStatus
from edge.sources.base import Delivery
from shared.clock import NS_PER_S, Clock, Stamp
from shared.errors import SourceError
from shared.ids import SensorId
from shared.readings import Frame

_MAGIC = b"SLF1"
_LENGTH = struct.Struct("<I")
_MAX_FRAME_BYTES = 64 * 1024
_BATCH = 512


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    sensor: str
    channel: str
    body: bytes
    utc_ns: int
    mono_ns: int
    boot_id: str


class FrameRecorder:
    """Writes frames to a file as they come."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._file.write(_MAGIC)

    def write(self, frames: Sequence[Frame]) -> None:
        """Append frames."""
        for frame in frames:
            at = frame.received
            record = _Record(frame.sensor, frame.channel, frame.body, at.utc_ns, at.mono_ns, at.boot_id)
            body = msgspec.msgpack.encode(record)
            self._file.write(_LENGTH.pack(len(body)) + body)

    def close(self) -> None:
        """Write what is buffered and close the file."""
        self._file.close()


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a recording, oldest first; a last frame cut short by a crash ends it.

    Raises: SourceError when the file is not a recording or is damaged inside.
    """
    try:
        file = path.open("rb")
    except OSError as exc:
        raise SourceError(str(path), exc.strerror or "cannot be read") from exc
    with file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise SourceError(str(path), "is not a recording of frames")
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            body = file.read(min(length, _MAX_FRAME_BYTES))
            if len(body) < length <= _MAX_FRAME_BYTES:
                return
            try:
                record = msgspec.msgpack.decode(body, type=_Record)
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                raise SourceError(str(path), f"damaged before byte {file.tell()}") from exc
            yield Frame(
                sensor=SensorId(record.sensor),
                channel=record.channel,
                body=record.body,
                received=Stamp(utc_ns=record.utc_ns, mono_ns=record.mono_ns, boot_id=record.boot_id),
            )


class ReplaySource:
    """Plays a recording at `speed` times its own pace (0: as fast as it is taken); `done` is set at its end."""

    name = "replay"

    def __init__(self, path: Path, clock: Clock, *, speed: float = 1.0) -> None:
        self._path = path
        self._clock = clock
        self._speed = speed
        self._arrived: list[Delivery] = []
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._taken.set()
        self._started_ns = clock.utc_ns()
        self.done = asyncio.Event()

    @property
    def status(self) -> LinkStatus:
        """A recording is always there."""
        return LinkStatus(link="recording", up=True, since_ns=self._started_ns)

    async def run(self) -> None:
        """Play the recording once, then wait to be cancelled."""
        first: int | None = None
        begun_ns = self._clock.mono_ns()
        for frame in read_frames(self._path):
            first = frame.received.utc_ns if first is None else first
            if self._speed > 0:
                due_ns = begun_ns + round((frame.received.utc_ns - first) / self._speed)
                wait_s = (due_ns - self._clock.mono_ns()) / NS_PER_S
                if wait_s > 0:
                    await self._clock.sleep(wait_s)
            while len(self._arrived) >= _BATCH:
                self._taken.clear()
                await self._taken.wait()
            self._arrived.append(Delivery(frame=frame))
            self._filled.set()
        self.done.set()
        await asyncio.Event().wait()

    async def receive(self) -> list[Delivery]:
        """Wait for frames and return all that are due."""
        await self._filled.wait()
        arrived, self._arrived = self._arrived, []
        self._filled.clear()
        self._taken.set()
        return arrived

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: a recording waits for nobody."""
