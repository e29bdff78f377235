"""A scikit-learn estimator as a model of ours: float32 rows in, one float32 number a row out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]
Rows = NDArray[np.float32]
DRAW = 0.5
"""The outcome of a game that nobody won."""


@dataclass(slots=True, kw_only=True)
class TabularModel:
    """`estimator` between two anchors: it learns (target - zero) / (full - zero), where `zero` and `full` are columns.

    Without `full` it learns target - zero, without `zero` the target itself. A `probability` is that of class 1.
    """

    estimator: Any
    probability: bool = False
    zero: int | None = None
    full: int | None = None

    def fit(self, features: Rows, target: Rows) -> "TabularModel":
        """Fit and return the model itself; a draw (0.5) teaches a classifier nothing and is left out."""
        # Trees cannot bin a column in which nothing is known; a constant is never split on.
        features = np.where(np.isnan(features).all(axis=0), np.float32(0.0), features)
        if self.probability:
            decided = target != DRAW
            self.estimator.fit(features[decided], target[decided] > DRAW)
        else:
            zero, span = self._anchors(features)
            self.estimator.fit(features, (target - zero) / span)
        return self

    def predict(self, features: Rows) -> Rows:
        """Return float32[n]: the expected target, or the probability of class 1."""
        if self.probability:
            likely: Rows = np.asarray(self.estimator.predict_proba(features)[:, 1], np.float32)
            return likely
        zero, span = self._anchors(features)
        expected: Rows = zero + np.asarray(self.estimator.predict(features), np.float32) * span
        return expected

    def _anchors(self, features: Rows) -> tuple[Rows, Rows]:
        """Return per row what 0 and the distance from 0 to 1 mean."""
        zero = np.zeros(len(features), np.float32) if self.zero is None else features[:, self.zero]
        full = zero + np.float32(1.0) if self.full is None else features[:, self.full]
        return zero, full - zero


Maker = Callable[[int, Folds], Any]
"""Makes an unfitted estimator from a seed and the folds that calibration may use."""


def trees_regressor(
    *,
    categories: int = 0,
    features: int,
    iterations: int = 200,
    rate: float = 0.06,
    leaves: int = 15,
    least: int = 20,
    loss: str = "squared_error",
) -> Maker:
    """Return a maker of boosted trees; the last `categories` of the columns hold codes.

    Never scaled: a scaled value that lies on a bin's edge goes the other way in float32, and the ONNX file differs.
    Early stopping would hold out rows of the same groups and stop too late.
    """

    def make(seed: int, _folds: Folds) -> Any:
        trees = HistGradientBoostingRegressor(
            loss=loss, max_iter=iterations, learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=least,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        return make_pipeline(_one_hot(features, categories), trees) if categories else trees

    return make


def linear_regressor(*, categories: int = 0, features: int, alpha: float = 10.0) -> Maker:
    """Return a maker of ridge regression; unknown values become the column's median."""

    def make(_seed: int, _folds: Folds) -> Any:
        return make_pipeline(_prepared(features, categories), Ridge(alpha=alpha))

    return make


def linear_classifier(*, categories: int = 0, features: int, strength: float = 0.1) -> Maker:
    """Return a maker of logistic regression with sigmoid calibration behind the preparation.

    Calibration of a whole pipeline converts wrongly, and so do isotonic steps.
    """

    def make(seed: int, folds: Folds) -> Any:
        bare = LogisticRegression(C=strength, max_iter=1000, random_state=seed)
        return make_pipeline(_prepared(features, categories), _calibrated(bare, folds))

    return make


def trees_classifier(
    *, categories: int = 0, features: int, iterations: int = 100, rate: float = 0.05, leaves: int = 8, least: int = 40
) -> Maker:
    """Return a maker of boosted trees with sigmoid calibration; not scaled, as `trees_regressor`."""

    def make(seed: int, folds: Folds) -> Any:
        trees = HistGradientBoostingClassifier(
            max_iter=iterations, learning_rate=rate, max_leaf_nodes=leaves, min_samples_leaf=least,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        calibrated = _calibrated(trees, folds)
        return make_pipeline(_one_hot(features, categories), calibrated) if categories else calibrated

    return make


def _calibrated(classifier: Any, folds: Folds) -> CalibratedClassifierCV:
    # One estimator with one sigmoid, fitted on predictions for groups that it had not seen.
    return CalibratedClassifierCV(classifier, method="sigmoid", cv=list(folds), ensemble=False)


def _one_hot(features: int, categories: int) -> ColumnTransformer:
    """Return what leaves numbers as they are and spreads codes; a code never seen is none of those known."""
    codes = list(range(features - categories, features))
    return ColumnTransformer(
        [
            ("number", "passthrough", list(range(features - categories))),
            ("code", OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32), codes),
        ]
    )


def _prepared(features: int, categories: int) -> Pipeline | ColumnTransformer:
    number = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    if not categories:
        return number
    transformer = _one_hot(features, categories)
    transformer.transformers[0] = ("number", number, list(range(features - categories)))
    return transformer
