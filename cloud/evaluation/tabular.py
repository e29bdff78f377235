"""How good one number a row is: errors, proper scores, calibration, and how sure one can be of a gain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.evaluation.bootstrap import Resampling

Numbers = NDArray[np.floating]
BINS = 10
_SURE = 1e-6
"""Probabilities nearer to 0 or 1 than this are held there, so that one sure miss costs 13.8 nats and not everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Per occupied bin: mean stated probability, share that came true, and how many rows; float64[b] each."""

    stated: NDArray[np.float64]
    observed: NDArray[np.float64]
    rows: NDArray[np.int64]


def brier(probability: Numbers, outcome: Numbers) -> float:
    """Return mean (p - y)^2 (Brier 1950); a draw counts as y = 0.5."""
    return float(np.mean(np.square(np.asarray(probability, np.float64) - outcome)))


def log_losses(probability: Numbers, outcome: Numbers) -> NDArray[np.float64]:
    """Return -(y ln p + (1 - y) ln(1 - p)) [n] in nats; a draw counts as y = 0.5."""
    p = np.clip(np.asarray(probability, np.float64), _SURE, 1.0 - _SURE)
    return np.asarray(-(outcome * np.log(p) + (1.0 - outcome) * np.log1p(-p)))


def log_loss(probability: Numbers, outcome: Numbers) -> float:
    """Return the mean of `log_losses`."""
    return float(np.mean(log_losses(probability, outcome)))


def reliability(probability: Numbers, outcome: Numbers, *, bins: int = BINS) -> Reliability:
    """Return stated against observed in `bins` groups of equal size in order of stated probability."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return Reliability(
        stated=np.array([float(np.mean(probability[part])) for part in parts]),
        observed=np.array([float(np.mean(outcome[part])) for part in parts]),
        rows=np.array([len(part) for part in parts], np.int64),
    )


def calibration_error(probability: Numbers, outcome: Numbers, *, bins: int = BINS) -> float:
    """Return the expected calibration error: the bins' |observed - stated|, weighted by their rows (Naeini 2015)."""
    found = reliability(probability, outcome, bins=bins)
    return float(np.average(np.abs(found.observed - found.stated), weights=found.rows))


def balanced_accuracy(probability: Numbers, outcome: Numbers) -> float:
    """Return the mean over the outcomes 0 and 1 of the share of each that is told rightly at even odds."""
    told = np.asarray(probability) > 0.5
    shares = [float((told[outcome == kind] == kind).mean()) for kind in (0, 1) if (outcome == kind).any()]
    return float(np.mean(shares))


def probability_scores(probability: Numbers, outcome: Numbers) -> dict[str, float]:
    """Return `brier`, `log_loss` and `ece`."""
    return {
        "brier": brier(probability, outcome),
        "log_loss": log_loss(probability, outcome),
        "ece": calibration_error(probability, outcome),
    }


def error_scores(predicted: Numbers, target: Numbers, *, unit: str) -> dict[str, float]:
    """Return `mae_<unit>` and `rmse_<unit>`."""
    error = np.asarray(predicted, np.float64) - target
    return {f"mae_{unit}": float(np.abs(error).mean()), f"rmse_{unit}": float(np.sqrt(np.square(error).mean()))}


def interval(values: Numbers, group: NDArray[np.str_], *, seed: int) -> tuple[float, float]:
    """Return the ends of the 95 % interval of the mean over groups drawn with replacement; of one group, the mean.

    Rows of one group are far from independent; resampling rows would claim too narrow an interval.
    """
    found = Resampling(group, seed=seed).mean(values)
    if found.low is None or found.high is None:
        return found.value, found.value
    return found.low, found.high
