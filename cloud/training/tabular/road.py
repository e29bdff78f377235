"""The one road of all models on tables: fit, calibrate, measure beside bars, export, check, explain, write the card."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from cloud.datasets.card import DatasetCard
from cloud.datasets.task_rows import TaskRows
from cloud.training.artifacts import Artifacts, Trained
from cloud.training.export import check_golden, golden_vectors
from cloud.training.provenance import code_version
from cloud.training.tabular.explain import Explanation, permutation_importance, shap_values
from cloud.training.tabular.export import INPUT, OPSET, OUTPUT, to_onnx
from cloud.training.tabular.fitting import Fitted, check_enough, fit
from cloud.training.tabular.measuring import measure
from cloud.training.tabular.model import TabularModel
from cloud.training.tabular.parity import check_parity
from cloud.training.tabular.task import Task
from shared.clock import NS_PER_S, Clock
from shared.model_card import GoldenVector, ModelCard

LATENCY_BUDGET_MS = 5.0
EXPLANATION_FILE = "explanation.json"
BACKGROUND_ROWS = 24
_GOLDEN_ROWS = 8
_GOLDEN_TOLERANCE = 1e-5
_EXPLAINED_ROWS = 40


def train(
    task: Task, rows: TaskRows, data: DatasetCard, *, artifacts: Artifacts, clock: Clock, seed: int, explain: bool
) -> Trained:
    """Fit, measure, export and check a model, and write it as the next version; `explain` adds a file beside it.

    Raises: ModelIncompatible when there is too little data or the exported model differs from the trained one.
    """
    check_enough(task, rows)
    # On a busy machine scikit-learn's threads wait for each other far longer than one thread would have worked.
    with threadpool_limits(1):
        return _train(task, rows, data, artifacts, clock, seed, explain=explain)


def _train(
    task: Task, rows: TaskRows, data: DatasetCard, artifacts: Artifacts, clock: Clock, seed: int, *, explain: bool
) -> Trained:
    began_ns = clock.mono_ns()
    training, held_out = rows.where(~rows.held_out), rows.where(rows.held_out)
    fitted = fit(task, training, seed=seed)
    metrics, baseline = measure(task, fitted, rows, seed=seed)
    metadata = _metadata(task, training, data, seed) | {"metrics": _json(metrics), "baseline": _json(baseline)}
    exported = to_onnx(fitted.model, features=rows.features.shape[1], name=task.name, metadata=metadata)
    metrics["parity"] = check_parity(
        fitted.model, exported, rows.features, span=task.span, seed=seed, categories=task.categories
    )
    card = ModelCard(
        name=task.name,
        version=artifacts.next_version(task.name),
        feature_set=data.feature_set,
        feature_hash=data.feature_hash,
        sha256=hashlib.sha256(exported).hexdigest(),
        opset=OPSET,
        inputs=[INPUT],
        outputs=[OUTPUT],
        golden=_golden(fitted.model, held_out.features),
        golden_tolerance=_GOLDEN_TOLERANCE * task.span,
        latency_budget_ms=LATENCY_BUDGET_MS,
        thresholds=_thresholds(task, metrics),
        ranges=_ranges(task, training),
        metrics=metrics,
        baseline=baseline,
        data_set=data.reference,
        data_digest=data.digest,
        code_version=code_version(),
        seed=seed,
        trained_ns=clock.utc_ns(),
        intended_use=task.intended_use,
    )
    check_golden(exported, card)
    folder = artifacts.write(card, exported)
    if explain:
        _write_explanation(task, fitted.model, exported, rows, folder, seed)
    seconds = (clock.mono_ns() - began_ns) / NS_PER_S
    return Trained(card=card, folder=folder, seconds=seconds, parameters=_parameters(fitted, data))


def _metadata(task: Task, training: TaskRows, data: DatasetCard, seed: int) -> dict[str, str]:
    """Return what the file says about itself; every value is text, most of it JSON."""
    return {
        "name": task.name,
        "feature_set": data.feature_set,
        "feature_hash": data.feature_hash,
        "features": _json(task.feature_set.features),
        "kind": "probability" if task.probability else "quantity",
        "unit": task.unit or "1",
        "metric": task.metric,
        "data_set": data.reference,
        "data_digest": data.digest,
        "trained_until_ns": str(int(training.time_ns.max())),
        "background": _json(_background(training)),
        "seed": str(seed),
        "intended_use": task.intended_use,
    }


def _background(training: TaskRows) -> list[list[float | None]]:
    """Return evenly spread training rows, null where a value is unknown."""
    rows = training.features[_spread(len(training), BACKGROUND_ROWS)]
    return [[None if np.isnan(value) else float(value) for value in row] for row in rows]


def _write_explanation(
    task: Task, model: TabularModel, exported: bytes, rows: TaskRows, folder: Path, seed: int
) -> None:
    training, held_out = rows.where(~rows.held_out), rows.where(rows.held_out)
    background = training.features[_spread(len(training), BACKGROUND_ROWS)]
    explained = held_out.features[_spread(len(held_out), _EXPLAINED_ROWS)]
    values = shap_values(exported, explained, background, probability=task.probability, seed=seed)
    names = [name for name, _ in task.feature_set.features]
    mean = dict(zip(names, np.abs(values).mean(axis=0).tolist(), strict=True))
    explanation = Explanation(
        unit=task.unit or "log odds",
        importance=permutation_importance(task, model, held_out, seed=seed),
        mean_shap=dict(sorted(mean.items(), key=lambda item: -item[1])),
    )
    (folder / EXPLANATION_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(explanation), indent=1) + b"\n")


def _golden(model: TabularModel, held_out: NDArray[np.float32]) -> list[GoldenVector]:
    """Return evenly spread held-out rows without gaps in them, with what the trained model says."""
    whole = held_out[np.isfinite(held_out).all(axis=1)]
    features = whole if len(whole) else np.nan_to_num(held_out)
    picked = features[_spread(len(features), _GOLDEN_ROWS)]
    return golden_vectors([({INPUT: picked}, {OUTPUT: model.predict(picked)[:, None]})])


def _ranges(task: Task, training: TaskRows) -> dict[str, tuple[float, float]]:
    """Return what the model was fitted on, of the features that the task names."""
    named = [name for name, _ in task.feature_set.features if name.startswith(task.ranged) and task.ranged]
    return {name: (float(training.feature(name).min()), float(training.feature(name).max())) for name in named}


def _thresholds(task: Task, metrics: Mapping[str, float]) -> dict[str, float]:
    spread = {} if task.probability else {f"residual_sd_{task.unit}": metrics[f"residual_sd_{task.unit}"]}
    return {**spread, **task.thresholds}


def _parameters(fitted: Fitted, data: DatasetCard) -> dict[str, object]:
    scores = {f"cross_validation.{name}": value for name, value in fitted.scores.items()}
    return {"estimator": fitted.name, "rows": data.rows, "groups": data.athletes, **scores}


def _spread(count: int, wanted: int) -> NDArray[np.intp]:
    """Return at most `wanted` evenly spread indices below `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.intp))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
