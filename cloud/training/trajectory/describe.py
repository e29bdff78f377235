"""What an exported trajectory model says of itself: its card, and the metadata inside the file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
import torch

from cloud.training.export import Arrays, check_golden, golden_vectors
from cloud.training.provenance import code_version, package_versions
from cloud.training.trajectory.export import OPSET, TOLERANCE_M, exportable, output_names, run_torch
from cloud.training.trajectory.model import TrajectoryModel
from cloud.training.trajectory.moments import GraphBatch, Moments
from cloud.training.trajectory.settings import TrajectorySettings
from shared.features.base import FeatureSet
from shared.features.team import BALL_TEAM, RATE_HZ
from shared.model_card import GoldenVector, ModelCard

LATENCY_BUDGET_MS = 20.0
_GOLDEN_MOMENTS = 2
_DRIFT_MOMENTS = 1000
_DECILES = np.linspace(0.0, 1.0, 11)
INTENDED_USE = (
    "Forecasts where athletes and the ball will be in the next {seconds:g} seconds, with a region that should hold "
    "80 % of what happens, to be drawn on a map of the field. Learnt from simulated squads unless the data set says "
    "otherwise; the errors here are those of such squads. Not for judging an athlete."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a model is made of: its name and version, the data set, the games it knows, and the settings."""

    name: str
    version: str
    data_set: str
    data_digest: str
    games: tuple[str, ...]
    settings: TrajectorySettings
    trained_ns: int


def metadata(
    model: TrajectoryModel, origin: Origin, fitting: Moments, golden: list[GoldenVector], metrics: Mapping[str, float]
) -> dict[str, str]:
    """Return what stands in the ONNX file; lists and tables as JSON."""
    features = fitting.features
    structured = {
        "units": dict(features.features),
        "inputs": [name for name, _ in features.inputs],
        "outputs": list(output_names(model)),
        "metrics": dict(metrics),
        "temperatures": model.temperature.tolist(),
        "drift_deciles": drift_deciles(fitting),
        "training_games": sorted(origin.games),
        "field_m": model.field.tolist() if model.on_field else None,
        "golden": msgspec.to_builtins(golden),
        "settings": msgspec.to_builtins(origin.settings),
        "packages": package_versions(),
    }
    plain = {
        "name": origin.name,
        "version": origin.version,
        "feature_set": features.set_id,
        "feature_hash": features.schema_hash,
        "feature_note": features.note,
        "rate_hz": str(RATE_HZ),
        "data_set": origin.data_set,
        "data_digest": origin.data_digest,
        "code_version": code_version(),
        "seed": str(origin.settings.seed),
        "trained_ns": str(origin.trained_ns),
        "intended_use": intended_use(features),
    }
    return plain | {name: json.dumps(value, sort_keys=True) for name, value in structured.items()}


def model_card(
    model: TrajectoryModel,
    exported: bytes,
    origin: Origin,
    features: FeatureSet,
    golden: list[GoldenVector],
    metrics: dict[str, float],
    baseline: dict[str, float],
) -> ModelCard:
    """Return the card of an exported model, after running its golden vectors.

    Raises: ModelIncompatible when the file does not give what the model gave.
    """
    card = ModelCard(
        name=origin.name,
        version=origin.version,
        feature_set=features.set_id,
        feature_hash=features.schema_hash,
        sha256=hashlib.sha256(exported).hexdigest(),
        opset=OPSET,
        inputs=[name for name, _ in features.inputs],
        outputs=list(output_names(model)),
        golden=golden,
        golden_tolerance=TOLERANCE_M,
        latency_budget_ms=LATENCY_BUDGET_MS,
        thresholds={"region": 0.8},
        metrics=metrics,
        baseline=baseline,
        data_set=origin.data_set,
        data_digest=origin.data_digest,
        code_version=code_version(),
        seed=origin.settings.seed,
        trained_ns=origin.trained_ns,
        intended_use=intended_use(features),
    )
    check_golden(exported, card)
    return card


def intended_use(features: FeatureSet) -> str:
    """Return what a model of this set is for."""
    return INTENDED_USE.format(seconds=dict(features.outputs)["offset"][0] / RATE_HZ)


def golden_moments(model: TrajectoryModel, test: Moments) -> list[GoldenVector]:
    """Return moments of held-out games, one with a player masked, each a graph of its own."""
    cases: list[tuple[Arrays, Arrays]] = []
    given = exportable(model)
    for number in range(_GOLDEN_MOMENTS):
        index = (number + 1) * len(test) // (_GOLDEN_MOMENTS + 1)
        batch = test.gather(torch.tensor([index]))
        mask = batch.mask.clone()
        if number and mask.shape[1] > 1:
            mask[0, 0] = 0.0
        batch = batch._replace(mask=mask, history=batch.history * mask[..., None, None])
        inputs = {name: getattr(batch, name).cpu().numpy() for name in given.inputs}
        cases.append((inputs, run_torch(model, inputs)))
    return golden_vectors(cases)


def drift_deciles(moments: Moments) -> dict[str, list[float]]:
    """Return deciles over the training moments of what a drift of the inputs would show in."""
    picked = np.unique(np.linspace(0, len(moments) - 1, min(_DRIFT_MOMENTS, len(moments))).astype(np.int64))
    return {name: np.quantile(values, _DECILES).round(4).tolist() for name, values in _watched(moments.gather(picked))}


def _watched(batch: GraphBatch) -> list[tuple[str, np.ndarray]]:
    here = (batch.mask > 0) & (batch.team != BALL_TEAM)
    last = batch.history[:, :, -1, :2]
    speed = (last - batch.history[:, :, -4, :2]).norm(dim=-1) * RATE_HZ / 3
    apart = torch.cdist(last, last).masked_fill(~(here[:, :, None] & here[:, None]), float("inf"))
    apart.diagonal(dim1=1, dim2=2).fill_(float("inf"))
    nearest = apart.min(-1).values[here]
    return [
        ("speed_mps", speed[here].cpu().numpy()),
        ("nearest_m", nearest[torch.isfinite(nearest)].cpu().numpy()),
        ("players", here.sum(1).cpu().numpy()),
    ]
