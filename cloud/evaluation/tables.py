"""The protocols on tables: game outcomes, readiness and effort, from an exported model and files to scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.build import effort_from_files
from cloud.datasets.task_rows import TaskRows, task_digest
from cloud.evaluation.artifact import Artifact
from cloud.evaluation.bootstrap import Resampling, Value
from cloud.evaluation.report import MODEL, Bin, Scores
from cloud.evaluation.tabular import calibration_error, log_losses, reliability
from cloud.training.tabular.effort import EFFORT, task_rows
from cloud.training.tabular.fitting import row_loss
from cloud.training.tabular.sources import SOURCES
from cloud.training.tabular.task import Task, no_bars
from shared.errors import ConfigError, ModelIncompatible

TASKS_OF: Mapping[str, tuple[Task, ...]] = {
    "outcome": (SOURCES["strategy"].task,),
    "readiness": (SOURCES["readiness"].task,),
    "effort": (SOURCES["activity_effort"].task, EFFORT),
}
"""Which models each protocol measures; the artifact's feature set says which it is."""

Numbers = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurable:
    """Rows that an artifact may be measured on, with what it and every bar say; `known` groups were left out."""

    task: Task
    rows: TaskRows
    said: Mapping[str, Numbers]
    digest: str
    known: int
    which: str


def measurable(artifact: Artifact, protocol: str, path: Path) -> Measurable:
    """Read the rows of a protocol, leave out what the model learnt from, and ask the model and every bar.

    Raises: ModelIncompatible when the artifact is no model of this protocol or answers with NaN; ConfigError naming the
    file and what is wrong with it, or when nothing is left to measure.
    """
    task = next((task for task in TASKS_OF[protocol] if task.feature_set is artifact.features), None)
    if task is None:
        known = ", ".join(task.feature_set.set_id for task in TASKS_OF[protocol])
        raise ModelIncompatible(f"protocol {protocol} takes models of {known}, not of {artifact.features.set_id}")
    rows = _read(task, path)
    digest = task_digest(rows)
    chosen, which = _unknown(artifact, task, rows, digest)
    if not chosen.any():
        raise ConfigError("--data", "every row in it is one that the model learnt from")
    measured = rows.where(chosen)
    return Measurable(
        task=task,
        rows=measured,
        said={MODEL: _run(artifact, measured), **task.bars(rows.where(~rows.held_out), measured)},
        digest=digest,
        known=len(np.unique(rows.group)) - len(np.unique(measured.group)),
        which=which,
    )


def scores(found: Measurable) -> Scores:
    """Return the scores of the model and of every bar, and by how much its loss is below theirs."""
    parts = {name: part for name, part in found.rows.slices.items() if part.any()}
    every = _scores(found.task, found.rows, found.said)
    return Scores(
        rows=every.rows,
        groups=every.groups,
        metric=every.metric,
        scores=every.scores,
        gain=every.gain,
        reliability=_bins(found),
        slices={
            name: _scores(found.task, found.rows.where(part), {who: values[part] for who, values in found.said.items()})
            for name, part in parts.items()
        },
    )


def _read(task: Task, path: Path) -> TaskRows:
    if task is EFFORT:
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        return task_rows(effort_from_files(files)[0])
    return next(source for source in SOURCES.values() if source.task is task).read([path])


def _unknown(artifact: Artifact, task: Task, rows: TaskRows, digest: str) -> tuple[NDArray[np.bool_], str]:
    """Return which rows the model has not learnt from, and how that is known."""
    if digest == artifact.data_digest:
        return rows.held_out, "the rows held out when it was trained"
    if task.fitted_bars is not no_bars:
        return rows.held_out, "the later rows of a data set it was not trained on; bars are fitted on the earlier ones"
    until_ns = artifact.trained_until_ns
    if until_ns is not None and (rows.time_ns > until_ns).any():
        return rows.time_ns > until_ns, "rows later than all it was trained on"
    return np.ones(len(rows), np.bool_), "all rows of a data set it was not trained on"


def _run(artifact: Artifact, rows: TaskRows) -> Numbers:
    inputs = {"features": np.ascontiguousarray(rows.features, np.float32)}
    outputs = artifact.model.run(inputs)
    artifact.features.check_shapes(inputs, outputs)
    said = outputs["prediction"][:, 0]
    if not np.isfinite(said).all():
        raise ModelIncompatible(f"the model answers {int((~np.isfinite(said)).sum())} of {len(said)} rows with NaN")
    return said


def _scores(task: Task, rows: TaskRows, said: Mapping[str, Numbers]) -> Scores:
    resampling = Resampling(rows.group)
    loss = {who: row_loss(task, values, rows.target) for who, values in said.items()}
    return Scores(
        rows=len(rows),
        groups=resampling.groups,
        metric=task.metric,
        scores={who: _of_one(task, values, rows.target, resampling) for who, values in said.items()},
        gain={who: resampling.mean(values - loss[MODEL]) for who, values in loss.items() if who != MODEL},
    )


def _of_one(task: Task, said: Numbers, target: Numbers, resampling: Resampling) -> dict[str, Value]:
    error = np.asarray(said, np.float64) - target
    if not task.probability:
        squares, count = resampling.sums(error**2), resampling.sums(np.ones(len(error)))
        root = resampling.ratio(squares, count, root=True)
        return {f"mae_{task.unit}": resampling.mean(np.abs(error)), f"rmse_{task.unit}": root}
    return {
        "brier": resampling.mean(error**2),
        "log_loss": resampling.mean(log_losses(said, target)),
        "ece": Value(calibration_error(said, target)),
    }


def _bins(found: Measurable) -> list[Bin]:
    if not found.task.probability:
        return []
    bins = reliability(found.said[MODEL], found.rows.target)
    return [
        Bin(stated, observed, rows)
        for stated, observed, rows in zip(bins.stated.tolist(), bins.observed.tolist(), bins.rows.tolist(), strict=True)
    ]
