"""Explanations by occlusion: how a prediction changes when one feature is taken from other rows (Zeiler 2014).

Beside SHAP values this is what one call of a model can afford; what agrees with them is measured where models are made.
"""

import numpy as np
from numpy.typing import NDArray

_SURE = 1e-6


def occluded(row: NDArray[np.float32], background: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32[1 + F * k, F]: the row [F], then for each feature the row with those of `background` [k, F]."""
    features, count = len(row), len(background)
    batch = np.repeat(row[None], features * count, axis=0).reshape(features, count, features)
    for feature in range(features):
        batch[feature, :, feature] = background[:, feature]
    return np.concatenate([row[None], batch.reshape(-1, features)])


def contributions(answers: NDArray[np.floating], background: int) -> NDArray[np.float64]:
    """Return float64[F]: the row's own answer less the mean with each feature occluded.

    `answers` [1 + F * background] are a model's to `occluded`.
    """
    own, others = np.float64(answers[0]), np.asarray(answers[1:], np.float64)
    found: NDArray[np.float64] = own - others.reshape(-1, background).mean(axis=1)
    return found


def log_odds(probability: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return ln(p / (1 - p)), held to p within 1e-6 of 0 and 1."""
    p = np.clip(np.asarray(probability, np.float64), _SURE, 1.0 - _SURE)
    found: NDArray[np.float64] = np.log(p / (1.0 - p))
    return found
