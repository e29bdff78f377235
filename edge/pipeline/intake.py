"""From frames to readings: decode, put in time, validate, name the wearer, leave out what came twice."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.pipeline.device_time import beat_times, reading_times
from edge.pipeline.roster import Wearers
from edge.pipeline.seen import Seen
from edge.pipeline.validate import validate
from edge.sensors.base import Decoded, Rejected
from edge.sensors.registry import BY_CHANNEL
from shared.errors import DecodeError
from shared.ids import SensorId
from shared.quantities import STREAMS
from shared.readings import Frame, Quality, Readings


@dataclass(slots=True)
class SensorCounts:
    """What came from one sensor."""

    kind: str
    frames: int = 0
    malformed: int = 0
    implausible: int = 0
    duplicates: int = 0
    last_ns: int | None = None
    battery_percent: float | None = None


@dataclass(slots=True)
class _Part:
    """What one (sensor, stream, origin) gathers within a batch."""

    rows: list[tuple[float, ...]] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    device_ns: list[int] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)


_Parts = dict[tuple[SensorId, str, str], _Part]


class Intake:
    """Turns batches of frames into blocks of readings and keeps the counts of each sensor."""

    def __init__(self, wearers: Wearers, origin: str) -> None:
        """`origin` names this run of the gateway: it counts the readings of devices that do not count."""
        self._wearers = wearers
        self._origin = origin
        self._seen = Seen()
        self._next: dict[tuple[SensorId, str], int] = defaultdict(int)
        self.counts: dict[SensorId, SensorCounts] = {}

    def remember(self, blocks: Sequence[Readings]) -> None:
        """Learn what is stored already, so that a redelivery after a restart is known."""
        for block in blocks:
            for sequence in block.sequence.tolist():
                self._seen.add(block.sensor, block.stream, block.origin, sequence)

    def take(self, frames: Sequence[Frame]) -> tuple[list[Readings], list[Rejected]]:
        """Return the new readings of a batch of frames, and the frames that gave none."""
        parts: _Parts = {}
        rejected: list[Rejected] = []
        for frame in frames:
            try:
                self._decode(frame, parts)
            except DecodeError as exc:
                rejected.append(Rejected(frame=frame, reason=exc.reason))
        return [self._block(key, part) for key, part in parts.items()], rejected

    def _decode(self, frame: Frame, parts: _Parts) -> None:
        sensor = BY_CHANNEL.get(frame.channel)
        if not self._wearers.is_known(frame.sensor):
            raise DecodeError("unknown device")
        if sensor is None:
            raise DecodeError("unknown channel")
        counts = self.counts.get(frame.sensor)
        if counts is None or counts.kind == "battery":
            counts = self.counts.setdefault(frame.sensor, SensorCounts(kind=sensor.name))
            counts.kind = sensor.name
        counts.frames += 1
        try:
            decoded = sensor.decode(frame.channel, frame.body)
        except DecodeError:
            counts.malformed += 1
            raise
        counts.last_ns = frame.received.utc_ns
        for part in decoded:
            self._gather(frame, part, parts, counts)

    def _gather(self, frame: Frame, decoded: Decoded, parts: _Parts, counts: SensorCounts) -> None:
        if decoded.origin is None or decoded.sequence is None:
            origin, first = self._origin, self._next[frame.sensor, decoded.stream]
            self._next[frame.sensor, decoded.stream] = first + len(decoded.rows)
        else:
            origin, first = decoded.origin, decoded.sequence
            if not self._seen.add(frame.sensor, decoded.stream, origin, first):
                counts.duplicates += 1
                return
        key = (frame.sensor, decoded.stream, origin)
        part = parts.get(key)
        if part is None:
            part = parts[key] = _Part()
        received_ns = frame.received.utc_ns
        count = len(decoded.rows)
        part.rows += decoded.rows
        part.sequence += range(first, first + count)
        part.quality += [decoded.quality] * count
        part.received_ns += [received_ns] * count
        if decoded.stream == "rr":
            part.device_ns += beat_times(np.array(decoded.rows)[:, 0], received_ns).tolist()
        else:
            part.device_ns += [received_ns if decoded.time_ns is None else decoded.time_ns] * count
        if decoded.stream == "battery":
            counts.battery_percent = decoded.rows[-1][0]

    def _block(self, key: tuple[SensorId, str, str], part: _Part) -> Readings:
        sensor, stream, origin = key
        times, corrected = reading_times(np.array(part.device_ns, np.int64), np.array(part.received_ns, np.int64))
        block = validate(
            Readings(
                sensor=sensor,
                stream=stream,
                origin=origin,
                sequence=np.array(part.sequence, np.int64),
                time_ns=times,
                values=np.array(part.rows, np.float64).reshape(-1, len(STREAMS[stream].quantities)),
                quality=np.array(part.quality, np.uint8) | corrected,
                athlete=self._wearers.wearer(sensor, int(times[0])),
            )
        )
        self.counts[sensor].implausible += int(((block.quality & np.uint8(Quality.IMPLAUSIBLE)) != 0).sum())
        return block
