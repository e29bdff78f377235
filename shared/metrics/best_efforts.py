"""Best efforts of a session: the highest mean power and speed over given durations."""

import numpy as np
from numpy.typing import NDArray

from shared.metrics.base import MetricValue
from shared.metrics.offline import Whole, per_second

DURATIONS_S = (5, 15, 60, 180, 300, 720, 1200)
_LABELS = ("5s", "15s", "1min", "3min", "5min", "12min", "20min")
_RULES = (
    "from seconds, each the mean of its readings; a stretch with a second missing does not count, "
    "but up to 3 s hold the last value; not said for durations longer than any unbroken stretch"
)


def best_efforts(values: NDArray[np.float64], durations_s: tuple[int, ...] = DURATIONS_S) -> tuple[float, ...]:
    """Return the highest mean of `values` float64[seconds] over each duration, NaN where no stretch is complete."""
    known = np.isfinite(values)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    counts = np.concatenate(([0], np.cumsum(known)))
    best = []
    for seconds in durations_s:
        complete = counts[seconds:] - counts[:-seconds] == seconds
        means = (sums[seconds:] - sums[:-seconds])[complete] / seconds
        best.append(float(means.max()) if len(means) else np.nan)
    return tuple(best)


class _BestEfforts:
    decimals = 0
    labels: tuple[str, ...] = _LABELS
    needs: tuple[str, ...] = ()
    rules = _RULES
    source = "mean-maximal curve; Pinot & Grappe 2011"
    streams: tuple[str, ...]
    quantity: str

    def value(self, whole: Whole) -> MetricValue:
        """Return the best mean of each duration; coverage is the share of seconds with a reading."""
        values = per_second(whole.streams[self.streams[0]], self.quantity)
        known = float(np.isfinite(values).mean()) if len(values) else 0.0
        return MetricValue(values=best_efforts(values), coverage=known)


class BestPower(_BestEfforts):
    """Mean-maximal power."""

    metric_id = "best_power@1"
    title = "Best power by duration"
    unit = "W"
    formula = "max over t of mean power in [t, t + d), d = 5 s … 20 min"
    streams = ("power",)
    quantity = "power_w"


class BestSpeed(_BestEfforts):
    """Mean-maximal speed, as the device measures it."""

    metric_id = "best_speed@1"
    title = "Best speed by duration"
    unit = "m/s"
    decimals = 2
    formula = "max over t of mean speed in [t, t + d), d = 5 s … 20 min"
    streams = ("speed",)
    quantity = "speed_mps"
