"""Recordings of one athlete with everything that happens on a pitch, for the suites over metrics and features."""

from dataclasses import replace
from typing import Any

import numpy as np

from shared.clock import NS_PER_MS, NS_PER_S
from shared.ids import SensorId
from shared.metrics.base import MetricValue, Profile
from shared.readings import Readings, select
from shared.windows import Window, Windower
from tests.factories import START_NS, TAG, profile, readings

SECONDS = 90
LATENESS_NS = NS_PER_S


def recording(seed: int = 11) -> list[Readings]:
    """Return heart rate at 1 Hz and positions at 10 Hz with NaN, flags and jumps, one block per stream."""
    rng = np.random.default_rng(seed)
    heart = 140 + 30 * np.sin(np.arange(SECONDS) / 15) + rng.normal(0, 1, SECONDS)
    beats = np.column_stack((np.round(heart), np.ones(SECONDS), np.full(SECONDS, np.nan)))
    beats[40] = np.nan
    flags = np.zeros(SECONDS, np.uint8)
    flags[50:53] = 2
    count = SECONDS * 10
    heading = np.cumsum(rng.normal(0, 0.1, count))
    speed = np.abs(3 + 2.5 * np.sin(np.arange(count) / 60))
    path = np.cumsum(0.1 * speed[:, None] * np.column_stack((np.cos(heading), np.sin(heading))), axis=0)
    path[300] = np.nan
    path[500] += 80.0
    times = START_NS + np.arange(count) * 100 * NS_PER_MS + rng.integers(0, 20 * NS_PER_MS, count)
    return [
        readings("heart_rate", beats, quality=flags.tolist()),
        readings("position", np.column_stack((path, np.ones(count))), times_ns=times, sensor=TAG),
    ]


def measured() -> Profile:
    """Return the profile of an athlete of whom everything is known."""
    return replace(
        profile(),
        vt1_bpm=135.0,
        vt2_bpm=160.0,
        mass_kg=75.0,
        critical_power_w=210.0,
        w_prime_j=20_000.0,
        ftp_w=215.0,
        critical_speed_mps=3.5,
        d_prime_m=200.0,
        speed_edges_mps=(0.0, 1.5, 3.0, 4.5, 5.5),
    )


def everything(seconds: int = SECONDS, seed: int = 12) -> list[Readings]:
    """Return all streams that metrics read, with artefacts, NaN, flags and a short gap each, one block per stream."""
    rng = np.random.default_rng(seed)
    heart, position = _on_pitch(seconds, rng)
    beats = int(seconds / 0.8)
    intervals = np.round(800 + 50 * np.sin(np.arange(beats) / 1.5) + rng.normal(0, 8, beats))
    intervals[30] = 1600
    beat_ns = START_NS + np.cumsum(intervals * NS_PER_MS).astype(np.int64)
    intervals[60] = np.nan
    power = 220 + 90 * np.sin(np.arange(seconds) / 20) + rng.normal(0, 10, seconds)
    power[20] = np.nan
    pod = SensorId("pod")
    count = seconds * 20
    shaken = rng.normal(0, 0.5, (count, 6))
    shaken[100, 2] = np.nan
    imu_ns = START_NS + np.arange(count) * 50 * NS_PER_MS
    away = {"sensor": pod, "times_ns": _jittered(seconds, rng)}
    return [
        heart,
        position,
        readings("rr", intervals[:, None], times_ns=beat_ns),
        readings("power", np.column_stack((power, 51 + rng.normal(0, 1, seconds))), **away),
        readings("speed", np.column_stack((_speeds(seconds), *np.full((3, seconds), np.nan))), **away),
        readings("gait", np.column_stack((np.full(seconds, 250.0), 49 + rng.normal(0, 1, seconds))), **away),
        readings("imu", shaken, times_ns=imu_ns, sensor=pod),
        readings("exertion", [[5.0], [6.5]], times_ns=[START_NS + 9 * NS_PER_S, START_NS + (seconds - 1) * NS_PER_S]),
    ]


def _speeds(seconds: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.abs(3 + 2.5 * np.sin(np.arange(seconds) / 6))


def _jittered(seconds: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return START_NS + np.arange(seconds) * NS_PER_S + rng.integers(0, 300 * NS_PER_MS, seconds)


def _on_pitch(seconds: int, rng: np.random.Generator) -> list[Readings]:
    """Return heart rate that reaches its maximum and falls again, and positions at 25 Hz with jumps."""
    heart = 150 + 38 * np.sin(np.arange(seconds) / 60) + rng.normal(0, 0.5, seconds)
    beats = np.column_stack((np.round(heart), np.ones(seconds), np.full(seconds, np.nan)))
    count = seconds * 25
    heading = np.cumsum(rng.normal(0, 0.05, count))
    speed = np.abs(3 + 3.5 * np.sin(np.arange(count) / 20))
    path = np.cumsum(0.04 * speed[:, None] * np.column_stack((np.cos(heading), np.sin(heading))), axis=0)
    path[700::1500] += 50.0
    path[1000::2500] = np.nan
    times = START_NS + np.arange(count) * 40 * NS_PER_MS + rng.integers(0, 15 * NS_PER_MS, count)
    return [
        readings("heart_rate", beats, times_ns=_jittered(seconds, rng)),
        readings("position", np.column_stack((path, np.ones(count))), times_ns=times, sensor=TAG),
    ]


def whole(blocks: list[Readings]) -> list[Window]:
    """Return the windows of a recording given in time order."""
    return windows([select(block, np.array([i])) for block in blocks for i in range(len(block))], jitter_s=0.0)


def windows(singles: list[Readings], *, jitter_s: float, seed: int = 5) -> list[Window]:
    """Return the windows of readings that arrive one by one, each up to `jitter_s` late."""
    rng = np.random.default_rng(seed)
    arrival = [int(r.time_ns[0]) + round(rng.uniform(0, jitter_s) * NS_PER_S) for r in singles]
    windower = Windower(lateness_ns=LATENESS_NS)
    closed: list[Window] = []
    for i in np.argsort(arrival, kind="stable"):
        closed += windower.push(singles[i])
    closed += windower.flush()
    assert windower.late == 0
    return closed


def played(metric: Any, *blocks: Readings, who: Profile | None = None, window_s: int = 1) -> MetricValue:
    """Return a metric's value over a whole recording, through real windows."""
    windower = Windower(size_ns=window_s * NS_PER_S)
    state = metric.start(who or profile())
    for window in [*windower.push(*blocks), *windower.flush()]:
        state = metric.update(state, window)
    value: MetricValue = metric.value(state)
    return value
