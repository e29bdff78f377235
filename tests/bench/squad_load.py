"""Readings of a squad at the 60-athlete load, with the noise that real sensors and radios have; everything is seeded.

Positions at 25 Hz from tags whose UTC clocks tick in milliseconds and jitter by one; heart rates that a strap sends
once a second without a time of its own; accelerations and turn rates at 100 Hz in frames of ten, by a pod's own clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_sim.squad import SimulatedSession
from shared.clock import NS_PER_MS, NS_PER_S
from shared.ids import AthleteId, SensorId
from shared.readings import NO_TIME, Clocks, Readings, select

START_NS = 1_790_000_000 * NS_PER_S
BOOT = "5f2c9a7e41d8b036"
_FRAME = 10
_POSITION_HZ, _IMU_HZ = 25, 100
# Of one fix, beside the slow error that the simulator adds: what UWB tags show that stand still.
_FIX_NOISE_M = 0.02
# Soft tissue and the way a pod hangs; the chip's own noise is a tenth of it.
_SHAKE_MG, _SHAKE_TENTHS_DPS = 30.0, 40.0
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Source:
    """All that one sensor sends: a block, and when its rows arrive, ns since START_NS in ascending order."""

    block: Readings
    arrived_ns: NDArray[np.int64]


class SquadLoad:
    """So many seconds of a squad's readings."""

    def __init__(self, *, athletes: int, seconds: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._seconds = seconds
        session = SimulatedSession(athletes=athletes, seed=seed, rate_hz=_POSITION_HZ)
        steps = [session.step() for _ in range(seconds * _POSITION_HZ)]
        x_m, y_m, bpm = (np.array([getattr(step, name) for step in steps]) for name in ("x_m", "y_m", "bpm"))
        self._sources: list[_Source] = []
        for i in range(athletes):
            path = np.column_stack((x_m[:, i], y_m[:, i]))
            self._sources += [
                self._position(i, path),
                self._heart_rate(i, bpm[::_POSITION_HZ, i]),
                self._imu(i, np.hypot(*np.diff(path, axis=0, prepend=path[:1]).T) * _POSITION_HZ),
            ]

    def blocks(self, stream: str) -> list[Readings]:
        """Return one stream's readings, a block a sensor."""
        return [source.block for source in self._sources if source.block.stream == stream]

    def commits(self, interval_ms: int) -> Iterator[list[Readings]]:
        """Yield what arrives in each interval, a block a sensor and stream."""
        edges = np.arange(0, (self._seconds + 1) * NS_PER_S, interval_ms * NS_PER_MS)
        cuts = [np.searchsorted(source.arrived_ns, edges) for source in self._sources]
        for i in range(len(edges) - 1):
            yield [
                select(source.block, slice(int(cut[i]), int(cut[i + 1])))
                for source, cut in zip(self._sources, cuts, strict=True)
                if cut[i + 1] > cut[i]
            ]

    def _source(
        self, stream: str, sensor: str, i: int, *, time_ns: Floats, device_ns: Floats | None, arrived_ns: Floats,
        values: Floats, is_utc: bool = False,
    ) -> _Source:  # fmt: skip
        """Return a sensor's rows; `time_ns` counts from START_NS and is the device's own too where that is UTC."""
        times = START_NS + time_ns.astype(np.int64)
        device = times if is_utc else np.full(len(times), NO_TIME) if device_ns is None else device_ns.astype(np.int64)
        arrived = np.maximum.accumulate(arrived_ns.astype(np.int64))
        count = len(values)
        block = Readings(
            sensor=SensorId(sensor),
            stream=stream,
            origin=f"{0xBADCAFE0 + i:08x}" if stream != "heart_rate" else BOOT,
            sequence=np.arange(count, dtype=np.int64) + int(self._rng.integers(0, 100_000)),
            time_ns=times,
            values=values,
            quality=np.zeros(count, np.uint8),
            athlete=AthleteId(f"a{i + 1:02d}"),
            clocks=Clocks(
                boot=BOOT,
                device_ns=device,
                mono_ns=arrived + 86_400 * NS_PER_S + 123_456_789,
            ),
        )
        return _Source(block, arrived)

    def _position(self, i: int, path_m: Floats) -> _Source:
        count = len(path_m)
        offset_ms, jitter_ms = self._rng.uniform(0, 40), self._rng.normal(0, 1, count)
        time_ns = np.round(np.arange(count) * 1000 / _POSITION_HZ + offset_ms + jitter_ms) * NS_PER_MS
        seen_m = path_m + self._rng.normal(0, _FIX_NOISE_M, path_m.shape)
        quality = np.clip(0.95 + 0.02 * np.round(self._rng.normal(0, 0.6, count)), 0, 1)
        return self._source(
            "position", f"tag-{i + 1:02d}", i,
            time_ns=time_ns, device_ns=None, is_utc=True,
            arrived_ns=time_ns + 2 * NS_PER_MS + self._rng.exponential(3 * NS_PER_MS, count),
            values=np.column_stack((seen_m, quality)),
        )  # fmt: skip

    def _heart_rate(self, i: int, bpm: Floats) -> _Source:
        count = len(bpm)
        beat_ns = (np.arange(count) + self._rng.uniform(0, 1)) * NS_PER_S
        # A connection event every 30 ms, and what the event loop adds.
        arrived_ns = beat_ns + self._rng.uniform(0, 30 * NS_PER_MS, count) + self._rng.exponential(NS_PER_MS, count)
        values = np.column_stack((np.round(bpm), np.ones(count), np.full(count, np.nan)))
        sensor = f"C0:{i:02X}:5E:{0x9A ^ i:02X}:7B:{(37 * i) % 256:02X}"
        return self._source(
            "heart_rate", sensor, i, time_ns=arrived_ns, device_ns=None, arrived_ns=arrived_ns, values=values
        )

    def _imu(self, i: int, speed_mps: Floats) -> _Source:
        count = self._seconds * _IMU_HZ // _FRAME * _FRAME
        device_ns = np.arange(1, count + 1) * (NS_PER_S / _IMU_HZ) + self._rng.integers(1, 3600) * NS_PER_S
        frames = count // _FRAME
        ends_ns = (np.arange(1, frames + 1) * _FRAME / _IMU_HZ + self._rng.uniform(0, 0.1)) * NS_PER_S
        latency_ns = self._rng.uniform(0, 30 * NS_PER_MS, frames) + self._rng.exponential(NS_PER_MS, frames)
        # UTC less monotonic time is read anew for every frame, a fraction of a microsecond apart, and is kept in step.
        led_ns = self._rng.normal(0, 300, frames) + np.arange(frames) * 20.0
        within_ns = np.tile(np.arange(1 - _FRAME, 1) * (NS_PER_S / _IMU_HZ), frames)
        return self._source(
            "imu", f"D4:{i:02X}:22:{0x61 ^ i:02X}:0F:{(91 * i) % 256:02X}", i,
            time_ns=np.repeat(ends_ns + led_ns, _FRAME) + within_ns, device_ns=device_ns,
            arrived_ns=np.repeat(ends_ns + latency_ns, _FRAME),
            values=self._moved(np.repeat(speed_mps, _IMU_HZ // _POSITION_HZ)[:count]),
        )  # fmt: skip

    def _moved(self, speed_mps: Floats) -> Floats:
        """Return what a pod feels of somebody's steps: g, then degrees per second."""
        turns = 2 * np.pi * np.cumsum(np.clip(1.2 + 0.35 * speed_mps, 1.2, 3.2)) / _IMU_HZ
        strength = np.clip(speed_mps / 4, 0.05, 1.5)
        columns: list[Floats] = []
        for axis in range(6):
            largest, shake = (600.0, _SHAKE_MG) if axis < 3 else (1_200.0, _SHAKE_TENTHS_DPS)
            wave = np.zeros(len(turns))
            for harmonic in range(1, 6):
                wave += np.sin(harmonic * turns + self._rng.uniform(0, 6.3)) * largest / harmonic**1.5
            noise = self._rng.normal(0, shake, len(turns)) * (0.2 + strength)
            columns.append(wave * strength + noise + (1000.0 if axis == 2 else 0.0))
        return np.round(np.column_stack(columns)) * np.array([0.001] * 3 + [0.1] * 3)
