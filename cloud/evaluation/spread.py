"""How honest the stated spread of forecasts is: likelihood, regions, and the best of several paths.

A region of level p is the smallest that holds probability p as the model states it. Whether what happened lies in it
is read off one number, its rank: the probability of everything stated to be likelier than what happened. It lies in
the region when its rank is at most p, and ranks of an honest model are uniform.
"""

import numpy as np
from numpy.typing import NDArray

from cloud.evaluation.forecasts import Forecasts

LEVELS = (0.5, 0.8, 0.9, 0.95)
PATHS = 6
_DRAWS = 128
_CHUNK = 4096
_FEW = 30
"""A step seen in fewer cases gets the spread of the last one seen in so many."""
_LOG_2_PI = float(np.log(2.0 * np.pi))

Floats = NDArray[np.floating]


def squared_radius(forecasts: Forecasts, actual: Floats) -> Floats:
    """Return the squared distance [n,S] of what happened [n,S,2] in units of sigma."""
    return np.asarray(np.square((actual - forecasts.offset) / forecasts.sigma).sum(axis=-1))


def gaussian_rank(squared: Floats) -> Floats:
    """Return the rank of squared distances in sigmas: 1 - exp(-r^2 / 2), chi squared with 2 degrees of freedom."""
    return np.asarray(-np.expm1(-squared / 2.0))


def gaussian_nll(forecasts: Forecasts, actual: Floats) -> Floats:
    """Return the negative log likelihood [n,S] of each step, in nats with lengths in m."""
    return np.asarray(_LOG_2_PI + np.log(forecasts.sigma).sum(axis=-1) + squared_radius(forecasts, actual) / 2.0)


def cross_fitted_nll(distance: Floats, fold: NDArray[np.int64]) -> Floats:
    """Return the negative log likelihood [n,S] of a forecast that states no spread, from its `distance` [n,S] m.

    It gets, for each step, the round Gaussian that fits its errors in all other folds (in its own when it is alone).
    """
    found = np.full(distance.shape, np.nan)
    for part in np.unique(fold):
        rows = fold == part
        shown = distance if rows.all() else distance[~rows]
        seen = np.isfinite(shown).sum(axis=0)
        told = np.maximum.accumulate(np.where(seen >= min(_FEW, seen[0]), np.arange(len(seen)), 0))
        variance = (np.nansum(shown**2, axis=0) / np.maximum(seen, 1) / 2.0)[told]
        found[rows] = _LOG_2_PI + np.log(variance) + distance[rows] ** 2 / (2.0 * variance)
    return found


def mixture_nll(forecasts: Forecasts, actual: Floats) -> Floats:
    """Return the negative log likelihood [n,S] of each step under the mixture of paths."""
    return -_log_density(actual[:, None], *mixture(forecasts))


def mixture_rank(forecasts: Forecasts, actual: Floats, *, seed: int = 0) -> Floats:
    """Return the rank [n,S] of what happened [n,S,2], from draws of the mixture at each step."""
    modes, sigma, weight = mixture(forecasts)
    rng = np.random.default_rng(seed)
    ranks = np.zeros(actual.shape[:2])
    for first in range(0, len(actual), _CHUNK):
        part = slice(first, first + _CHUNK)
        share = weight[part]
        row = np.arange(len(share))[:, None]
        chosen = (rng.random((len(share), _DRAWS, 1)) > share.cumsum(axis=1)[:, None, :-1]).sum(axis=-1)
        for step in range(actual.shape[1]):
            centre, scale = modes[part, :, step], sigma[part, :, step]
            drawn = centre[row, chosen] + scale[row, chosen] * rng.normal(size=(*chosen.shape, 2))
            log_drawn = _log_density(drawn[:, None], centre[:, :, None], scale[:, :, None], share)
            log_actual = _log_density(actual[part, None, step], centre, scale, share)
            ranks[part, step] = (log_drawn > log_actual[:, None]).mean(axis=1)
    return ranks


def best_of_paths(forecasts: Forecasts, actual: Floats) -> Floats:
    """Return the distance [n,P,S] m of the (at most) 6 likeliest paths."""
    modes, _, weight = mixture(forecasts)
    likeliest = np.argsort(-weight, axis=1)[:, :PATHS]
    paths = np.take_along_axis(modes, likeliest[:, :, None, None], axis=1)
    return np.asarray(np.linalg.norm(paths - actual[:, None], axis=-1))


def mixture(forecasts: Forecasts) -> tuple[Floats, Floats, Floats]:
    """Return modes, their sigma and weights.

    Raises: ValueError when these forecasts are no mixture.
    """
    if forecasts.modes is None or forecasts.mode_sigma is None or forecasts.weight is None:
        raise ValueError("these forecasts are no mixture of paths")
    return forecasts.modes, forecasts.mode_sigma, forecasts.weight


def _log_density(at: Floats, modes: Floats, sigma: Floats, weight: Floats) -> Floats:
    """Return the log density at [n,1,K,2] of paths [n,M,K,2] weighed [n,M]; both without K for one place."""
    squared = np.square((at - modes) / sigma).sum(axis=-1)
    share = weight.reshape(weight.shape + (1,) * (squared.ndim - weight.ndim))
    with np.errstate(divide="ignore", invalid="ignore"):  # a path of weight 0; NaN beyond a case's own steps
        each = np.log(share) - _LOG_2_PI - np.log(sigma).sum(axis=-1) - squared / 2.0
        return np.asarray(np.logaddexp.reduce(each, axis=1))
