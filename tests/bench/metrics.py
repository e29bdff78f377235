"""What decoding and metrics cost: a squad's session replayed, and 60 athletes live.

Replay: 22 players, positions at 25 Hz, heart rate and RR, through windows of 60 s and every metric; CPU-seconds.
Live: 1,500 positions, 60 heart rates with RR and 600 IMU frames of ten samples a second, encoded by the simulator, in
batches of 5 ms, as the gateway takes them, through Intake (decode, time, validate, wearer), one-second windows, every
metric, and the tiles' totals once a second; share of one core.

.venv/bin/python tests/bench/metrics.py [--minutes 120] [--seconds 30] [--profile] [--json FILE]
"""

import argparse
import cProfile
import itertools
import json
import pstats
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.pipeline.athlete_live import AthleteLive
from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.sensors.imu_pod import SAMPLES
from firmware_sim.devices.heart_strap import encode_heart_rate_measurement
from firmware_sim.devices.imu_pod import encode_samples
from firmware_sim.devices.position_tag import encode_position
from shared.clock import NS_PER_MS, NS_PER_S, Stamp
from shared.ids import AthleteId, SensorId
from shared.metrics.base import Profile
from shared.metrics.registry import MetricTracker
from shared.readings import Frame, Readings, select
from shared.roster import Assignment, Roster
from shared.windows import Windower
from tests.factories import START_NS, profile, readings, roster_athlete

PLAYERS = 22
ATHLETES = 60
BATCH_NS = 5 * NS_PER_MS
_MINUTE_NS = 60 * NS_PER_S


def known(athlete: str) -> Profile:
    """Return the profile of an athlete of whom everything is known: no metric is left out."""
    return replace(
        profile(AthleteId(athlete)), vt1_bpm=140.0, vt2_bpm=165.0, mass_kg=75.0, critical_power_w=250.0,
        w_prime_j=20_000.0, ftp_w=240.0, critical_speed_mps=4.0, d_prime_m=200.0,
    )  # fmt: skip


def session(athlete: str, minutes: int, seed: int) -> list[Readings]:
    """Return a player's positions at 25 Hz, heart rate and RR intervals."""
    rng = np.random.default_rng(seed)
    seconds = minutes * 60
    count = seconds * 25
    speed = np.abs(2.5 + 3.5 * np.sin(np.arange(count) / 90 + seed) + rng.normal(0, 0.2, count))
    heading = np.cumsum(rng.normal(0, 0.05, count))
    path = np.cumsum(0.04 * speed[:, None] * np.column_stack((np.cos(heading), np.sin(heading))), axis=0)
    path += rng.normal(0, 0.03, path.shape)
    bpm = np.round(150 + 30 * np.sin(np.arange(seconds) / 200))
    rr_ms = np.round(400 + rng.normal(0, 10, int(seconds / 0.4)))
    who: dict[str, Any] = {"athlete": AthleteId(athlete), "sensor": SensorId(f"s-{athlete}")}
    ticks = START_NS + np.arange(count) * 40 * NS_PER_MS + rng.integers(0, 5 * NS_PER_MS, count)
    return [
        readings("position", np.column_stack((path, np.ones(count))), times_ns=ticks, **who),
        readings("heart_rate", np.column_stack((bpm, np.ones(seconds), np.full(seconds, np.nan))), **who),
        readings("rr", rr_ms[:, None], times_ns=START_NS + np.cumsum(rr_ms * 1e6).astype(np.int64), **who),
    ]


def minute_blocks(block: Readings) -> Iterator[Readings]:
    """Yield a block in parts of a minute, as a store gives them back."""
    minute = block.time_ns // _MINUTE_NS
    edges = [0, *(np.flatnonzero(np.diff(minute)) + 1).tolist(), len(block)]
    for start, end in itertools.pairwise(edges):
        yield select(block, slice(start, end))


def replay(minutes: int) -> tuple[dict[str, Any], Callable[[], None]]:
    """Return what is replayed, and the call that replays it."""
    names = [f"a{n:02d}" for n in range(PLAYERS)]
    blocks = [
        part for n, name in enumerate(names) for block in session(name, minutes, n) for part in minute_blocks(block)
    ]
    blocks.sort(key=lambda part: int(part.time_ns[0]))

    def run() -> None:
        windower = Windower(size_ns=_MINUTE_NS)
        trackers = {AthleteId(name): MetricTracker(known(name)) for name in names}
        for block in blocks:
            for window in windower.push(block):
                trackers[window.athlete].update(window)
        for window in windower.flush():
            trackers[window.athlete].update(window)
        for tracker in trackers.values():
            values = tracker.values()
            assert values["distance@2"].coverage > 0.99
            assert values["rmssd@1"].coverage > 0.99
        assert not windower.late

    return {"readings": sum(map(len, blocks)), "players": PLAYERS, "minutes": minutes}, run


def live_frames(seconds: int) -> list[Frame]:
    """Return what 60 athletes' sensors send, in order of arrival."""
    frames: list[Frame] = []
    for athlete in range(ATHLETES):
        lag_ns = athlete * 613_000
        boot = f"{athlete:08x}"
        for i in range(seconds * 25):
            at_ns = i * 40 * NS_PER_MS + lag_ns
            x_mm = 1000 * athlete + 120 * i % 50_000
            body = encode_position(boot=boot, n=i, t_ns=START_NS + at_ns, x_mm=x_mm, y_mm=2000, quality=90)
            frames.append(_frame(f"tag-{athlete:02d}", "position", body, at_ns))
        for i in range(seconds):
            rr_1024 = (410, 415) if i % 2 else (412, 405, 420)
            body = encode_heart_rate_measurement(140 + i % 40, contact=True, rr_1024=rr_1024)
            frames.append(_frame(f"C0:00:00:00:00:{athlete:02X}", "2a37", body, i * NS_PER_S + lag_ns))
        for i in range(seconds * 10):
            samples = [(k * 37 % 900, k * 53 % 700, 1000 - k, 10, 20, 30) for k in range(10 * i, 10 * i + 10)]
            last_us = (10 * i + 9) * 10_000
            body = encode_samples(boot=1, first=10 * i, last_us=last_us, rate_hz=100, samples=samples)
            frames.append(_frame(f"pod-{athlete:02d}", SAMPLES, body, last_us * 1000 + lag_ns))
    return sorted(frames, key=lambda frame: frame.received.mono_ns)


def _frame(sensor: str, channel: str, body: bytes, at_ns: int) -> Frame:
    received = Stamp(utc_ns=START_NS + at_ns + 5 * NS_PER_MS, mono_ns=at_ns, boot_id="b")
    return Frame(sensor=SensorId(sensor), channel=channel, body=body, received=received)


def squad() -> Roster:
    """Return 60 athletes with a strap, a tag and a pod each."""
    return Roster(
        athletes=[roster_athlete(f"a{n:02d}", number=n) for n in range(ATHLETES)],
        assignments=[
            Assignment(sensor=sensor, athlete=f"a{n:02d}")
            for n in range(ATHLETES)
            for sensor in (f"C0:00:00:00:00:{n:02X}", f"tag-{n:02d}", f"pod-{n:02d}")
        ],
    )


def live(seconds: int) -> tuple[dict[str, Any], Callable[[], None]]:
    """Return what arrives, and the call that takes it."""
    frames = live_frames(seconds)
    batches: dict[int, list[Frame]] = {}
    for frame in frames:
        batches.setdefault(frame.received.mono_ns // BATCH_NS, []).append(frame)

    def run() -> None:
        intake = Intake(Wearers(squad()), "b")
        windower = Windower()
        athletes = {
            AthleteId(f"a{n:02d}"): AthleteLive(profile=known(f"a{n:02d}"), plan_m=6000.0) for n in range(ATHLETES)
        }
        for number, batch in batches.items():
            blocks, rejected = intake.take(batch)
            assert not rejected
            for window in windower.push(*blocks):
                athletes[window.athlete].metrics.update(window)
            if number % (NS_PER_S // BATCH_NS) == 0:
                for athlete in athletes.values():
                    athlete.refresh_totals(START_NS + number * BATCH_NS)
        assert not windower.late
        assert all(athlete.totals["distance_m"] > 0 for athlete in athletes.values())

    return {"frames": len(frames), "athletes": ATHLETES, "seconds": seconds}, run


def cpu_seconds(call: Callable[[], None], *, profiled: bool) -> float:
    """Return the CPU-seconds of a call, and print its costs where asked."""
    if profiled:
        with cProfile.Profile() as costs:
            call()
        pstats.Stats(costs).sort_stats("tottime").print_stats(25)
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    replayed, replay_all = replay(given.minutes)
    replayed["cpu_s"] = round(cpu_seconds(replay_all, profiled=given.profile), 2)
    arrived, take_all = live(given.seconds)
    arrived["cpu_s"] = round(cpu_seconds(take_all, profiled=given.profile), 2)
    arrived["core_percent"] = round(100 * arrived["cpu_s"] / given.seconds, 1)
    results = {"replay": replayed, "live": arrived}
    print(json.dumps(results, indent=1))
    if given.json:
        given.json.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
