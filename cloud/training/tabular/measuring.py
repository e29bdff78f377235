"""How good a model on tables is, beside what one would say without it.

Metrics of rows that came later have plain names; `new.` stands before those of groups that were never trained on, and
`<slice>.` before those of a part of the later rows. `gain` is by how much the metric's mean row loss is below the
strongest yardstick's; `gain_low` is the low end of its 95 % interval over resampled groups, the least over all bars.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.task_rows import TaskRows
from cloud.evaluation.tabular import error_scores, interval, probability_scores
from cloud.training.tabular.fitting import Fitted, predict_by_group, row_loss
from cloud.training.tabular.task import Task

Numbers = NDArray[np.floating]
Measured = tuple[dict[str, float], dict[str, float]]
_NEW_FOLDS = 5
_MIN_GROUPS_OF_AN_INTERVAL = 4


def measure(task: Task, fitted: Fitted, rows: TaskRows, *, seed: int) -> Measured:
    """Return (metrics of the model, metrics of the strongest bar) on the held-out rows and, if asked for, new groups.

    In the baseline, `<bar>_<metric>` are those of each bar.
    """
    training, held_out = rows.where(~rows.held_out), rows.where(rows.held_out)
    said = fitted.model.predict(held_out.features)
    bars = task.bars(training, held_out)
    metrics, baseline = compare(task, said, bars, held_out, seed=seed)
    metrics |= _spread(task, said, held_out, seed)
    for name, part in held_out.slices.items():
        if part.any():
            views = {bar: values[part] for bar, values in bars.items()}
            found = compare(task, said[part], views, held_out.where(part), seed=seed)
            _under(name, found, metrics, baseline)
    known = set(training.group.tolist())
    fresh = np.array([group not in known for group in held_out.group.tolist()], bool)
    if task.new_groups:
        _under("new", _on_new_groups(task, fitted, rows, seed), metrics, baseline)
    elif fresh.any() and not fresh.all():
        scores = _scores(task, said[fresh], held_out.target[fresh])
        metrics |= {f"new.{name}": value for name, value in scores.items()}
    return metrics, baseline


def compare(task: Task, said: Numbers, bars: Mapping[str, Numbers], rows: TaskRows, *, seed: int) -> Measured:
    """Return the scores of a model and those of the strongest bar on the same rows, with the gain between them."""
    metrics = _scores(task, said, rows.target)
    scores = {name: _scores(task, bar, rows.target) for name, bar in bars.items()}
    strongest = min(scores, key=lambda name: scores[name][task.metric])
    loss = row_loss(task, said, rows.target)
    gains = {name: row_loss(task, bar, rows.target) - loss for name, bar in bars.items()}
    metrics["gain"] = float(gains[strongest].mean())
    if len(np.unique(rows.group)) >= _MIN_GROUPS_OF_AN_INTERVAL:
        ends = {name: interval(gain, rows.group, seed=seed) for name, gain in gains.items()}
        metrics["gain_low"] = min(low for low, _ in ends.values())
        metrics["gain_high"] = ends[strongest][1]
    named = {f"{name}_{task.metric}": found[task.metric] for name, found in scores.items()}
    return metrics, scores[strongest] | named


def _on_new_groups(task: Task, fitted: Fitted, rows: TaskRows, seed: int) -> Measured:
    """Return the comparison on rows whose group the recipe was not fitted on, by folds over all rows."""
    said = predict_by_group(task, fitted.name, rows, folds=_NEW_FOLDS, seed=seed)
    return compare(task, said.pop("model"), said, rows, seed=seed)


def _spread(task: Task, said: Numbers, rows: TaskRows, seed: int) -> dict[str, float]:
    """Return how many rows there were, how far their errors spread, and the metric's own interval."""
    found = {"rows": float(len(rows))}
    if task.probability:
        return found
    low, high = interval(np.abs(said - rows.target), rows.group, seed=seed)
    return found | {
        f"mae_low_{task.unit}": low,
        f"mae_high_{task.unit}": high,
        f"residual_sd_{task.unit}": float(np.std(said - rows.target)),
    }


def _scores(task: Task, said: Numbers, target: Numbers) -> dict[str, float]:
    return probability_scores(said, target) if task.probability else error_scores(said, target, unit=task.unit)


def _under(view: str, found: Measured, metrics: dict[str, float], baseline: dict[str, float]) -> None:
    """Put a view's figures under its name."""
    for part, into in zip(found, (metrics, baseline), strict=True):
        into.update({f"{view}.{name}": value for name, value in part.items()})
