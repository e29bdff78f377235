"""How far explanations by batched occlusion, as gateways can afford them, agree with SHAP values of the same file.

Run: python tests/bench/explain.py --model MODEL_FOLDER --task readiness --data PATH [--rows 100]. The model comes from
`python -m cloud train`; rows are those held out. Spearman is over a row's features, top-3 the share of the three
largest that both name; latency is one explained row against one predicted row.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from cloud.training.tabular.explain import shap_values
from cloud.training.tabular.sources import read_source
from edge.inference.explain import BACKGROUND, KIND, PROBABILITY, explain
from edge.inference.session import load_model

TOP = 3


def milliseconds(call: Callable[[], object], repeats: int = 100) -> float:
    """Return the median milliseconds of a call."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--rows", type=int, default=100)
    asked = parser.parse_args()
    model = load_model(asked.model)
    about = model.session.get_modelmeta().custom_metadata_map
    background = np.array(json.loads(about[BACKGROUND]), np.float32)
    _, rows, _ = read_source(asked.task, asked.data)
    held_out = rows.features[rows.held_out]
    chosen = held_out[np.linspace(0, len(held_out) - 1, asked.rows).astype(int)]
    body = (asked.model / "model.onnx").read_bytes()
    shap = shap_values(body, chosen, background, probability=about[KIND] == PROBABILITY, seed=0)
    names = [name for name, _ in model.features.features]
    found = [dict(explain(model, row).parts) for row in chosen]
    occlusion = np.array([[parts[name] for name in names] for parts in found])
    ranks = [spearmanr(a, b).statistic for a, b in zip(occlusion, shap, strict=True)]
    largest = [[set(np.argsort(-np.abs(part))[:TOP]) for part in pair] for pair in zip(occlusion, shap, strict=True)]
    row = chosen[0]
    report = {
        "model": model.card.name,
        "rows": asked.rows,
        "background_rows": len(background),
        "spearman": round(float(np.nanmean(ranks)), 3),
        "top3": round(float(np.mean([len(a & b) / TOP for a, b in largest])), 3),
        "explained_ms": round(milliseconds(lambda: explain(model, row)), 3),
        "predicted_ms": round(milliseconds(lambda: model.run({"features": row[None]})), 4),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
