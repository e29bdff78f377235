"""Impulse-response metrics of daily load: chronic and acute training load, and Banister's fitness and fatigue."""

import math

import numpy as np
from numpy.typing import NDArray

from shared.metrics.history import Series, known_share

FITNESS_DAYS = 42.0
FATIGUE_DAYS = 7.0


def smoothed(load: NDArray[np.float64], tau_days: float, *, linear: bool = False) -> NDArray[np.float64]:
    """Return the first-order response of each day, from 0: y += k·(load − y).

    k = 1 − e^(−1/τ); the linear form k = 1/τ, which some software uses, reads up to 1 % higher. An unknown day leaves
    it as it was.
    """
    step = 1.0 / tau_days if linear else 1.0 - math.exp(-1.0 / tau_days)
    values = np.zeros(len(load))
    value = 0.0
    for i, today in enumerate(load.tolist()):
        if today == today:  # noqa: PLR0124  false for NaN only
            value += step * (today - value)
        values[i] = value
    return values


def impulse_sum(load: NDArray[np.float64], tau_days: float) -> NDArray[np.float64]:
    """Return on each day Σ load·e^(−age/τ) over it and the days before, each aged by one day more: as next morning.

    An unknown day leaves it as it was.
    """
    decay = math.exp(-1.0 / tau_days)
    values = np.zeros(len(load))
    value = 0.0
    for i, today in enumerate(load.tolist()):
        if today == today:  # noqa: PLR0124  false for NaN only
            value = (value + today) * decay
        values[i] = value
    return values


class TrainingLoad:
    """Chronic and acute training load and their balance (the performance management chart)."""

    unit = "AU"
    decimals = 1
    labels: tuple[str, ...] = ("ctl", "atl", "tsb")
    rules = (
        "starts from 0 and reads low until 42 days have passed; an unknown day leaves both as they were; "
        "TSB is that of the morning: CTL − ATL of the day before"
    )
    source = "Coggan 2003; Allen & Coggan 2010"
    window_days = int(FITNESS_DAYS)

    def __init__(self, *, linear: bool = False) -> None:
        self._linear = linear
        self.metric_id = "training_load_linear@1" if linear else "training_load@1"
        self.title = "Training load of 42 and 7 days" + (", linear form" if linear else "")
        step = "k = 1/τ" if linear else "k = 1 − e^{−1/τ}"
        self.formula = f"y_t = y_{{t−1}} + k·(load − y_{{t−1}}), {step}; CTL τ = 42 d, ATL τ = 7 d"

    def series(self, load: NDArray[np.float64]) -> Series:
        """Return CTL, ATL and TSB on every day."""
        chronic = smoothed(load, FITNESS_DAYS, linear=self._linear)
        acute = smoothed(load, FATIGUE_DAYS, linear=self._linear)
        balance = np.concatenate(([0.0], (chronic - acute)[:-1]))[: len(load)]
        return Series(values=np.column_stack((chronic, acute, balance)), coverage=known_share(load, self.window_days))


class FitnessFatigue:
    """Banister's impulse-response model with its usual constants, not fitted to the athlete."""

    metric_id = "fitness_fatigue@1"
    title = "Fitness and fatigue (model)"
    unit = "AU"
    decimals = 0
    labels: tuple[str, ...] = ("performance", "fitness", "fatigue")
    formula = "p = p0 + k1·Σ load·e^{−age/45} − k2·Σ load·e^{−age/15}; k1 = 1, k2 = 2, p0 = 0; age ≥ 1 d"
    rules = (
        "for research: the constants are the usual ones, and fitted ones are unstable; as of the morning after; "
        "an unknown day leaves both sums as they were"
    )
    source = "Banister 1975; Morton 1990, J Appl Physiol 69:1171"
    window_days = 45

    def __init__(self, *, p0: float = 0.0, k1: float = 1.0, k2: float = 2.0) -> None:
        self._p0, self._k1, self._k2 = p0, k1, k2

    def series(self, load: NDArray[np.float64]) -> Series:
        """Return performance, fitness and fatigue on the morning after every day."""
        fitness, fatigue = self._k1 * impulse_sum(load, 45.0), self._k2 * impulse_sum(load, 15.0)
        values = np.column_stack((self._p0 + fitness - fatigue, fitness, fatigue))
        return Series(values=values, coverage=known_share(load, self.window_days))
