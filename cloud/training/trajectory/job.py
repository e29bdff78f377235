"""One training of the trajectory model, from recordings to a model and its card on disk."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import torch

from cloud.datasets.positions import Recording, read_recordings, table_recordings
from cloud.datasets.recorded_scenes import recorded_scenes
from cloud.datasets.scene_set import make_scene_set
from cloud.datasets.scenes import Scenes
from cloud.datasets.validate.check import validated
from cloud.evaluation.artifact import open_artifact
from cloud.evaluation.evaluate import evaluate_scenes
from cloud.evaluation.report import write_report
from cloud.outputs import prepare_file, prepare_folder
from cloud.settings import Layout
from cloud.training.artifacts import MODEL_FILE, Artifacts, Trained
from cloud.training.jobs import run_tags
from cloud.training.tracker import ExperimentTracker
from cloud.training.trajectory.describe import Origin, golden_moments, metadata, model_card
from cloud.training.trajectory.export import (
    INT8_TOLERANCE_M,
    check_module_parity,
    check_parity,
    to_int8,
    to_onnx,
    to_pt2,
    to_torchscript,
)
from cloud.training.trajectory.fitting import (
    Fitted,
    Options,
    Report,
    find_learning_rate,
    fit,
    is_leader,
    read_checkpoint,
)
from cloud.training.trajectory.measure import baselines, calibrate, evaluate
from cloud.training.trajectory.model import TrajectoryModel
from cloud.training.trajectory.settings import TrajectorySettings
from cloud.training.trajectory.split import Split, recordings_digest, split_recordings, split_scenes
from shared.clock import NS_PER_S, Clock
from shared.errors import ConfigError, ModelIncompatible
from shared.features.field import FIELD_GRAPH
from shared.features.registry import FEATURE_SETS
from shared.features.team import TEAM_GRAPH
from shared.log import get_logger
from shared.model_card import ModelCard

NAME = "trajectory"
NAMES = {TEAM_GRAPH.set_id: NAME, FIELD_GRAPH.set_id: FIELD_GRAPH.model}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where recordings come from: session `files`; or a `folder` in a public layout, of it some weeks; or neither,
    which is what gateways sent.
    """  # noqa: D205  one sentence

    files: Sequence[Path] = ()
    folder: Path | None = None
    weeks: Sequence[int] | None = None
    validate: bool = True
    """Whether rows that the sport's limits rule out are left out of a folder's games."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How to find the last settings, how to fit, and what to leave behind beside the ONNX model and its card."""

    max_epochs: int | None = None
    find_learning_rate: bool = False
    tune: int = 0
    """Trials, 0 for none."""
    options: Options = field(default_factory=Options)
    say: Report | None = None
    """Is told of every look at the validation games."""
    track: bool = True
    experiment: str | None = None
    onnx: Path | None = None
    torchscript: bool = False
    pt2: bool = False
    int8: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """All scenes, and where they are from."""

    scenes: Scenes
    path: str
    layout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Games:
    """What is learnt from: the moments by part, and what names them."""

    parts: Split
    data_set: str
    digest: str
    read: Read | None = None
    """None in all but the first of several training processes."""


def run_trajectory(
    layout: Layout, clock: Clock, source: Source, settings: TrajectorySettings, asked: Asked | None = None
) -> Trained | None:
    """Fit, calibrate, measure, export and check the model, and write it as the next version.

    Returns None in all but one of several training processes: one exports for all.
    Raises: ConfigError when a file cannot be read or written, or there is too little data; ModelIncompatible when
    fitting diverges or the exported model differs from the trained one.
    """
    asked = asked or Asked()
    check(asked)
    games = read_games(layout, clock, source, settings)
    parts, features = games.parts, games.parts.fitting.features
    settings = refined(settings, parts, clock, asked)
    with ExperimentTracker(layout, clock) as tracker:
        if asked.track and is_leader():
            tags = run_tags(games.data_set, games.digest, features.schema_hash, settings.seed)
            tracker.start_run(asked.experiment or NAMES[features.set_id], tags)
        parameters = _parameters(settings, parts)
        tracker.log_parameters(parameters)
        began_ns = clock.mono_ns()
        fitted = fit(
            parts.fitting,
            settings,
            clock,
            validation=parts.calibration,
            options=asked.options,
            report=lambda step, found: _tell(tracker, asked.say, step, found),
        )
        seconds = (clock.mono_ns() - began_ns) / NS_PER_S
        if not is_leader():
            return None
        card, folder = _finish(layout, clock, fitted, games, settings, asked)
        parameters |= {"steps_taken": fitted.steps, "weights": sum(part.numel() for part in fitted.model.parameters())}
        tracker.log_metrics(card.metrics)
        tracker.log_metrics({f"baseline.{name}": value for name, value in card.baseline.items()})
        tracker.save_model(folder, card.name)
        if asked.track and games.read is not None:
            _keep_evaluation(tracker, folder / MODEL_FILE, games.read)
    return Trained(card=card, folder=folder, seconds=seconds, parameters=parameters)


def _keep_evaluation(tracker: ExperimentTracker, model: Path, read: Read) -> None:
    """Keep with the run what `evaluate` says of the model on the games it does not know, with pictures."""
    with tempfile.TemporaryDirectory() as kept:
        try:
            found = evaluate_scenes(
                open_artifact(model), read.scenes, read.path, read.layout, plots=Path(kept) / "plots"
            )
        except (ConfigError, ModelIncompatible) as exc:
            get_logger("training").warning("the run has no evaluation", reason=str(exc))
            return
        write_report(found, Path(kept) / "evaluation.json")
        for path in (Path(kept) / "evaluation.json", Path(kept) / "plots"):
            tracker.log_artifact(path)


def _tell(tracker: ExperimentTracker, say: Report | None, step: int, found: Mapping[str, float]) -> None:
    tracker.log_metrics(found, step)
    if say is not None:
        say(step, found)


def check(asked: Asked) -> None:
    """Look at the files that a training would need at its end, or take up, before it begins.

    Raises: ConfigError.
    """
    prepare_file(asked.onnx)
    prepare_folder(asked.options.folder)
    if asked.options.resume_from is not None:
        read_checkpoint(asked.options.resume_from)


def refined(settings: TrajectorySettings, parts: Split, clock: Clock, asked: Asked) -> TrajectorySettings:
    """Return the settings with what the games themselves decide: steps in an epoch, the learning rate, trials.

    Raises: ModelIncompatible when no trial worked.
    """
    if asked.max_epochs is not None:
        steps = math.ceil(asked.max_epochs * len(parts.fitting) / settings.batch / settings.accumulate)
        settings = msgspec.structs.replace(settings, steps=steps)
    if asked.find_learning_rate:
        settings = msgspec.structs.replace(settings, learning_rate=find_learning_rate(parts.fitting, settings, clock))
    if asked.tune:
        from cloud.training.trajectory.tune import tune  # noqa: PLC0415  Optuna is loaded only to search

        settings = tune(parts, settings, clock, trials=asked.tune)
    return settings


def read_games(layout: Layout, clock: Clock, source: Source, settings: TrajectorySettings) -> Games:
    """Return the moments to learn from, choose on and measure on, from whole different games.

    The games of a folder are written as a data set with its lineage.

    Raises: ConfigError when a file cannot be read, a part holds no usable moment, or no game states what a coverage
    head is to learn.
    """
    paths = ", ".join(map(str, source.files if source.folder is None else [source.folder])) or str(layout.tables)
    try:
        games = _games(layout, clock, source, settings)
    except ModelIncompatible as exc:
        raise ConfigError(paths, exc.reason) from exc
    if settings.coverage and not games.parts.fitting.states_coverage:
        raise ConfigError(paths, "no play to learn from states man or zone; --no-coverage leaves that answer out")
    return games


def _games(layout: Layout, clock: Clock, source: Source, settings: TrajectorySettings) -> Games:
    features = FEATURE_SETS[settings.inputs]
    if source.folder is not None:
        if not is_leader():  # the first process writes for all, and names what it wrote
            scenes = validated(source.folder, source.weeks, skip=not source.validate).scenes
            return Games(parts=split_scenes(scenes, features, earlier_cut=settings.earlier_cut), data_set="", digest="")
        _, card, checked = make_scene_set(
            layout, clock, source.folder, source.weeks, features, skip=not source.validate
        )
        parts = split_scenes(checked.scenes, features, earlier_cut=settings.earlier_cut)
        read = Read(scenes=checked.scenes, path=str(source.folder), layout=checked.report.layout)
        return Games(parts=parts, data_set=card.reference, digest=card.digest, read=read)
    if features is not TEAM_GRAPH:
        raise ModelIncompatible(f"recorded sessions hold positions alone; {features.set_id} needs --data-dir")
    recordings = _recordings(layout, source.files)
    parts = split_recordings(recordings)
    path = "files" if source.files else "positions"
    return Games(
        parts=parts,
        data_set=f"{NAME}@{path}",
        digest=recordings_digest(recordings),
        read=Read(scenes=recorded_scenes(recordings), path=path, layout="recordings"),
    )


def _recordings(layout: Layout, files: Sequence[Path]) -> list[Recording]:
    """Return the sessions of `files`, or of the table of positions when there are none."""
    if not files:
        return table_recordings(layout)
    return [recording for path in files for recording in read_recordings(path)]


def _parameters(settings: TrajectorySettings, parts: Split) -> dict[str, object]:
    counts = {"fit": parts.fitting, "calibration": parts.calibration, "test": parts.test}
    return {**msgspec.to_builtins(settings), **{f"{name}_moments": len(part) for name, part in counts.items()}}


def _finish(
    layout: Layout, clock: Clock, fitted: Fitted, games: Games, settings: TrajectorySettings, asked: Asked
) -> tuple[ModelCard, Path]:
    """Calibrate, measure, export, check and write; return the card and where everything lies."""
    model, parts, artifacts = fitted.model, games.parts, Artifacts(layout)
    features = parts.fitting.features
    for part in (parts.fitting, parts.calibration, parts.test):
        part.to(torch.device("cpu"))
    calibrate(model, parts.calibration)
    metrics, baseline = evaluate(model, parts.test), baselines(model, parts.test)
    name = NAMES[features.set_id]
    origin = Origin(
        name=name,
        version=artifacts.next_version(name),
        data_set=games.data_set,
        data_digest=games.digest,
        games=parts.known,
        settings=settings,
        trained_ns=clock.utc_ns(),
    )
    golden = golden_moments(model, parts.test)
    exported = to_onnx(model, metadata(model, origin, parts.fitting, golden, metrics))
    metrics["parity_m"] = check_parity(model, exported, seed=settings.seed)
    card = model_card(model, exported, origin, features, golden, metrics, baseline)
    folder = artifacts.write(card, exported)
    _extras(model, exported, folder, asked, settings.seed)
    return card, folder


def _extras(model: TrajectoryModel, exported: bytes, folder: Path, asked: Asked, seed: int) -> None:
    """Write what was asked for beside the ONNX model, and check each file that was written."""
    if asked.onnx is not None:
        asked.onnx.write_bytes(exported)
    if asked.torchscript:
        path = to_torchscript(model, folder / "model.torchscript.pt")
        check_module_parity(model, torch.jit.load(path), seed=seed)  # type: ignore[no-untyped-call]
    if asked.pt2:
        check_module_parity(model, torch.export.load(to_pt2(model, folder / "model.pt2")).module(), seed=seed)
    if asked.int8:
        small = to_int8(exported)
        check_parity(model, small, seed=seed, tolerance_m=INT8_TOLERANCE_M)
        (folder / "model.int8.onnx").write_bytes(small)
