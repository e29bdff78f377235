"""Making stated regions honest on games apart from those they are judged on.

Temperature: one factor on sigma, such that the 80 % region holds 80 %. Split conformal: up to which score (squared
distance in sigmas, or minus the log of the stated density) a region must reach to hold its share of the next game,
whatever the model's errors look like.
"""

import numpy as np
from numpy.typing import NDArray

ANCHOR = 0.8
"""The level at which a temperature makes regions exact."""

Floats = NDArray[np.floating]


def temperature(squared: Floats, level: float = ANCHOR) -> Floats:
    """Return the factor on sigma [S] that makes the region of `level` exact on squared distances [n,S] in sigmas."""
    exact = -2.0 * np.log1p(-level)  # chi squared with 2 degrees of freedom
    return np.asarray(np.sqrt(np.quantile(squared, level, axis=0) / exact))


def conformal_threshold(score: Floats, group: NDArray[np.generic], level: float) -> float:
    """Return up to which score a region must reach to hold `level` of a new game; infinite with too few games.

    Each of K games carries the mass 1 / (K + 1), spread evenly over its scores [n], and the new one 1 / (K + 1) at
    infinity (Lee, Barber and Willett 2023, Distribution-free inference with hierarchical data).
    """
    names, row = np.unique(group, return_inverse=True)
    mass = (1.0 / np.bincount(row))[row] / (len(names) + 1)
    order = np.argsort(score, kind="stable")
    reached = np.flatnonzero(np.cumsum(mass[order]) >= level - 1e-12)
    return float(score[order][reached[0]]) if len(reached) else np.inf


def cross_fitted(squared: Floats, fold: NDArray[np.int64]) -> Floats:
    """Return each row's temperature [n], fitted on the rows of all other folds; squared distances [n] in sigmas."""
    found = np.ones(len(squared))
    for part in np.unique(fold):
        others = fold != part
        if others.any():
            found[~others] = temperature(squared[others])
    return found


def cross_conformal(score: Floats, group: NDArray[np.generic], fold: NDArray[np.int64], level: float) -> Floats:
    """Return each row's conformal threshold [n], from the games of all other folds."""
    found = np.full(len(score), np.inf)
    for part in np.unique(fold):
        others = fold != part
        if others.any():
            found[~others] = conformal_threshold(score[others], group[others], level)
    return found
