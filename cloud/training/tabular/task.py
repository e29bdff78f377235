"""What a task is: everything that differs between the models on tables; the road from rows to a card is the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.task_rows import TaskRows
from cloud.training.tabular.model import Folds, Maker, TabularModel
from shared.features.base import FeatureSet

Bars = Callable[[TaskRows, TaskRows], Mapping[str, NDArray[np.floating]]]


def no_bars(_training: TaskRows, _rows: TaskRows) -> Mapping[str, NDArray[np.floating]]:
    """Return nothing: the rows bring their yardsticks along."""
    return {}


def base_rate(training: TaskRows, rows: TaskRows) -> Mapping[str, NDArray[np.floating]]:
    """Return the training rows' mean target for everybody."""
    return {"base_rate": np.full(len(rows), float(training.target.mean()))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One model on tables.

    `unit` is that of the prediction, "" for a probability; `span` the width of its natural range, to which exactness
    is held. `metric` is the one in which it must beat every bar. `candidates` are chosen among by cross-validation;
    `zero` and `full` name the features that `TabularModel` anchors at. The last `categories` features hold codes.
    `fitted_bars` are yardsticks that learn from the training rows. With `new_groups` the recipe must also hold for
    groups that it never saw. `ranged` are the features (by the start of their names) whose range goes on the card.
    """

    name: str
    feature_set: FeatureSet
    metric: str
    candidates: Mapping[str, Maker]
    intended_use: str
    unit: str = ""
    span: float = 1.0
    zero: str | None = None
    full: str | None = None
    categories: int = 0
    fitted_bars: Bars = no_bars
    new_groups: bool = False
    min_rows: int = 200
    min_groups: int = 4
    groups_are: str = "athletes"
    ranged: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def probability(self) -> bool:
        """Whether the prediction is one."""
        return not self.unit

    def make(self, candidate: str, seed: int, folds: Folds) -> TabularModel:
        """Return an unfitted model of a kind."""
        names = [name for name, _ in self.feature_set.features]
        return TabularModel(
            estimator=self.candidates[candidate](seed, folds),
            probability=self.probability,
            zero=None if self.zero is None else names.index(self.zero),
            full=None if self.full is None else names.index(self.full),
        )

    def bars(self, training: TaskRows, rows: TaskRows) -> dict[str, NDArray[np.floating]]:
        """Return what each yardstick says about `rows`."""
        return {**rows.bars, **self.fitted_bars(training, rows)}
