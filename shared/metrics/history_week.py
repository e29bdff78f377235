"""Metrics of an athlete's last days: monotony, strain, days since something was done."""

import numpy as np
from numpy.typing import NDArray

from shared.metrics.history import Series, known_share, trailing

WEEK = 7


def monotony(load: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mean over standard deviation (ddof 1) of the 7 days up to each; NaN if one is unknown or all are equal."""
    week = trailing(load, WEEK)
    mean, spread = week.mean(axis=1), week.std(axis=1, ddof=1)
    # Equal loads whose squares do not add up exactly leave a spread of rounding, not one of training.
    varied = spread > 1e-9 * np.abs(mean)
    ratio = np.full(len(load), np.nan)
    np.divide(mean, spread, out=ratio, where=varied)
    return ratio


class Monotony:
    """Foster's monotony."""

    metric_id = "monotony@1"
    title = "Monotony"
    unit = "1"
    decimals = 2
    labels: tuple[str, ...] = ("monotony",)
    formula = "mean / standard deviation (n−1) of the last 7 daily loads, rest days 0"
    rules = "not said if one of the 7 days is unknown or if all are equal (deviation 0)"
    source = "Foster 1998, MSSE 30:1164"
    window_days = WEEK

    def series(self, load: NDArray[np.float64]) -> Series:
        """Return the monotony on every day."""
        return Series(values=monotony(load)[:, None], coverage=known_share(load, WEEK))


class Strain:
    """Foster's strain."""

    metric_id = "strain@1"
    title = "Strain"
    unit = "AU"
    decimals = 0
    labels: tuple[str, ...] = ("strain", "week_load")
    formula = "Σ load of the last 7 days × monotony"
    rules = Monotony.rules + "; in units of the load"
    source = Monotony.source
    window_days = WEEK

    def series(self, load: NDArray[np.float64]) -> Series:
        """Return strain and the week's load on every day."""
        week = trailing(load, WEEK).sum(axis=1)
        return Series(values=np.column_stack((week * monotony(load), week)), coverage=known_share(load, WEEK))


class DaysSince:
    """Days since the last load above zero: since the last session, or since the last sprint of a series of sprints."""

    metric_id = "days_since@1"
    title = "Days since the last"
    unit = "d"
    decimals = 0
    labels: tuple[str, ...] = ("days",)
    formula = "days since the last day with a load above 0; 0 on such a day"
    rules = "coverage is the known share of the last 28 days: on an unknown day it may have happened"
    source = "definition"
    window_days = 28

    def series(self, load: NDArray[np.float64]) -> Series:
        """Return the days since on every day, NaN before the first."""
        index = np.arange(len(load), dtype=np.float64)
        done = np.where(np.nan_to_num(load) > 0, index, -np.inf)
        last = np.maximum.accumulate(done) if len(load) else done
        days = np.where(np.isfinite(last), index - last, np.nan)
        return Series(values=days[:, None], coverage=known_share(load, self.window_days))
