"""`effort`: what heart rate to expect from an athlete's recent movement; the model that gateways run.

It learns the share of the heart-rate reserve, (HR - rest) / (max - rest) (Karvonen 1957), and gives it back in bpm: one
squad's numbers then carry over to athletes with another resting and maximal heart rate.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.rows import EffortRows
from cloud.datasets.task_rows import STRETCHES, TaskRows
from cloud.training.tabular.model import linear_regressor, trees_regressor
from cloud.training.tabular.task import Task
from shared.features.athlete import ATHLETE_EFFORT
from shared.metrics.base import SPEED_EDGES_MPS

UNUSUAL_RESIDUAL = 2.5
"""How many standard deviations between measured and expected heart rate are called unusual."""
_SPEED = "speed_mean_15s"
_MIN_ROWS_OF_A_MEAN = 5
_FEATURES = len(ATHLETE_EFFORT.features)


def task_rows(rows: EffortRows) -> TaskRows:
    """Return the rows of the effort model as rows of a task; what is held out stays held out."""
    return TaskRows(
        feature_set=ATHLETE_EFFORT,
        group=rows.athlete,
        time_ns=rows.time_ns,
        stretch=_stretches(rows),
        features=rows.features,
        target=rows.hr_bpm,
        held_out=rows.held_out,
    )


def athlete_means(training: TaskRows, rows: TaskRows) -> Mapping[str, NDArray[np.floating]]:
    """Return the athlete's mean heart rate (bpm) in training rows, and that of the same speed band.

    Where an athlete has too few such rows, the squad's mean share of the reserve stands in.
    """
    return {"speed_band_mean": _mean(training, rows, by_speed=True), "mean": _mean(training, rows, by_speed=False)}


EFFORT = Task(
    name="effort",
    feature_set=ATHLETE_EFFORT,
    metric="mae_bpm",
    unit="bpm",
    span=100.0,
    zero="hr_rest",
    full="hr_max",
    candidates={
        "gradient_boosting": trees_regressor(features=_FEATURES),
        "ridge": linear_regressor(features=_FEATURES),
    },
    fitted_bars=athlete_means,
    # Time and distance only ever grow, and are left out.
    ranged=("speed_mean_", "power_mean_"),
    thresholds={"unusual_residual": UNUSUAL_RESIDUAL},
    intended_use=(
        "Expects an athlete's heart rate (bpm) from the last two minutes of movement, to show a coach when the "
        "measured one is unusual for this effort. Made for team sports outdoors, adults, chest straps and position "
        "tags at 10 Hz. Learnt from the data set named here, simulated squads where that is `effort@files`. Not a "
        "medical assessment; no decision is left to it."
    ),
)


def _mean(training: TaskRows, rows: TaskRows, *, by_speed: bool) -> NDArray[np.float64]:
    share, expected = _share(training), np.full(len(rows), float(_share(training).mean()))
    band_known, band = (_band(training), _band(rows)) if by_speed else (np.zeros(len(training)), np.zeros(len(rows)))
    for value in np.unique(band):
        in_band = band_known == value
        if in_band.sum() >= _MIN_ROWS_OF_A_MEAN:
            expected[band == value] = share[in_band].mean()
        for athlete in np.unique(rows.group):
            own = in_band & (training.group == athlete)
            if own.sum() >= _MIN_ROWS_OF_A_MEAN:
                expected[(band == value) & (rows.group == athlete)] = share[own].mean()
    rest, most = rows.feature("hr_rest"), rows.feature("hr_max")
    bpm: NDArray[np.float64] = rest + expected * (most - rest)
    return bpm


def _share(rows: TaskRows) -> NDArray[np.float64]:
    rest, most = rows.feature("hr_rest").astype(np.float64), rows.feature("hr_max").astype(np.float64)
    share: NDArray[np.float64] = (rows.target - rest) / (most - rest)
    return share


def _band(rows: TaskRows) -> NDArray[np.float64]:
    return np.searchsorted(SPEED_EDGES_MPS, rows.feature(_SPEED), side="right").astype(np.float64)


def _stretches(rows: EffortRows) -> NDArray[np.int64]:
    """Return which of STRETCHES equal parts of its session's trained time each row lies in."""
    stretch = np.zeros(len(rows), np.int64)
    for session in np.unique(rows.session):
        chosen = rows.session == session
        trained = rows.time_ns[chosen & ~rows.held_out]
        if not len(trained):
            continue
        span_ns = int(np.ptp(trained)) + 1
        stretch[chosen] = np.minimum((rows.time_ns[chosen] - trained.min()) * STRETCHES // span_ns, STRETCHES - 1)
    return stretch
