"""One training of the trajectory model, from recordings to a model and its card on disk."""

import hashlib
from pathlib import Path

import msgspec
import torch

from cloud.datasets.positions import Recording, read_recordings, table_recordings
from cloud.settings import Layout
from cloud.training.artifacts import Artifacts, Trained
from cloud.training.evaluate import baselines, calibrate, evaluate
from cloud.training.export import Arrays, check_golden, golden_vectors
from cloud.training.graph_data import Moments, recordings_digest, split
from cloud.training.graph_export import INPUTS, OPSET, OUTPUTS, TOLERANCE_M, check_parity, run_torch, to_onnx
from cloud.training.graph_fit import fit
from cloud.training.graph_model import TrajectoryModel
from cloud.training.jobs import run_tags
from cloud.training.provenance import code_version
from cloud.training.settings import TrajectorySettings
from cloud.training.tracker import ExperimentTracker
from shared.clock import NS_PER_S, Clock
from shared.features.team import TEAM_GRAPH
from shared.model_card import GoldenVector, ModelCard

NAME = "trajectory"
LATENCY_BUDGET_MS = 20.0
_GOLDEN_MOMENTS = 2
INTENDED_USE = (
    "Forecasts where athletes and the ball will be in the next two seconds, with a region that should hold 80 % of "
    "what happens, to be drawn on a map of the field. Learnt from simulated squads unless the data set says otherwise; "
    "the errors here are those of such squads. Not for judging an athlete."
)


def run_trajectory(
    layout: Layout, clock: Clock, files: list[Path], settings: TrajectorySettings, *, track: bool = True
) -> Trained:
    """Fit, calibrate, measure, export and check the model, and write it as the next version.

    Raises: ConfigError when a file cannot be read; ModelIncompatible when there is too little data or the exported
    model differs from the trained one.
    """
    recordings = read(layout, files)
    digest = recordings_digest(recordings)
    data_set = f"{NAME}@{'files' if files else 'positions'}"
    fitting, calibration, test = split(recordings)
    parameters = msgspec.to_builtins(settings) | {
        "sessions": len(recordings),
        "fit_moments": len(fitting),
        "calibration_moments": len(calibration),
        "test_moments": len(test),
    }
    with ExperimentTracker(layout) as tracker:
        if track:
            tracker.start_run(NAME, run_tags(data_set, digest, TEAM_GRAPH.schema_hash, settings.seed))
        tracker.log_parameters(parameters)
        began_ns = clock.mono_ns()
        model, steps = fit(fitting, settings, clock)
        seconds = (clock.mono_ns() - began_ns) / NS_PER_S
        calibrate(model, calibration)
        metrics, baseline = evaluate(model, test), baselines(model, test)
        parameters |= {"steps_taken": steps, "weights": sum(part.numel() for part in model.parameters())}
        exported = to_onnx(model)
        metrics["parity_m"] = check_parity(model, exported, seed=settings.seed)
        card = _card(model, exported, test, metrics, baseline, data_set, digest, settings, clock, Artifacts(layout))
        folder = Artifacts(layout).write(card, exported)
        tracker.log_metrics(metrics)
        tracker.log_metrics({f"baseline.{name}": value for name, value in baseline.items()})
        tracker.save_model(folder, NAME)
    return Trained(card=card, folder=folder, seconds=seconds, parameters=parameters)


def read(layout: Layout, files: list[Path]) -> list[Recording]:
    """Return the sessions of `files`, or of the table of positions when there are none."""
    if not files:
        return table_recordings(layout)
    return [recording for path in files for recording in read_recordings(path)]


def _card(
    model: TrajectoryModel,
    exported: bytes,
    test: Moments,
    metrics: dict[str, float],
    baseline: dict[str, float],
    data_set: str,
    digest: str,
    settings: TrajectorySettings,
    clock: Clock,
    artifacts: Artifacts,
) -> ModelCard:
    card = ModelCard(
        name=NAME,
        version=artifacts.next_version(NAME),
        feature_set=TEAM_GRAPH.set_id,
        feature_hash=TEAM_GRAPH.schema_hash,
        sha256=hashlib.sha256(exported).hexdigest(),
        opset=OPSET,
        inputs=list(INPUTS),
        outputs=list(OUTPUTS),
        golden=_golden(model, test),
        golden_tolerance=TOLERANCE_M,
        latency_budget_ms=LATENCY_BUDGET_MS,
        thresholds={"region": 0.8},
        metrics=metrics,
        baseline=baseline,
        data_set=data_set,
        data_digest=digest,
        code_version=code_version(),
        seed=settings.seed,
        trained_ns=clock.utc_ns(),
        intended_use=INTENDED_USE,
    )
    check_golden(exported, card)
    return card


def _golden(model: TrajectoryModel, test: Moments) -> list[GoldenVector]:
    """Return moments of the held-out sessions, one with a player masked, each a graph of its own."""
    cases: list[tuple[Arrays, Arrays]] = []
    for number in range(_GOLDEN_MOMENTS):
        index = (number + 1) * len(test) // (_GOLDEN_MOMENTS + 1)
        batch = test.gather(torch.tensor([index]).numpy())
        mask = batch.mask.clone()
        if number and mask.shape[1] > 1:
            mask[0, 0] = 0.0
        history = batch.history * mask[..., None, None]
        inputs = {"history": history.numpy(), "team": batch.team.numpy(), "mask": mask.numpy()}
        cases.append((inputs, run_torch(model, inputs)))
    return golden_vectors(cases)
