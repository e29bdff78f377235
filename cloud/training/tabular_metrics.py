"""How good the effort model is, beside what one would say without it."""

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.rows import EffortRows
from cloud.training.tabular import ReserveRegressor
from shared.metrics.base import SPEED_EDGES_MPS

_SPEED = "speed_mean_15s"
_MIN_ROWS_OF_A_MEAN = 5
_RESAMPLES = 200


def evaluate(model: ReserveRegressor, rows: EffortRows, *, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return (metrics of the model, metrics of the stronger baseline), in bpm, on the held-out rows.

    `mae_low_bpm`..`mae_high_bpm` is the 95 % interval over resampled athletes; `_new` is on athletes never trained on.
    """
    training, held_out = rows.where(~rows.held_out), rows.where(rows.held_out)
    error = model.predict(held_out.features) - held_out.hr_bpm
    low, high = _interval(np.abs(error), held_out.athlete, seed)
    metrics = _errors(error) | {
        "mae_low_bpm": low,
        "mae_high_bpm": high,
        "residual_sd_bpm": float(np.std(error)),
        "rows": float(len(held_out)),
    }
    new = np.isin(held_out.athlete, np.array(rows.held_out_athletes, np.str_))
    if new.any():
        metrics["mae_new_bpm"] = float(np.abs(error[new]).mean())
    banded = _errors(athlete_mean(training, held_out, by_speed=True) - held_out.hr_bpm)
    plain = _errors(athlete_mean(training, held_out, by_speed=False) - held_out.hr_bpm)
    better = min(banded, plain, key=lambda errors: errors["mae_bpm"])
    named = {"speed_band_mean_mae_bpm": banded["mae_bpm"], "mean_mae_bpm": plain["mae_bpm"]}
    return metrics, better | named


def athlete_mean(training: EffortRows, rows: EffortRows, *, by_speed: bool) -> NDArray[np.float64]:
    """Return the athlete's mean heart rate (bpm) in training rows, of the same speed band if `by_speed`.

    Where an athlete has too few such rows, the squad's mean share of the reserve stands in.
    """
    share, expected = _share(training), np.full(len(rows), float(_share(training).mean()))
    band_known, band = (_band(training), _band(rows)) if by_speed else (np.zeros(len(training)), np.zeros(len(rows)))
    for value in np.unique(band):
        in_band = band_known == value
        if in_band.sum() >= _MIN_ROWS_OF_A_MEAN:
            expected[band == value] = share[in_band].mean()
        for athlete in np.unique(rows.athlete):
            own = in_band & (training.athlete == athlete)
            if own.sum() >= _MIN_ROWS_OF_A_MEAN:
                expected[(band == value) & (rows.athlete == athlete)] = share[own].mean()
    rest, most = rows.feature("hr_rest"), rows.feature("hr_max")
    bpm: NDArray[np.float64] = rest + expected * (most - rest)
    return bpm


def _errors(error: NDArray[np.floating]) -> dict[str, float]:
    return {"mae_bpm": float(np.abs(error).mean()), "rmse_bpm": float(np.sqrt(np.square(error).mean()))}


def _interval(error: NDArray[np.floating], athlete: NDArray[np.str_], seed: int) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of the mean over athletes drawn with replacement.

    Rows of one athlete are far from independent; resampling rows would claim too narrow an interval.
    """
    names, index = np.unique(athlete, return_inverse=True)
    sums, counts = np.bincount(index, error), np.bincount(index)
    drawn = np.random.default_rng(seed).integers(0, len(names), (_RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _share(rows: EffortRows) -> NDArray[np.float64]:
    rest, most = rows.feature("hr_rest").astype(np.float64), rows.feature("hr_max").astype(np.float64)
    share: NDArray[np.float64] = (rows.hr_bpm - rest) / (most - rest)
    return share


def _band(rows: EffortRows) -> NDArray[np.float64]:
    return np.searchsorted(SPEED_EDGES_MPS, rows.feature(_SPEED), side="right").astype(np.float64)
