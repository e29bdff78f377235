"""Heart-rate variability of a whole session, its RR intervals corrected as Kubios does."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shared.metrics.base import MetricValue
from shared.metrics.offline import Whole

MIN_CLEAN_S = 60.0
MAX_CORRECTED = 0.05

Runs = list[NDArray[np.float64]]


def rmssd_ms(stretches: Runs) -> float:
    """Return the root mean square of differences of neighbouring intervals."""
    return math.sqrt(float(np.mean(_changes(stretches) ** 2)))


def sdnn_ms(stretches: Runs) -> float:
    """Return the standard deviation (n − 1) of all intervals."""
    return float(np.std(np.concatenate(stretches), ddof=1))


def pnn50_percent(stretches: Runs) -> float:
    """Return the share of differences over 50 ms, of all differences."""
    return float(np.mean(np.abs(_changes(stretches)) > 50.0) * 100.0)


def ln_rmssd(stretches: Runs) -> float:
    """Return the logarithm of RMSSD, NaN for a heart without variability."""
    spread_ms = rmssd_ms(stretches)
    return math.log(spread_ms) if spread_ms > 0 else math.nan


class CorrectedVariability:
    """One number of the variability of corrected intervals."""

    streams: tuple[str, ...] = ("rr",)
    needs: tuple[str, ...] = ()
    rules = (
        "beats corrected by Lipponen & Tarvainen; differences only within a run; not said with over 5 % of beats "
        "corrected or under 60 s of intervals; quality is the share not corrected"
    )
    source = "Task Force 1996; Lipponen & Tarvainen 2019, J Med Eng Technol 43:173"

    def __init__(
        self, name: str, title: str, unit: str, decimals: int, formula: str, measure: Callable[[Runs], float]
    ) -> None:
        self.metric_id = f"{name}@1"
        self.title = title
        self.unit = unit
        self.decimals = decimals
        self.labels: tuple[str, ...] = (name,)
        self.formula = formula
        self._measure = measure

    def value(self, whole: Whole) -> MetricValue:
        """Return the number over all corrected runs of the session."""
        found = whole.corrected_rr
        quality = max(0.0, 1.0 - found.corrected)
        notes: tuple[str, ...] = ()
        if found.corrected > MAX_CORRECTED:
            notes = (f"{100 * found.corrected:.0f} % of beats corrected",)
        elif found.seconds < MIN_CLEAN_S:
            notes = (f"{found.seconds:.0f} s of intervals",)
        number = math.nan if notes else self._measure(found.runs)
        return MetricValue(values=(number,), coverage=found.covered, quality=quality, notes=notes)


def _changes(stretches: Runs) -> NDArray[np.float64]:
    return np.concatenate([np.diff(run) for run in stretches])
