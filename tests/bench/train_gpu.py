"""Graphs per second of training: batch sizes, eager and compiled, beside loading by PyG's collation; time to the bar.

Run: python -m tests.bench.train_gpu [--device cuda|cpu] [--data FOLDER] [--minutes 10]. Without a GPU it says so and
ends; `--device cpu` is a small version of the same. `--data` (recordings of games) measures how long fitting takes to
the bar: the error on held-out games in shares of the linear forecast's; without it games are made up and only speed is
measured.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch_geometric.data import Batch

from cloud.datasets.public.read import read_scenes
from cloud.datasets.scenes import Field, Scenes
from cloud.training.trajectory.augment import augment
from cloud.training.trajectory.fitting import Options, fit
from cloud.training.trajectory.graph import moment
from cloud.training.trajectory.linear import fit_linear
from cloud.training.trajectory.losses import loss
from cloud.training.trajectory.model import TrajectoryModel
from cloud.training.trajectory.moments import Moments, of_scenes
from cloud.training.trajectory.settings import TrajectorySettings, read_config
from cloud.training.trajectory.split import split_scenes
from cloud.training.trajectory.validation import SCORE
from shared.clock import SystemClock
from shared.features.field import FIELD_GRAPH

SIZES = {"cuda": (512, 2048, 8192), "cpu": (32, 64)}
SECONDS = {"cuda": 10.0, "cpu": 4.0}
BAR = 0.80
PRECISION = {"32-true": None, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def made_up(plays: int, steps: int = 80, players: int = 22) -> Scenes:
    """Return plays of people who run about, and a ball: enough to time training with."""
    rng = np.random.default_rng(1)
    frames = plays * steps
    speed = np.cumsum(rng.normal(0, 0.3, (plays, steps, players + 1, 2)), axis=1)
    xy_m = (rng.uniform(20, 40, (plays, 1, players + 1, 2)) + np.cumsum(speed * 0.1, axis=1)).reshape(frames, -1, 2)
    team = np.tile(np.array([0, 1] * (players // 2) + [-1], np.int8), (plays, 1))
    first = np.arange(plays + 1, dtype=np.int64) * steps
    nowhere = np.full(plays, -1, np.int64)
    return Scenes(
        field=Field(length_m=109.728, width_m=48.768),
        game=np.array([f"g{play}" for play in range(plays)]),
        play=np.full(plays, "1"),
        first=first,
        xy_m=xy_m.astype(np.float32),
        velocity_mps=np.full_like(xy_m, np.nan, np.float32),
        facing_rad=np.full(xy_m.shape[:2], np.nan, np.float32),
        team=team,
        role=np.zeros_like(team),
        player=np.full(team.shape, "p"),
        begin=first[:-1] + 10,
        end=first[1:] - 1,
        thrown=nowhere,
        arrived=nowhere,
        leftwards=np.zeros(plays, np.bool_),
        coverage=np.full(plays, -1, np.int8),
    )


def timed(step: Callable[[], object], graphs: int, seconds: float, device: str) -> float:
    """Return graphs per second of a step, after some to warm up."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(5 if device == "cuda" else 2):
        step()
    wait()
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        step()
        count += 1
        if count % 20 == 0:
            wait()
    wait()
    return count * graphs / (time.perf_counter() - began)


def stepper(moments: Moments, settings: TrajectorySettings, device: str) -> Callable[[], object]:
    """Return one step of training: draw, augment, forward, backward, weights."""
    torch.manual_seed(0)
    model = TrajectoryModel(settings, *fit_linear(moments, 0), moments.field).to(device)
    run = torch.compile(model) if settings.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    starts = torch.from_numpy(moments.starts).to(device)
    kind = PRECISION[settings.precision]

    def step() -> None:
        drawn = moments.at(starts[torch.randint(len(starts), (settings.batch,), device=device)])
        batch, turn = augment(drawn, settings, moments.field)
        with torch.autocast(device, kind or torch.bfloat16, enabled=kind is not None):
            answer = run(batch.history, batch.role, batch.team, batch.mask, turn)
        loss(settings, model.spread, batch, answer).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def collation(moments: Moments, graphs: int, seconds: float) -> dict[str, float]:
    """Return graphs per second of loading alone: PyG's collation of graphs, and gathering by index."""
    batch = moments.gather(np.arange(graphs) % len(moments))
    ready = [moment(batch, index) for index in range(graphs)]
    picked = torch.from_numpy(moments.starts[np.arange(graphs) % len(moments)])
    return {
        "pyg": round(timed(lambda: Batch.from_data_list(ready), graphs, seconds, "cpu")),
        "gathered": round(timed(lambda: moments.at(picked), graphs, seconds, "cpu")),
    }


def to_the_bar(scenes: Scenes, settings: TrajectorySettings) -> dict[str, object]:
    """Return the minutes until fitting reached the bar on held-out games, None where it did not, and the curve."""
    parts = split_scenes(scenes, FIELD_GRAPH, earlier_cut=settings.earlier_cut)
    with tempfile.TemporaryDirectory() as folder:
        found = fit(
            parts.fitting, settings, SystemClock(), validation=parts.calibration, options=Options(folder=Path(folder))
        ).found
    reached = [metrics["minutes"] for _, metrics in found if metrics[SCORE] <= BAR]
    curve = [[round(metrics["minutes"], 2), round(metrics[SCORE], 4)] for _, metrics in found]
    return {"bar": BAR, "minutes_to_bar": reached[0] if reached else None, "curve": curve}


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--no-compile", action="store_true")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("skipped: there is no CUDA device here; --device cpu runs a small version")
        return
    torch.set_num_threads(1)
    settings = msgspec.structs.replace(read_config("production"), max_minutes=chosen.minutes)
    scenes = read_scenes(chosen.data).scenes if chosen.data else made_up(200 if chosen.device == "cuda" else 10)
    report: dict[str, object] = {"device": chosen.device, "torch": torch.__version__}
    cpu = of_scenes(scenes, FIELD_GRAPH)
    seconds = SECONDS[chosen.device]
    report["loading_graphs_per_s"] = collation(cpu, 512 if chosen.device == "cuda" else 64, seconds)
    moments = cpu.to(torch.device(chosen.device))
    for size in SIZES[chosen.device]:
        for compiled in (False, *(() if chosen.no_compile else (True,))):
            shape = msgspec.structs.replace(settings, batch=size, compile=compiled)
            name = f"batch_{size}_{'compiled' if compiled else 'eager'}_graphs_per_s"
            report[name] = round(timed(stepper(moments, shape, chosen.device), size, seconds, chosen.device))
            print(name, report[name], flush=True)
    if chosen.data:
        batch = SIZES[chosen.device][1]
        report["fitting"] = to_the_bar(
            scenes, msgspec.structs.replace(settings, batch=batch, compile=not chosen.no_compile)
        )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
