"""From frames to readings: decode, put in time, validate, name the wearer, leave out what came twice."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.pipeline.device_time import beat_times, reading_times
from edge.pipeline.roster import Wearers
from edge.pipeline.seen import Seen
from edge.pipeline.validate import implausible
from edge.sensors.base import Decoded, Rejected
from edge.sensors.registry import BY_CHANNEL
from shared.errors import DecodeError
from shared.ids import SensorId
from shared.readings import Frame, Quality, Readings

_IMPLAUSIBLE = np.uint8(Quality.IMPLAUSIBLE)


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
    """What one stream gathers within a batch, over all sensors; `key` says whose row it is."""

    key: list[int] = field(default_factory=list)
    rows: list[tuple[float, ...]] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    device_ns: list[int] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """The rows of one batch of frames by stream; numpy sees a whole stream at once, not one sensor at a time."""

    parts: dict[str, _Part] = field(default_factory=dict)
    keys: dict[tuple[SensorId, str], int] = field(default_factory=dict)


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
        batch = _Batch()
        rejected: list[Rejected] = []
        for frame in frames:
            try:
                self._decode(frame, batch)
            except DecodeError as exc:
                rejected.append(Rejected(frame=frame, reason=exc.reason))
        keys = list(batch.keys)
        return [block for stream, part in batch.parts.items() for block in self._blocks(stream, part, keys)], rejected

    def _decode(self, frame: Frame, batch: _Batch) -> None:
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
        new = [self._gather(frame, part, batch, counts) for part in decoded]
        counts.duplicates += not all(new)

    def _gather(self, frame: Frame, decoded: Decoded, batch: _Batch, counts: SensorCounts) -> bool:
        """Add the rows of one stream to the batch; return False if they have come before."""
        stream, count = decoded.stream, len(decoded.rows)
        if decoded.origin is None or decoded.sequence is None:
            origin, first = self._origin, self._next[frame.sensor, stream]
            self._next[frame.sensor, stream] = first + count
        else:
            origin, first = decoded.origin, decoded.sequence
            if not self._seen.add(frame.sensor, stream, origin, first):
                return False
        part = batch.parts.get(stream)
        if part is None:
            part = batch.parts[stream] = _Part()
        received_ns = frame.received.utc_ns
        part.key += [batch.keys.setdefault((frame.sensor, origin), len(batch.keys))] * count
        part.rows += decoded.rows
        part.sequence += range(first, first + count)
        part.quality += [decoded.quality] * count
        part.received_ns += [received_ns] * count
        if stream == "rr":
            part.device_ns += beat_times(np.array(decoded.rows)[:, 0], received_ns).tolist()
        else:
            part.device_ns += [received_ns if decoded.time_ns is None else decoded.time_ns] * count
        if stream == "battery":
            counts.battery_percent = decoded.rows[-1][0]
        return True

    def _blocks(self, stream: str, part: _Part, keys: list[tuple[SensorId, str]]) -> list[Readings]:
        """Return the stream's rows as one block per sensor and origin, in order of arrival within each."""
        key = np.array(part.key)
        order = np.argsort(key, kind="stable")
        times, corrected = reading_times(
            np.array(part.device_ns, np.int64)[order], np.array(part.received_ns, np.int64)[order]
        )
        quality = np.array(part.quality, np.uint8)[order] | corrected
        values = np.array(part.rows, np.float64)[order]
        quality = quality | implausible(stream, values)
        sequence = np.array(part.sequence, np.int64)[order]
        key = key[order]
        starts = [0, *(np.flatnonzero(np.diff(key)) + 1).tolist(), len(key)]
        blocks: list[Readings] = []
        for start, end in itertools.pairwise(starts):
            sensor, origin = keys[key[start]]
            block = Readings(
                sensor=sensor,
                stream=stream,
                origin=origin,
                sequence=sequence[start:end],
                time_ns=times[start:end],
                values=values[start:end],
                quality=quality[start:end],
                athlete=self._wearers.wearer(sensor, int(times[start])),
            )
            self.counts[sensor].implausible += int(np.count_nonzero(block.quality & _IMPLAUSIBLE))
            blocks.append(block)
        return blocks
