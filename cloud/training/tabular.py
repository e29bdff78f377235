"""The effort model: expects an athlete's heart rate from recent movement.

The estimators learn the share of the heart-rate reserve, (HR - rest) / (max - rest) (Karvonen 1957), and give it back
in bpm: one squad's numbers then carry over to athletes with another resting and maximal heart rate.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cloud.datasets.rows import FEATURES, EffortRows
from shared.errors import ModelIncompatible

REST = FEATURES.index("hr_rest")
MAX = FEATURES.index("hr_max")
MIN_ROWS = 200
MIN_ATHLETES = 4
"""Below these the held-out error says more about who happened to be held out than about the model."""
_FOLDS = 4


class ReserveRegressor:
    """`inner` on the share of the heart-rate reserve, from features float32[n, F] to bpm float32[n]."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def fit(self, features: NDArray[np.float32], hr_bpm: NDArray[np.float32]) -> "ReserveRegressor":
        """Fit and return the regressor itself."""
        share = (hr_bpm - features[:, REST]) / (features[:, MAX] - features[:, REST])
        self.inner.fit(features, share)
        return self

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the expected heart rate in bpm."""
        share = np.asarray(self.inner.predict(features), np.float32)
        bpm: NDArray[np.float32] = features[:, REST] + share * (features[:, MAX] - features[:, REST])
        return bpm


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The chosen estimator; `scores` are the mean absolute errors (bpm) of all candidates in cross-validation."""

    name: str
    model: ReserveRegressor
    scores: dict[str, float]


def _trees(seed: int) -> ReserveRegressor:
    # Not scaled: a scaled value that lies on a bin's edge goes the other way in float32, and the ONNX file differs.
    # Early stopping would hold out rows of the same athletes and stop too late.
    return ReserveRegressor(
        HistGradientBoostingRegressor(
            max_iter=200, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=20, early_stopping=False,
            random_state=seed,
        )
    )  # fmt: skip


def _linear(_seed: int) -> ReserveRegressor:
    return ReserveRegressor(make_pipeline(StandardScaler(), Ridge(alpha=10.0)))


CANDIDATES: dict[str, Callable[[int], ReserveRegressor]] = {"gradient_boosting": _trees, "ridge": _linear}


def check_enough(rows: EffortRows) -> None:
    """Refuse data sets that are too small to learn from and to measure on.

    Raises: ModelIncompatible naming what is missing.
    """
    training = rows.where(~rows.held_out)
    athletes = len(np.unique(training.athlete))
    if len(rows) < MIN_ROWS or athletes < MIN_ATHLETES:
        raise ModelIncompatible(
            f"too little data to train on: {len(rows)} rows of {athletes} athletes, "
            f"needed are {MIN_ROWS} rows and {MIN_ATHLETES} athletes"
        )


def fit(rows: EffortRows, *, seed: int) -> Fitted:
    """Choose among CANDIDATES by cross-validation on the training rows, and fit the best on all of them.

    Half the score is on athletes and half on stretches of time that were not trained on: the held-out rows are both.
    """
    training = rows.where(~rows.held_out)
    groups = (training.athlete, _stretches(training))
    scores = {
        name: sum(_cross_validate(training, group, make, seed) for group in groups) / len(groups)
        for name, make in CANDIDATES.items()
    }
    name = min(scores, key=lambda candidate: scores[candidate])
    model = CANDIDATES[name](seed).fit(training.features, training.hr_bpm)
    return Fitted(name=name, model=model, scores=scores)


def _cross_validate(
    rows: EffortRows, groups: NDArray[Any], make: Callable[[int], ReserveRegressor], seed: int
) -> float:
    """Return the mean absolute error on groups that were not trained on."""
    folds = GroupKFold(min(_FOLDS, len(np.unique(groups))))
    errors = np.zeros(len(rows))
    for train, test in folds.split(rows.features, groups=groups):
        model = make(seed).fit(rows.features[train], rows.hr_bpm[train])
        errors[test] = np.abs(model.predict(rows.features[test]) - rows.hr_bpm[test])
    return float(errors.mean())


def _stretches(rows: EffortRows) -> NDArray[np.int64]:
    """Return which of _FOLDS equal stretches of its session each row lies in."""
    stretch = np.zeros(len(rows), np.int64)
    for session in np.unique(rows.session):
        chosen = rows.session == session
        times = rows.time_ns[chosen]
        span_ns = int(np.ptp(times)) + 1
        stretch[chosen] = (times - times.min()) * _FOLDS // span_ns
    return stretch
