"""One evaluation from files to report: what `python -m cloud evaluate` does."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloud.datasets.public.read import read_scenes
from cloud.datasets.scenes import Scenes
from cloud.evaluation.artifact import Artifact, open_artifact
from cloud.evaluation.coverage import coverage_of
from cloud.evaluation.fitting import Split, split
from cloud.evaluation.report import DataFacts, Measured, ModelFacts, Report
from cloud.evaluation.tables import measurable, scores
from cloud.evaluation.trajectory import Task, measure, pass_task, trajectory_tasks, unit_of


def evaluate_trajectories(
    model: Path,
    data: Path,
    *,
    passes: bool,
    training: Path | None = None,
    weeks: Sequence[int] | None = None,
    plots: Path | None = None,
) -> Report:
    """Measure a trajectory model by the trajectory or the pass protocol; draw into `plots` if given.

    Raises: ConfigError when a file cannot be read or holds nothing to measure; ModelIncompatible when the model does
    not fit.
    """
    artifact = open_artifact(model)
    loaded = read_scenes(data, weeks)
    others = None if training is None else read_scenes(training).scenes
    return evaluate_scenes(
        artifact, loaded.scenes, str(data), loaded.report.layout, passes=passes, training=others, plots=plots
    )


def evaluate_scenes(
    artifact: Artifact,
    scenes: Scenes,
    path: str,
    layout: str,
    *,
    passes: bool = False,
    training: Scenes | None = None,
    plots: Path | None = None,
) -> Report:
    """Measure a trajectory model on scenes that were read from `path` in a layout; draw into `plots` if given.

    Raises: ConfigError when there is nothing to measure; ModelIncompatible when the model does not fit.
    """
    parts = split(scenes, artifact.training_games, training)
    return Report(
        protocol="pass" if passes else "trajectory",
        model=_model_facts(artifact),
        data=_data_facts(path, layout, scenes.digest(), parts, scenes.game),
        unit=unit_of(parts.measured)[0],
        basis=f"baselines fitted on {parts.fitted_on}",
        horizons=measure_horizons(artifact, parts, passes=passes, plots=plots),
        man_or_zone=None if passes else coverage_of(artifact, parts.measured),
    )


def measure_horizons(artifact: Artifact, parts: Split, *, passes: bool, plots: Path | None = None) -> list[Measured]:
    """Return what was measured at each horizon, or of passes; draw into `plots` if given.

    Raises: ConfigError when there is nothing to measure; ModelIncompatible when the model does not fit.
    """
    tasks = [pass_task(artifact, parts)] if passes else list(trajectory_tasks(artifact, parts))
    if plots is not None:
        # matplotlib takes a second to load, and only plots need it.
        from cloud.evaluation.plots import draw_trajectories  # noqa: PLC0415

        draw_trajectories([task for task in tasks if isinstance(task, Task)], parts.measured, plots)
    return [
        measure(task, parts) if isinstance(task, Task) else Measured(horizon_s=task, covered=False) for task in tasks
    ]


def evaluate_tables(model: Path, data: Path, protocol: str, *, plots: Path | None = None) -> Report:
    """Measure a model on tables by the protocol `outcome`, `readiness` or `effort`; draw into `plots` if given.

    Raises: ConfigError when a file cannot be read or holds nothing to measure; ModelIncompatible when the model is not
    one of this protocol.
    """
    artifact = open_artifact(model)
    found = measurable(artifact, protocol, data)
    if plots is not None:
        from cloud.evaluation.plots import draw_table  # noqa: PLC0415  matplotlib takes a second to load

        draw_table(found, plots)
    return Report(
        protocol=protocol,
        model=_model_facts(artifact),
        data=DataFacts(
            path=str(data),
            layout=found.task.name,
            digest=found.digest,
            groups=len(np.unique(found.rows.group)),
            known=found.known,
        ),
        unit=found.task.unit or "1",
        basis=f"measured on {found.which}",
        scores=scores(found),
    )


def _model_facts(artifact: Artifact) -> ModelFacts:
    return ModelFacts(
        file=str(artifact.path),
        sha256=artifact.sha256,
        name=artifact.name,
        version=artifact.version,
        feature_set=artifact.features.set_id,
    )


def _data_facts(
    path: str, layout: str, digest: str, parts: Split, games: "np.ndarray[tuple[int], np.dtype[np.str_]]"
) -> DataFacts:
    measured = len(np.unique(parts.measured.game))
    return DataFacts(path=path, layout=layout, digest=digest, groups=measured, known=len(np.unique(games)) - measured)
