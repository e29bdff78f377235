"""History metrics: functions of an athlete's daily load. Here what they are, and the workload ratios.

Missing is not zero: a day of which nothing is known is NaN, a rest day is 0. A mean over days with unknown ones is the
mean of the known ones, and is said only if enough of them are known.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from shared.metrics.base import Described, MetricValue

ACUTE_DAYS = 7
CHRONIC_DAYS = 28
HISTORY_DAYS = 21
"""Known days of the last 28 without which a ratio is not said."""
ACUTE_KNOWN_DAYS = 5
"""Known days of the last 7 without which it is not said either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric on every day: `values` float64[n, labels], `coverage` float64[n] the known share of its window."""

    values: NDArray[np.float64]
    coverage: NDArray[np.float64]


class HistoryMetric(Described, Protocol):
    """A metric of daily loads; `window_days` is how far it looks back."""

    @property
    def window_days(self) -> int: ...  # noqa: D102

    def series(self, load: NDArray[np.float64]) -> Series:
        """Return the metric on every day of `load` float64[n]: one value per day without a hole, NaN where unknown."""


def on_every_day(days: NDArray[np.int64], load: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return every day from the first to the last, int64[m], and its load, NaN where none was given.

    `days` int64[n] are ordinals (`datetime.date.toordinal`) in any order; loads of one day add up, NaN with anything
    is NaN: of a day on which one session's load is unknown, the sum is.
    """
    if not len(days):
        return np.zeros(0, np.int64), np.zeros(0)
    grid = np.arange(days.min(), days.max() + 1)
    sums, given = np.zeros(len(grid)), np.zeros(len(grid), bool)
    np.add.at(sums, days - grid[0], load)
    given[days - grid[0]] = True
    return grid, np.where(given, sums, np.nan)


def last_value(metric: HistoryMetric, days: NDArray[np.int64], load: NDArray[np.float64]) -> MetricValue:
    """Return a metric on the last of `days`, see `on_every_day`; NaN and a note where too little is known."""
    _, daily = on_every_day(days, load)
    if not len(daily):
        return MetricValue(values=(np.nan,) * len(metric.labels), coverage=0.0, notes=("no day is known",))
    series = metric.series(daily)
    unknown = int(np.isnan(daily[-metric.window_days :]).sum())
    notes = [f"{unknown} of the last {min(metric.window_days, len(daily))} days are unknown"] if unknown else []
    if len(daily) < metric.window_days:
        notes.append(f"history of {len(daily)} days, the window has {metric.window_days}")
    return MetricValue(
        values=tuple(float(value) for value in series.values[-1]),
        coverage=float(series.coverage[-1]),
        notes=tuple(notes),
    )


def trailing(load: NDArray[np.float64], days: int) -> NDArray[np.float64]:
    """Return each day's last `days` loads, oldest first, float64[n, days]; NaN before the first day."""
    if not len(load):
        return np.zeros((0, days))
    return sliding_window_view(np.concatenate((np.full(days - 1, np.nan), load)), days)


def known_share(load: NDArray[np.float64], days: int) -> NDArray[np.float64]:
    """Return on each day the share of the last `days` that is known, float64[n]."""
    return np.asarray(np.isfinite(trailing(load, days)).mean(axis=1), np.float64)


def known_mean(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the known values of each row, NaN where none is."""
    known = np.isfinite(windows)
    count = known.sum(axis=1)
    sums = np.where(known, windows, 0.0).sum(axis=1)
    means = np.full(len(windows), np.nan)
    np.divide(sums, count, out=means, where=count > 0)
    return means


def ewma(load: NDArray[np.float64], days: int) -> NDArray[np.float64]:
    """Return the exponentially weighted mean of each day, λ = 2/(days+1), starting at the first known load.

    An unknown day leaves it as it was (Williams 2017, BJSM 51:209, for complete days).
    """
    weight = 2.0 / (days + 1.0)
    means = np.full(len(load), np.nan)
    mean = np.nan
    for i, today in enumerate(load.tolist()):
        if today == today:  # noqa: PLR0124  false for NaN only
            mean = today if mean != mean else weight * today + (1.0 - weight) * mean  # noqa: PLR0124
        means[i] = mean
    return means


def ratio(acute: NDArray[np.float64], chronic: NDArray[np.float64], load: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return acute over chronic, NaN where the chronic load is 0 or too few days are known."""
    said = np.isfinite(trailing(load, CHRONIC_DAYS)).sum(axis=1) >= HISTORY_DAYS
    said &= np.isfinite(trailing(load, ACUTE_DAYS)).sum(axis=1) >= ACUTE_KNOWN_DAYS
    said &= np.isfinite(chronic) & (np.nan_to_num(chronic) > 0)
    shares = np.full(len(load), np.nan)
    np.divide(acute, chronic, out=shares, where=said)
    return shares


_RATIO_RULES = (
    "describes how the last week compares with the last four, nothing more; an unknown day is left out, never 0; "
    "said only with 21 of the last 28 and 5 of the last 7 days known and a chronic load above 0"
)


class WorkloadRatio:
    """Rolling means: the last 7 days over the last 28, or over the 21 before them (uncoupled)."""

    unit = "1"
    decimals = 2
    labels: tuple[str, ...] = ("ratio", "acute", "chronic")
    rules = _RATIO_RULES
    window_days = CHRONIC_DAYS

    def __init__(self, *, coupled: bool) -> None:
        self._coupled = coupled
        self.metric_id = "acwr_rolling@1" if coupled else "acwr_uncoupled@1"
        self.title = "Load of 7 days to 28" if coupled else "Load of 7 days to the 21 before"
        self.formula = (
            "mean load of days 1-7 / mean load of days 1-28"
            if coupled
            else "mean load of days 1-7 / mean load of days 8-28"
        )
        self.source = "Hulin 2014; Gabbett 2016" if coupled else "Windt & Gabbett 2019, BJSM 53:988"

    def series(self, load: NDArray[np.float64]) -> Series:
        """Return ratio, acute and chronic load on every day."""
        acute = known_mean(trailing(load, ACUTE_DAYS))
        month = trailing(load, CHRONIC_DAYS)
        chronic = known_mean(month if self._coupled else month[:, :-ACUTE_DAYS])
        values = np.column_stack((ratio(acute, chronic, load), acute, chronic))
        return Series(values=values, coverage=known_share(load, CHRONIC_DAYS))


class WorkloadRatioEwma:
    """Exponentially weighted means of 7 and 28 days."""

    metric_id = "acwr_ewma@1"
    title = "Load of 7 days to 28, weighted"
    unit = "1"
    decimals = 2
    labels: tuple[str, ...] = ("ratio", "acute", "chronic")
    formula = "E_t = λ·load + (1−λ)·E_{t−1}, λ = 2/(N+1), E_1 = first load; ratio = E(7)/E(28)"
    rules = _RATIO_RULES + "; an unknown day leaves both means as they are"
    source = "Williams 2017, BJSM 51:209"
    window_days = CHRONIC_DAYS

    def series(self, load: NDArray[np.float64]) -> Series:
        """Return ratio, acute and chronic load on every day."""
        acute, chronic = ewma(load, ACUTE_DAYS), ewma(load, CHRONIC_DAYS)
        values = np.column_stack((ratio(acute, chronic, load), acute, chronic))
        return Series(values=values, coverage=known_share(load, CHRONIC_DAYS))
