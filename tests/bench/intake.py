"""What a frame costs between source and store, and on the way to the tablet: CPU-microseconds a frame, in one process.

`athletes`: 60 athletes, 1,500 positions, 60 heart rates with RR and 600 IMU frames of ten samples a second. `tags`:
60 position tags at 8,000 messages a second. `rush`: the same at 40,000. Frames come in turns, as the gateway takes
them. Stages: `intake` (decode, time, validate, wearer), `live` (windows, metrics, newest values), `second` (totals),
`map` (the graph, ten times a second) and `tiles` (what a tablet is sent, as JSON).

.venv/bin/python tests/bench/intake.py [--seconds 10] [--repeats 3] [--turn-ms 10] [--json FILE]
"""

import argparse
import asyncio
import hashlib
import itertools
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path

import msgspec

from edge.inference.runner import Runner
from edge.messages import TilePatch
from edge.pipeline.intake import Intake
from edge.pipeline.live import Live
from edge.pipeline.roster import Wearers
from edge.settings import SessionSettings
from firmware_sim.devices.position_tag import encode_position
from shared.clock import NS_PER_MS, NS_PER_S, ManualClock, Stamp
from shared.ids import SensorId
from shared.readings import Frame, Readings
from tests.bench.metrics import live_frames, squad
from tests.factories import START_NS

TAGS = 60
STAGES = ("intake", "live", "second", "map", "tiles")
_PER_SECOND = {"tags": 8_000, "rush": 40_000}


def tag_frames(per_s: int, seconds: int) -> list[Frame]:
    """Return what 60 tags publish, one after another, `per_s` together."""
    frames = []
    for k in range(per_s * seconds):
        n, tag = divmod(k, TAGS)
        at_ns = k * NS_PER_S // per_s
        x_mm, y_mm = 1000 + (n * 37 + tag * 1711) % 103_000, 1000 + (n * 23 + tag * 1109) % 66_000
        body = encode_position(boot=f"{tag:08x}", n=n, t_ns=START_NS + at_ns, x_mm=x_mm, y_mm=y_mm, quality=95)
        received = Stamp(utc_ns=START_NS + at_ns + 5 * NS_PER_MS, mono_ns=at_ns, boot_id="b")
        frames.append(Frame(sensor=SensorId(f"tag-{tag:02d}"), channel="position", body=body, received=received))
    return frames


def turns(frames: Sequence[Frame], turn_ns: int) -> list[list[Frame]]:
    """Return the frames that arrive together."""
    grouped = itertools.groupby(frames, key=lambda frame: frame.received.mono_ns // turn_ns)
    return [list(turn) for _, turn in grouped]


class Spent:
    """CPU-seconds by stage."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Count what runs inside."""
        began = time.process_time()
        yield
        self.seconds[stage] += time.process_time() - began


def run(batches: Sequence[Sequence[Frame]], digest: "hashlib._Hash | None" = None) -> Spent:
    """Pass batches of frames through intake and live path."""
    clock, spent = ManualClock(utc_ns=START_NS), Spent()
    wearers = Wearers(squad())
    intake, live = Intake(wearers, "b"), Live(wearers, SessionSettings(), [], Runner(clock), clock)
    last_ns = 0
    for frames in batches:
        now_ns = frames[-1].received.mono_ns
        clock.advance((now_ns - last_ns) / NS_PER_S)
        with spent.on("intake"):
            blocks, rejected = intake.take(frames)
        assert not rejected
        if digest is not None:
            add_to(digest, blocks)
        with spent.on("live"):
            live.take(blocks)
        with spent.on("tiles"):
            tiles = live.take_changed()
            msgspec.json.encode(TilePatch(sent_ns=now_ns, tiles=tiles))
        if digest is not None:
            digest.update(msgspec.json.encode(sorted(tiles, key=attrgetter("athlete"))))
        if now_ns // (NS_PER_S // 10) > last_ns // (NS_PER_S // 10):
            with spent.on("map"):
                live._team.graph()
        if now_ns // NS_PER_S > last_ns // NS_PER_S:
            with spent.on("second"):
                for _ in live.refreshing():
                    pass
        last_ns = now_ns
    if digest is not None:
        digest.update(msgspec.json.encode(asyncio.run(live.summaries(clock.utc_ns()))))
        for sensor, counts in sorted(intake.counts.items()):
            digest.update(
                f"{sensor} {counts.frames} {counts.implausible} {counts.duplicates} {counts.last_ns}".encode()
            )
    assert not live.late
    return spent


def add_to(digest: "hashlib._Hash", blocks: Sequence[Readings]) -> None:
    """Count every bit of the blocks in: what is faster gives the same readings."""
    for block in blocks:
        names = (block.sensor, block.stream, block.origin, block.athlete, block.clocks and block.clocks.boot)
        digest.update(repr(names).encode())
        for column in (block.sequence, block.time_ns, block.values, block.quality):
            digest.update(column.tobytes())
        if block.clocks is not None:
            digest.update(block.clocks.device_ns.tobytes() + block.clocks.mono_ns.tobytes())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--turn-ms", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results = {}
    for load in ("athletes", *_PER_SECOND):
        frames = live_frames(given.seconds) if load == "athletes" else tag_frames(_PER_SECOND[load], given.seconds)
        batches = turns(frames, round(given.turn_ms * NS_PER_MS))
        digest = hashlib.sha256()
        run(batches, digest)
        runs = [run(batches) for _ in range(given.repeats)]
        row = {
            stage: round(statistics.median(spent.seconds[stage] for spent in runs) / len(frames) * 1e6, 2)
            for stage in STAGES
        }
        results[load] = {
            "frames": len(frames),
            "us_a_frame": row,
            "cpu_s_per_100k": round(sum(row.values()) / 10, 2),
            "digest": digest.hexdigest()[:16],
        }
        print(load, results[load], flush=True)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
