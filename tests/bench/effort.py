"""One row through the effort model: ONNX Runtime against scikit-learn, one thread, interleaved.

Run: python tests/bench/effort.py [--repeats 9]. Rows and heart rates are made up; the estimator is the shipped kind.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from cloud.datasets.rows import FEATURES
from cloud.training.export import OnnxModel
from cloud.training.tabular.effort import EFFORT
from cloud.training.tabular.export import INPUT, to_onnx
from cloud.training.tabular.model import TabularModel
from shared.model_card import read_card

SHIPPED = Path(__file__).parents[2] / "deployment" / "models" / "effort"
ROWS = 5000
SECONDS_A_REPEAT = 0.3


def microseconds(call: Callable[[], object], seconds: float = SECONDS_A_REPEAT) -> float:
    """Return microseconds per call, over about `seconds`."""
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        for _ in range(10):
            call()
        count += 10
    return elapsed / count * 1e6


def trained() -> tuple[TabularModel, np.ndarray]:
    """Return a fitted estimator of the kind that ships, and its rows."""
    rng = np.random.default_rng(1)
    features = rng.uniform(0, 6, (ROWS, len(FEATURES))).astype(np.float32)
    features[:, -2], features[:, -1] = rng.uniform(45, 65, ROWS), rng.uniform(175, 205, ROWS)
    share = 0.2 + 0.1 * features[:, 2] + 0.02 * np.sin(features[:, 7]) * features[:, 4]
    hr_bpm = features[:, -2] + share * (features[:, -1] - features[:, -2])
    return EFFORT.make("gradient_boosting", 0, []).fit(features, hr_bpm.astype(np.float32)), features


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    model, features = trained()
    exported = OnnxModel(to_onnx(model, features=len(FEATURES), name="effort", metadata={}))
    shipped = OnnxModel((SHIPPED / "model.onnx").read_bytes())
    golden = read_card(SHIPPED / "card.json").golden[0].inputs[INPUT].array()[:1]
    row = features[:1]
    calls = (lambda: exported.run({INPUT: row}), lambda: model.predict(row), lambda: shipped.run({INPUT: golden}))
    with threadpool_limits(1):
        for call in calls:
            microseconds(call, 0.1)
        rounds = [tuple(microseconds(call) for call in calls) for _ in range(repeats)]
    ratios = [sklearn / onnx for onnx, sklearn, _ in rounds]
    report = {
        "repeats": repeats,
        "onnx_us": round(statistics.median(times[0] for times in rounds), 1),
        "shipped_onnx_us": round(statistics.median(times[2] for times in rounds), 1),
        "sklearn_us": round(statistics.median(times[1] for times in rounds), 1),
        "ratio": round(statistics.median(ratios), 1),
        "ratio_lowest": round(min(ratios), 1),
        "ratio_highest": round(max(ratios), 1),
    }
    print(
        f"one row: {report['onnx_us']} us in ONNX Runtime ({report['shipped_onnx_us']} us the shipped file), "
        f"{report['sklearn_us']} us in scikit-learn: {report['ratio']}x "
        f"({report['ratio_lowest']}-{report['ratio_highest']})"
    )
    print(json.dumps(report))


if __name__ == "__main__":
    main()
