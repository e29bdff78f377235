"""W' balance by the integral of Skiba 2012, after the session: its time constant needs the mean of the whole."""

import math

import numpy as np
from numpy.typing import NDArray

from shared.metrics.base import MetricValue
from shared.metrics.offline import Whole, per_second


def tau_s(power_w: NDArray[np.float64], critical_power_w: float) -> float:
    """Return the time constant 546·e^(−0.01·D) + 316; D is critical power minus the mean of the powers below it."""
    below = power_w[power_w < critical_power_w]
    difference_w = critical_power_w - float(below.mean()) if len(below) else 0.0
    return 546.0 * math.exp(-0.01 * difference_w) + 316.0


def balance_j(power_w: NDArray[np.float64], critical_power_w: float, w_prime_j: float) -> NDArray[np.float64]:
    """Return W' balance after each second of `power_w` float64[seconds]; an unknown second (NaN) spends nothing."""
    known = power_w[np.isfinite(power_w)]
    decay = math.exp(-1.0 / tau_s(known, critical_power_w))
    spent_j = np.maximum(np.nan_to_num(power_w - critical_power_w), 0.0)
    owed_j = np.empty(len(spent_j))
    owed = 0.0
    for i, joules in enumerate(spent_j.tolist()):
        owed = owed * decay + joules
        owed_j[i] = owed
    return w_prime_j - owed_j


class WorkBalanceIntegral:
    """W' balance at the end, and the lowest."""

    metric_id = "w_balance_integral@1"
    title = "W′ balance (integral)"
    unit = "J"
    decimals = 0
    labels: tuple[str, ...] = ("end", "lowest")
    streams = ("power",)
    needs = ("critical_power_w", "w_prime_j")
    formula = "W′ − Σ max(P − CP, 0)·e^{−(t−u)/τ}, τ = 546·e^{−0.01·(CP − mean P below CP)} + 316 s"
    rules = "1 s steps; a second without power spends nothing; differs from the live differential form by design"
    source = "Skiba 2012, MSSE 44:1526"

    def value(self, whole: Whole) -> MetricValue:
        """Return the balance at the end and the lowest; coverage is the share of seconds with power."""
        power_w = per_second(whole.streams["power"], "power_w")
        critical_power_w, w_prime_j = whole.profile.critical_power_w, whole.profile.w_prime_j
        if not len(power_w) or critical_power_w is None or w_prime_j is None:
            return MetricValue(values=(math.nan, math.nan), coverage=0.0)
        left_j = balance_j(power_w, critical_power_w, w_prime_j)
        return MetricValue(values=(float(left_j[-1]), float(left_j.min())), coverage=float(np.isfinite(power_w).mean()))
