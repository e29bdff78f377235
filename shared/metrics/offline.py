"""Metrics that need the whole session at once; they stand in the tables, not on the tablet."""

from collections.abc import Mapping
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.metrics.base import Described, MetricValue, Profile
from shared.metrics.hrv_offline import CorrectedRuns, corrected_runs
from shared.readings import Quality, Readings

_IMPLAUSIBLE = np.uint8(Quality.IMPLAUSIBLE)
# What a sensor of 1 Hz leaves out when its clock and ours drift past one another.
_HOLD_SECONDS = 3


class Whole:
    """A session of one athlete: one block in time order per stream, and what several metrics make of them, once."""

    def __init__(self, streams: Mapping[str, Readings], profile: Profile) -> None:
        self.streams = streams
        self.profile = profile

    @cached_property
    def corrected_rr(self) -> CorrectedRuns:
        """The session's RR intervals, corrected."""
        return corrected_runs(self.streams["rr"])


class OfflineMetric(Described, Protocol):
    """A metric of a whole session; `streams` and `needs` are as in `Metric`."""

    @property
    def streams(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def needs(self) -> tuple[str, ...]: ...  # noqa: D102

    def value(self, whole: Whole) -> MetricValue:
        """Return the value of a session that has the metric's streams."""


def per_second(block: Readings, quantity: str) -> NDArray[np.float64]:
    """Return a quantity's mean in each second from the first reading to the last, float64[seconds].

    A second without a reading repeats the last one for up to 3 s and is NaN after that.
    """
    values = block.column(quantity)
    usable = ((block.quality & _IMPLAUSIBLE) == 0) & np.isfinite(values)
    if not usable.any():
        return np.zeros(0)
    seconds = block.time_ns[usable] // NS_PER_S
    seconds -= seconds[0]
    count = np.bincount(seconds)
    sums = np.bincount(seconds, weights=values[usable])
    means = np.divide(sums, count, out=np.full(len(count), np.nan), where=count > 0)
    last = np.maximum.accumulate(np.where(count > 0, np.arange(len(count)), 0))
    held = np.arange(len(count)) - last <= _HOLD_SECONDS
    return np.where(held, means[last], np.nan)
