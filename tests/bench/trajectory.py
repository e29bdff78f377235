"""Graphs per second of the shipped trajectory model: ONNX Runtime against torch, one thread, interleaved.

Run: python tests/bench/trajectory.py [--repeats 9] [--players 23]. The torch model has the shipped model's shape (its
configuration is read); speed does not depend on the weights.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from cloud.training.export import OnnxModel
from cloud.training.graph_export import INPUTS, sample
from cloud.training.graph_model import TrajectoryModel
from cloud.training.settings import read_config

SHIPPED = Path(__file__).parents[2] / "deployment" / "models" / "trajectory" / "model.onnx"
SECONDS_A_REPEAT = 0.4


def rate(call: Callable[[], object], seconds: float = SECONDS_A_REPEAT) -> float:
    """Return calls per second, over about `seconds`."""
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        for _ in range(20):
            call()
        count += 20
    return count / elapsed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--players", type=int, default=23)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    exported = OnnxModel(SHIPPED.read_bytes())
    model = TrajectoryModel(read_config("shipped"), torch.zeros(2, 10, 20), torch.ones(2, 20)).eval()
    inputs = sample(1, chosen.players, seed=1)
    tensors = [torch.from_numpy(inputs[name]) for name in INPUTS]

    def run_torch() -> None:
        with torch.inference_mode():
            model(*tensors)

    for warm in (run_torch, lambda: exported.run(inputs)):
        rate(warm, 0.3)
    rounds = [(rate(lambda: exported.run(inputs)), rate(run_torch)) for _ in range(chosen.repeats)]
    ratios = [onnx / eager for onnx, eager in rounds]
    report = {
        "players": chosen.players,
        "repeats": chosen.repeats,
        "onnx_graphs_per_s": round(statistics.median(onnx for onnx, _ in rounds)),
        "onnx_best_graphs_per_s": round(max(onnx for onnx, _ in rounds)),
        "torch_graphs_per_s": round(statistics.median(eager for _, eager in rounds)),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_lowest": round(min(ratios), 2),
        "ratio_highest": round(max(ratios), 2),
    }
    print(
        f"{report['onnx_graphs_per_s']} graphs/s in ONNX Runtime, {report['torch_graphs_per_s']} in torch: "
        f"{report['ratio']}x ({report['ratio_lowest']}-{report['ratio_highest']})"
    )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
