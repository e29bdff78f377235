"""From frames to readings: decode, put in time, validate, name the wearer, leave out what came twice."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.pipeline.columns import Batch, Entries
from edge.pipeline.device_time import DeviceTime, beat_times
from edge.pipeline.losses import Losses
from edge.pipeline.projection import PitchCalibration, with_positions
from edge.pipeline.roster import Wearers
from edge.pipeline.seen import Seen
from edge.sensors.base import About, Decoded, DeviceClock, FadingMemory, Rejected, Sensor
from edge.sensors.registry import read_together, reader_of
from shared.errors import ConfigError, DecodeError
from shared.ids import SensorId, parse_sensor_id
from shared.one_voice import HAND_OVER_NS
from shared.readings import NO_TIME, Frame, Quality, Readings

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
        """Return the new readings of a batch of frames, and the frames that gave none.

        Whatever it raises, the batch was not taken: the same frames count as new when they come again.
        """
        self._seen.begin()
        taken = False
        try:
            result = self._take(frames)
            taken = True
        finally:
            if not taken:
                self._seen.forget()
        return result

    def _take(self, frames: Sequence[Frame]) -> tuple[list[Readings], list[Rejected]]:
        batch = Batch()
        rejected: list[Rejected] = []
        for frame, said in zip(frames, read_together(frames), strict=True):
            try:
                if said is None:
                    self._decode(frame, batch)
                else:
                    self._note(frame, *said, batch)
            except DecodeError as exc:
                rejected.append(Rejected(frame=frame, reason=exc.reason))
        return with_positions(self._blocks(batch), self._calibration), rejected

    def _note(self, frame: Frame, sensor: Sensor, parts: Sequence[Decoded], batch: Batch) -> None:
        """Take what a frame that stands alone was found to say, together with others."""
        device = frame.sensor
        if not self._wearers.is_known(device):
            raise DecodeError("unknown device")
        counts = self._counts(device, sensor.name)
        counts.frames += 1
        counts.last_ns = frame.received.utc_ns
        again = False
        for part in parts:
            if not self._gather(device, frame, part, counts, batch):
                again = True
        counts.duplicates += again

    def _decode(self, frame: Frame, batch: Batch) -> None:
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
                repeated[device] |= not self._gather(device, frame, part, counts, batch)
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

    def _gather(self, device: SensorId, frame: Frame, decoded: Decoded, counts: SensorCounts, batch: Batch) -> bool:
        """Add the rows of one stream to the batch; return False if they have come before."""
        stream, rows, received = decoded.stream, decoded.rows, frame.received
        if stream == "rr" and not self._tells_beats(device, frame):
            return False
        origin, sequence = decoded.origin, decoded.sequence
        if origin is None or sequence is None:
            origin, sequence = self._origin, self._next[device, stream]
            self._next[device, stream] = sequence + len(rows)
        else:
            if not self._seen.add(device, stream, origin, sequence):
                return False
            self.losses.add(device, stream, origin, sequence, len(rows), received.mono_ns)
        entries = batch.streams[stream]
        key = batch.keys.setdefault((device, origin, received.boot_id), len(batch.keys))
        quality, device_ns, last_ns = decoded.quality, NO_TIME, received.utc_ns
        if decoded.device_ns is not None:
            device_ns = decoded.device_ns
            if quality & _BACKLOG and decoded.clock is DeviceClock.UTC:
                last_ns, corrected = counts.time.place_kept(device_ns, received)
            else:
                last_ns, corrected = counts.time.place(
                    device_ns, decoded.clock, received, origin=decoded.origin, sequence=decoded.sequence
                )
            quality |= corrected
        if stream == "rr":
            self._add_beats(entries, key, sequence, device, decoded, last_ns, quality, received.mono_ns)
            return True
        if len(rows) == 1 and isinstance(rows, tuple) and not decoded.row_quality:
            entries.add(key, sequence, last_ns, device_ns, received.mono_ns, quality)
            entries.values += rows[0]
        elif len(rows):
            entries.add(key, sequence, last_ns, device_ns, received.mono_ns, quality)
            entries.hold(rows, decoded.period_ns, decoded.row_quality)
        if stream == "battery":
            counts.battery_percent = float(rows[-1][0])
        return True

    def _add_beats(
        self,
        entries: Entries,
        key: int,
        first: int,
        device: SensorId,
        decoded: Decoded,
        last_ns: int,
        quality: int,
        mono_ns: int,
    ) -> None:
        """Add each beat of a frame, whose last ended at `last_ns`: how far apart they are is what they say."""
        rows, device_ns = decoded.rows, decoded.device_ns
        # Beats that their device has put in time stand where it says.
        after_ns = self._last_beat_ns.get(device, 0) if device_ns is None else 0
        times_ns: list[int] = beat_times(np.array(rows)[:, 0], last_ns, after_ns).tolist()
        self._last_beat_ns[device] = times_ns[-1]
        bits = decoded.row_quality or (0,) * len(rows)
        for place, (row, time_ns, doubt) in enumerate(zip(rows, times_ns, bits, strict=True)):
            own_ns = NO_TIME if device_ns is None else device_ns - (len(rows) - 1 - place) * decoded.period_ns
            entries.add(key, first + place, time_ns, own_ns, mono_ns, quality | doubt)
            entries.values.extend(row)

    def _tells_beats(self, device: SensorId, frame: Frame) -> bool:
        """Return whether this channel is the one that a device's beats are taken from: some send each beat on two."""
        mono_ns = frame.received.mono_ns
        channel, last_ns = self._beats.get(device, (frame.channel, 0))
        if channel != frame.channel and mono_ns - last_ns <= HAND_OVER_NS:
            return False
        self._beats[device] = (frame.channel, mono_ns)
        return True

    def _blocks(self, batch: Batch) -> list[Readings]:
        """Return the batch's blocks, each of one wearer."""
        blocks: list[Readings] = []
        for block, changed, odd in batch.blocks(self._wearers):
            if odd:
                self.counts[block.sensor].implausible += odd
            if changed:
                blocks += self._wearers.worn(block)
            else:
                blocks.append(block)
        return blocks


def _named(name: str) -> SensorId:
    try:
        return parse_sensor_id(name)
    except ConfigError as exc:
        raise DecodeError("device has a name that is no id") from exc
