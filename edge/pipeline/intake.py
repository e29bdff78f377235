"""From frames to readings: decode, put in time, validate, name the wearer, leave out what came twice."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.pipeline.device_time import DeviceTime, beat_times
from edge.pipeline.losses import Losses
from edge.pipeline.projection import PitchCalibration, with_positions
from edge.pipeline.roster import Wearers
from edge.pipeline.seen import Seen
from edge.pipeline.validate import implausible
from edge.sensors.base import About, Decoded, DeviceClock, FadingMemory, Rejected, Sensor
from edge.sensors.registry import reader_of
from shared.clock import Stamp
from shared.errors import ConfigError, DecodeError
from shared.ids import SensorId, parse_sensor_id
from shared.one_voice import HAND_OVER_NS
from shared.readings import NO_TIME, Clocks, Frame, Quality, Readings

_IMPLAUSIBLE = np.uint8(Quality.IMPLAUSIBLE)
_BACKLOG = int(Quality.BACKLOG)
# Far more than a squad's sensors.
_MOST_MEMORIES = 4096
# What every Bluetooth device may have does not say what it is.
_SIDE_KINDS = ("battery", "device_information")


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
    about: dict[str, str] = field(default_factory=dict)
    time: DeviceTime = field(default_factory=DeviceTime)


@dataclass(slots=True)
class _Part:
    """What one stream gathers within a batch, over all sensors; `key` says whose row it is."""

    key: list[int] = field(default_factory=list)
    rows: list[tuple[float, ...]] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    time_ns: list[int] = field(default_factory=list)
    device_ns: list[int] = field(default_factory=list)
    mono_ns: list[int] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """The rows of one batch of frames by stream; numpy sees a whole stream at once, not one sensor at a time."""

    parts: dict[str, _Part] = field(default_factory=dict)
    keys: dict[tuple[SensorId, str, str], int] = field(default_factory=dict)


class Intake:
    """Turns batches of frames into blocks of readings and keeps the counts of each sensor."""

    def __init__(self, wearers: Wearers, origin: str, calibration: PitchCalibration | None = None) -> None:
        """`origin` names this run of the gateway: it counts the readings of devices that do not count.

        With a `calibration` locations become positions on the pitch too.
        """
        self._wearers = wearers
        self._calibration = calibration
        self._origin = origin
        self._seen = Seen()
        self._memories: dict[tuple[SensorId, str], Any] = {}
        self._next: dict[tuple[SensorId, str], int] = defaultdict(int)
        self._last_beat_ns: dict[SensorId, int] = {}
        self._beats: dict[SensorId, tuple[str, int]] = {}
        """The channel that each device's beats come on, and when the last came."""
        self.counts: dict[SensorId, SensorCounts] = {}
        self.losses = Losses()

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
        blocks = [block for stream, part in batch.parts.items() for block in self._blocks(stream, part, keys)]
        return with_positions(blocks, self._calibration), rejected

    def _decode(self, frame: Frame, batch: _Batch) -> None:
        sensor = reader_of(frame.channel)
        if sensor is None:
            raise DecodeError("unknown channel")
        if not sensor.names_devices and not self._wearers.is_known(frame.sensor):
            raise DecodeError("unknown device")
        parts = self._said(sensor, frame)
        repeated: dict[SensorId, bool] = {}
        strangers = False
        for part in parts:
            device = frame.sensor if part.sensor is None else _named(part.sensor)
            if sensor.names_devices and not self._wearers.is_known(device):
                strangers = True
                continue
            counts = self._counts(device, sensor.name)
            if sensor.names_devices and device not in repeated:
                counts.frames += 1
                counts.last_ns = frame.received.utc_ns
            repeated.setdefault(device, False)
            if isinstance(part, About):
                counts.about.update(part.facts)
            else:
                repeated[device] |= not self._gather(device, frame, part, batch)
        for device, again in repeated.items():
            self.counts[device].duplicates += again
        if strangers:
            raise DecodeError("unknown device")

    def _said(self, sensor: Sensor, frame: Frame) -> tuple[Decoded | About, ...]:
        """Return what the frame says, counted for the device that the frame's channel names."""
        counts = None if sensor.names_devices else self._counts(frame.sensor, sensor.name)
        if counts is not None:
            counts.frames += 1
        key = (frame.sensor, sensor.name)
        if key not in self._memories:
            self._memories[key] = sensor.start()
            while len(self._memories) > _MOST_MEMORIES:  # names of strangers, made up by whoever publishes
                del self._memories[next(iter(self._memories))]
        memory = self._memories[key]
        if isinstance(memory, FadingMemory) and not memory.outlives(frame.received.mono_ns):
            memory = self._memories[key] = sensor.start()
            memory.outlives(frame.received.mono_ns)
        try:
            parts = sensor.decode(frame.channel, frame.body, memory)
        except DecodeError:
            if counts is not None:
                counts.malformed += 1
            raise
        if counts is not None:
            counts.last_ns = frame.received.utc_ns
        return parts

    def _counts(self, device: SensorId, kind: str) -> SensorCounts:
        counts = self.counts.get(device)
        if counts is None:
            counts = self.counts[device] = SensorCounts(kind=kind)
        elif counts.kind in _SIDE_KINDS:
            counts.kind = kind
        return counts

    def _gather(self, device: SensorId, frame: Frame, decoded: Decoded, batch: _Batch) -> bool:
        """Add the rows of one stream to the batch; return False if they have come before."""
        stream, count = decoded.stream, len(decoded.rows)
        if stream == "rr" and not self._tells_beats(device, frame):
            return False
        if decoded.origin is None or decoded.sequence is None:
            origin, first = self._origin, self._next[device, stream]
            self._next[device, stream] = first + count
        else:
            origin, first = decoded.origin, decoded.sequence
            if not self._seen.add(device, stream, origin, first):
                return False
            self.losses.add(device, stream, origin, first, count, frame.received.mono_ns)
        part = batch.parts.get(stream)
        if part is None:
            part = batch.parts[stream] = _Part()
        received = frame.received
        key = batch.keys.setdefault((device, origin, received.boot_id), len(batch.keys))
        quality = decoded.quality
        device_ns, last_ns = NO_TIME, received.utc_ns
        if decoded.device_ns is not None:
            device_ns = decoded.device_ns
            last_ns, corrected = _placed(self.counts[device].time, device_ns, decoded, received)
            quality |= corrected
        part.rows += decoded.rows
        if count == 1 and stream != "rr":
            part.key.append(key)
            part.sequence.append(first)
            part.quality.append(quality | sum(decoded.row_quality))
            part.mono_ns.append(received.mono_ns)
            part.time_ns.append(last_ns)
            part.device_ns.append(device_ns)
        else:
            part.key += [key] * count
            part.sequence += range(first, first + count)
            part.quality += [quality | row for row in decoded.row_quality] or [quality] * count
            part.mono_ns += [received.mono_ns] * count
            if stream == "rr":
                # Beats that their device has put in time stand where it says.
                after_ns = self._last_beat_ns.get(device, 0) if decoded.device_ns is None else 0
                times_ns = beat_times(np.array(decoded.rows)[:, 0], last_ns, after_ns).tolist()
                self._last_beat_ns[device] = times_ns[-1]
                part.time_ns += times_ns
            else:
                part.time_ns += _back_from(last_ns, decoded.period_ns, count)
            part.device_ns += (
                [NO_TIME] * count if device_ns == NO_TIME else _back_from(device_ns, decoded.period_ns, count)
            )
        if stream == "battery":
            self.counts[device].battery_percent = decoded.rows[-1][0]
        return True

    def _tells_beats(self, device: SensorId, frame: Frame) -> bool:
        """Return whether this channel is the one that a device's beats are taken from: some send each beat on two."""
        mono_ns = frame.received.mono_ns
        channel, last_ns = self._beats.get(device, (frame.channel, 0))
        if channel != frame.channel and mono_ns - last_ns <= HAND_OVER_NS:
            return False
        self._beats[device] = (frame.channel, mono_ns)
        return True

    def _blocks(self, stream: str, part: _Part, keys: list[tuple[SensorId, str, str]]) -> list[Readings]:
        """Return the stream's rows as one block per sensor and origin, in order of arrival within each."""
        key = np.array(part.key)
        order = np.argsort(key, kind="stable")
        times = np.array(part.time_ns, np.int64)[order]
        values = np.array(part.rows, np.float64)[order]
        quality = np.array(part.quality, np.uint8)[order] | implausible(stream, values)
        sequence = np.array(part.sequence, np.int64)[order]
        device_ns = np.array(part.device_ns, np.int64)[order]
        mono_ns = np.array(part.mono_ns, np.int64)[order]
        key = key[order]
        starts = [0, *(np.flatnonzero(np.diff(key)) + 1).tolist(), len(key)]
        blocks: list[Readings] = []
        for start, end in itertools.pairwise(starts):
            sensor, origin, boot = keys[key[start]]
            block = Readings(
                sensor=sensor,
                stream=stream,
                origin=origin,
                sequence=sequence[start:end],
                time_ns=times[start:end],
                values=values[start:end],
                quality=quality[start:end],
                athlete=self._wearers.wearer(sensor, int(times[start])),
                clocks=Clocks(boot=boot, device_ns=device_ns[start:end], mono_ns=mono_ns[start:end]),
            )
            self.counts[sensor].implausible += int(np.count_nonzero(block.quality & _IMPLAUSIBLE))
            blocks += self._wearers.worn(block)
        return blocks


def _placed(time: DeviceTime, device_ns: int, decoded: Decoded, received: Stamp) -> tuple[int, int]:
    """Return the UTC time of a device's last row, and its Quality bits."""
    if decoded.quality & _BACKLOG and decoded.clock is DeviceClock.UTC:
        return time.place_kept(device_ns, received)
    return time.place(device_ns, decoded.clock, received, origin=decoded.origin, sequence=decoded.sequence)


def _back_from(last_ns: int, period_ns: int, count: int) -> list[int]:
    return [last_ns - i * period_ns for i in range(count - 1, -1, -1)]


def _named(name: str) -> SensorId:
    try:
        return parse_sensor_id(name)
    except ConfigError as exc:
        raise DecodeError("device has a name that is no id") from exc
