"""Graphs per second of trajectory models on one CPU thread, interleaved: ONNX Runtime, int8, torch, sparse backend.

Run: python -m tests.bench.trajectory [--repeats 9] [--players 23] [--config production]. Speed does not depend on the
weights, so that fresh ones of the configuration's shape are used.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import msgspec
import torch

from cloud.datasets.scenes import Field
from cloud.training.export import OnnxModel
from cloud.training.trajectory.export import exportable, sample, to_int8, to_onnx
from cloud.training.trajectory.model import TrajectoryModel
from cloud.training.trajectory.settings import TrajectorySettings, read_config
from shared.features.field import FIELD_GRAPH
from shared.features.team import TEAM_GRAPH

FIELD = Field(length_m=109.728, width_m=48.768)
SECONDS_A_REPEAT = 0.4


def rate(call: Callable[[], object], seconds: float = SECONDS_A_REPEAT) -> float:
    """Return calls per second, over about `seconds`."""
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        for _ in range(20):
            call()
        count += 20
    return count / elapsed


def made(settings: TrajectorySettings) -> TrajectoryModel:
    """Return a model of the settings' shape with fresh weights."""
    on_field = settings.inputs == FIELD_GRAPH.set_id
    moves, steps = (21, 40) if on_field else (10, 20)
    return TrajectoryModel(
        settings, torch.zeros(2, moves, steps), torch.ones(2, steps), FIELD if on_field else None
    ).eval()


def arms(settings: TrajectorySettings, players: int) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name: one call answers one graph."""
    features = FIELD_GRAPH if settings.inputs == FIELD_GRAPH.set_id else TEAM_GRAPH
    inputs = sample(1, players, seed=1, features=features)
    model = made(settings)
    exported = to_onnx(model)
    full, small = OnnxModel(exported), OnnxModel(to_int8(exported))
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    dense = exportable(model)
    sparse = made(msgspec.structs.replace(settings, backend="sparse"))
    roles = tensors.get("role", torch.zeros_like(tensors["team"]))

    def run_torch() -> None:
        with torch.inference_mode():
            dense(*tensors.values())

    def run_sparse() -> None:
        with torch.inference_mode():
            sparse(tensors["history"], roles, tensors["team"], tensors["mask"])

    return {
        "onnx": lambda: full.run(inputs),
        "onnx_int8": lambda: small.run(inputs),
        "torch": run_torch,
        "torch_sparse": run_sparse,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--players", type=int, default=23)
    parser.add_argument("--config", default="production")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    settings = read_config(chosen.config)
    measured = arms(settings, chosen.players)
    for call in measured.values():
        rate(call, 0.3)
    rounds = [{name: rate(call) for name, call in measured.items()} for _ in range(chosen.repeats)]
    report: dict[str, object] = {
        "config": chosen.config,
        "players": chosen.players,
        "weights": sum(part.numel() for part in made(settings).parameters()),
    }
    for name in measured:
        rates = [found[name] for found in rounds]
        report[f"{name}_graphs_per_s"] = round(statistics.median(rates))
        report[f"{name}_best_graphs_per_s"] = round(max(rates))
        report[f"{name}_to_torch"] = round(statistics.median(found[name] / found["torch"] for found in rounds), 2)
    report["ratio"] = report["onnx_to_torch"]
    print(json.dumps(report))


if __name__ == "__main__":
    main()
