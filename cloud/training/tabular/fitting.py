"""Choosing and fitting an estimator without letting a group or a span of time be on both sides."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from cloud.datasets.task_rows import TaskRows
from cloud.training.tabular.model import DRAW, Folds, TabularModel
from cloud.training.tabular.task import Task
from shared.errors import ModelIncompatible

_FOLDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The chosen estimator; `scores` are the mean row losses of all candidates in cross-validation."""

    name: str
    model: TabularModel
    scores: dict[str, float]


def check_enough(task: Task, rows: TaskRows) -> None:
    """Refuse data sets that are too small to learn from and to measure on.

    Raises: ModelIncompatible naming what is missing.
    """
    training = rows.where(~rows.held_out)
    groups = len(np.unique(training.group))
    if len(rows) < task.min_rows or groups < task.min_groups:
        raise ModelIncompatible(
            f"too little data to train on: {len(rows)} rows of {groups} {task.groups_are}, "
            f"needed are {task.min_rows} rows and {task.min_groups} {task.groups_are}"
        )
    if task.probability and len(np.unique(training.target[training.target != DRAW])) < 2:
        raise ModelIncompatible("too little data to train on: every training row has the same outcome")


def fit(task: Task, training: TaskRows, *, seed: int) -> Fitted:
    """Choose among the candidates by cross-validation on the training rows, and fit the best on all of them.

    Half the score is on groups and half on stretches of time that were not trained on: both are asked for later.
    """
    groupings = [training.group, training.stretch]
    usable = [grouping for grouping in groupings if len(np.unique(grouping)) > 1]
    scores = {
        name: sum(float(_cross_validate(task, name, training, grouping, seed).mean()) for grouping in usable)
        / len(usable)
        for name in task.candidates
    }
    name = min(scores, key=lambda candidate: scores[candidate])
    return Fitted(name=name, model=fit_one(task, name, training, seed=seed), scores=scores)


def fit_one(task: Task, candidate: str, training: TaskRows, *, seed: int) -> TabularModel:
    """Return one candidate fitted on `training`, calibrated by group."""
    return task.make(candidate, seed, calibration_folds(task, training)).fit(training.features, training.target)


def calibration_folds(task: Task, training: TaskRows) -> Folds:
    """Return folds by group over the rows that a classifier is fitted on; none where nothing is calibrated."""
    if not task.probability:
        return []
    decided = training.where(training.target != DRAW)
    return _folds(decided.group)


def row_loss(task: Task, predicted: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return each row's part of the task's metric: the absolute error of an `mae`, the squared one otherwise."""
    error = np.asarray(predicted, np.float64) - target
    return np.abs(error) if task.metric.startswith("mae") else np.square(error)


def predict_by_group(task: Task, candidate: str, rows: TaskRows, *, folds: int, seed: int) -> dict[str, Any]:
    """Return what the recipe and its bars say about each row when the row's group was not trained on.

    The keys are "model" and the bars' names.
    """
    found: dict[str, NDArray[np.float64]] = {}
    for train, test in _folds(rows.group, folds):
        training, fresh = rows.where(train), rows.where(test)
        said = {"model": fit_one(task, candidate, training, seed=seed).predict(fresh.features)}
        for name, values in {**said, **task.bars(training, fresh)}.items():
            found.setdefault(name, np.full(len(rows), np.nan))[test] = values
    return found


def _cross_validate(
    task: Task, candidate: str, rows: TaskRows, grouping: NDArray[Any], seed: int
) -> NDArray[np.float64]:
    """Return each row's loss when its group was not trained on."""
    losses = np.zeros(len(rows))
    for train, test in _folds(grouping):
        model = fit_one(task, candidate, rows.where(train), seed=seed)
        losses[test] = row_loss(task, model.predict(rows.features[test]), rows.target[test])
    return losses


def _folds(groups: NDArray[Any], count: int = _FOLDS) -> Folds:
    return list(GroupKFold(min(count, len(np.unique(groups)))).split(groups, groups=groups))
