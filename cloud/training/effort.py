"""One training of the effort model, from rows to a model and its card on disk."""

import hashlib

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from cloud.datasets.card import DatasetCard
from cloud.datasets.rows import EffortRows
from cloud.training.artifacts import Artifacts, Trained
from cloud.training.export import check_golden, golden_vectors
from cloud.training.provenance import code_version
from cloud.training.tabular import ReserveRegressor, check_enough, fit
from cloud.training.tabular_export import INPUT, OPSET, OUTPUT, check_parity, to_onnx
from cloud.training.tabular_metrics import evaluate
from shared.clock import NS_PER_S, Clock
from shared.features.athlete import ATHLETE_EFFORT
from shared.model_card import GoldenVector, ModelCard

NAME = "effort"
LATENCY_BUDGET_MS = 5.0
UNUSUAL_RESIDUAL = 2.5
"""How many standard deviations between measured and expected heart rate are called unusual."""
GOLDEN_TOLERANCE_BPM = 1e-3
_GOLDEN_ROWS = 8
_MOVEMENT = ("speed_mean_", "power_mean_")
INTENDED_USE = (
    "Expects an athlete's heart rate (bpm) from the last two minutes of movement, to show a coach when the measured "
    "one is unusual for this effort. Made for team sports outdoors, adults, chest straps and position tags at 10 Hz. "
    "Learnt from the data set named here, simulated squads where that is `effort@files`. Not a medical assessment; no "
    "decision is left to it."
)


def train_effort(rows: EffortRows, data: DatasetCard, *, artifacts: Artifacts, clock: Clock, seed: int) -> Trained:
    """Fit, measure, export and check the model, and write it as the next version.

    Raises: ModelIncompatible when there is too little data or the exported model differs from the trained one.
    """
    check_enough(rows)
    # On a busy machine scikit-learn's threads wait for each other far longer than one thread would have worked.
    with threadpool_limits(1):
        return _train(rows, data, artifacts, clock, seed)


def _train(rows: EffortRows, data: DatasetCard, artifacts: Artifacts, clock: Clock, seed: int) -> Trained:
    began_ns = clock.mono_ns()
    fitted = fit(rows, seed=seed)
    metrics, baseline = evaluate(fitted.model, rows, seed=seed)
    exported = to_onnx(fitted.model)
    metrics["parity_bpm"] = check_parity(fitted.model, exported, rows, seed=seed)
    version = artifacts.next_version(NAME)
    card = ModelCard(
        name=NAME,
        version=version,
        feature_set=data.feature_set,
        feature_hash=data.feature_hash,
        sha256=hashlib.sha256(exported).hexdigest(),
        opset=OPSET,
        inputs=[INPUT],
        outputs=[OUTPUT],
        golden=_golden(fitted.model, rows),
        golden_tolerance=GOLDEN_TOLERANCE_BPM,
        latency_budget_ms=LATENCY_BUDGET_MS,
        thresholds={"residual_sd_bpm": metrics["residual_sd_bpm"], "unusual_residual": UNUSUAL_RESIDUAL},
        ranges=_ranges(rows),
        metrics=metrics,
        baseline=baseline,
        data_set=data.reference,
        data_digest=data.digest,
        code_version=code_version(),
        seed=seed,
        trained_ns=clock.utc_ns(),
        intended_use=INTENDED_USE,
    )
    check_golden(exported, card)
    folder = artifacts.write(card, exported)
    seconds = (clock.mono_ns() - began_ns) / NS_PER_S
    parameters = {"estimator": fitted.name, "rows": data.rows, "athletes": data.athletes} | {
        f"cross_validation_mae_bpm.{name}": value for name, value in fitted.scores.items()
    }
    return Trained(card=card, folder=folder, seconds=seconds, parameters=parameters)


def _ranges(rows: EffortRows) -> dict[str, tuple[float, float]]:
    """Return the movement that the model was fitted on; time and distance only ever grow, and are left out."""
    fitted = rows.where(~rows.held_out).features
    movement = [(i, name) for i, (name, _) in enumerate(ATHLETE_EFFORT.features) if name.startswith(_MOVEMENT)]
    return {name: (float(fitted[:, i].min()), float(fitted[:, i].max())) for i, name in movement}


def _golden(model: ReserveRegressor, rows: EffortRows) -> list[GoldenVector]:
    """Return evenly spread held-out rows with what the trained model says."""
    held_out = rows.where(rows.held_out)
    picked = np.linspace(0, len(held_out) - 1, _GOLDEN_ROWS).astype(int)
    features = held_out.features[picked]
    return golden_vectors([({INPUT: features}, {OUTPUT: model.predict(features)[:, None]})])
