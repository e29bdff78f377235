"""Constants of an athlete from tests: critical power and W', critical speed and D', HRmax from age, target heart rates.

They go into a Profile by hand: a fit is a proposal with its error, not a measurement.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORTEST_S, LONGEST_S = 120.0, 1200.0
"""Maximal efforts of 2 to 20 minutes: shorter ones are not aerobic, longer ones not limited by the reserve."""
MIN_EFFORTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalFit:
    """The sustainable `rate` (W or m/s) and the `reserve` above it (J or m), each with its standard error.

    `r_squared` is that of the fitted line, `efforts` how many it rests on.
    """

    rate: float
    reserve: float
    rate_error: float
    reserve_error: float
    r_squared: float
    efforts: int


def fit_critical_power(
    seconds: NDArray[np.float64], watts: NDArray[np.float64], *, inverse: bool = False
) -> CriticalFit:
    """Fit critical power and W' to maximal efforts: their durations and mean powers, both float64[n].

    The line is work = CP·t + W' (Moritani 1981), or with `inverse` power = W'·(1/t) + CP, which weighs short efforts
    more. Raises: ValueError with fewer than three efforts of different durations in 2..20 min.
    """
    seconds, watts = _usable(seconds, watts)
    if inverse:
        slope, intercept, slope_error, intercept_error, r_squared = _line(1.0 / seconds, watts)
        return CriticalFit(
            rate=intercept,
            reserve=slope,
            rate_error=intercept_error,
            reserve_error=slope_error,
            r_squared=r_squared,
            efforts=len(seconds),
        )
    return _fit_amounts(seconds, watts * seconds)


def fit_critical_speed(seconds: NDArray[np.float64], metres: NDArray[np.float64]) -> CriticalFit:
    """Fit critical speed and D' to time trials: distance = CS·t + D' (Hughson 1984), both float64[n].

    Raises: ValueError with fewer than three efforts of different durations in 2..20 min.
    """
    return _fit_amounts(*_usable(seconds, metres))


def time_to_exhaustion_s(power_w: float, critical_power_w: float, w_prime_j: float) -> float:
    """Return how long a power can be held, W'/(P − CP); infinite at and below critical power."""
    return w_prime_j / (power_w - critical_power_w) if power_w > critical_power_w else np.inf


def hr_max_tanaka(age_years: float) -> float:
    """Return HRmax (bpm) by age, 208 − 0.7·age (Tanaka 2001, standard error about 10 bpm): `hr_max_estimated`."""
    return 208.0 - 0.7 * age_years


def karvonen_bpm(share: float, *, hr_rest_bpm: float, hr_max_bpm: float) -> float:
    """Return the heart rate at a share (0..1) of the reserve, rest + share·(max − rest) (Karvonen 1957)."""
    return hr_rest_bpm + share * (hr_max_bpm - hr_rest_bpm)


def _usable(
    seconds: NDArray[np.float64], amounts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the efforts of a length that the model holds for."""
    usable = (seconds >= SHORTEST_S) & (seconds <= LONGEST_S) & np.isfinite(amounts) & (amounts > 0)
    seconds, amounts = seconds[usable], amounts[usable]
    if len(np.unique(seconds)) < MIN_EFFORTS:
        raise ValueError(f"{len(np.unique(seconds))} maximal efforts of 2 to 20 min, needs {MIN_EFFORTS}")
    return seconds, amounts


def _fit_amounts(seconds: NDArray[np.float64], amounts: NDArray[np.float64]) -> CriticalFit:
    slope, intercept, slope_error, intercept_error, r_squared = _line(seconds, amounts)
    return CriticalFit(
        rate=slope,
        reserve=intercept,
        rate_error=slope_error,
        reserve_error=intercept_error,
        r_squared=r_squared,
        efforts=len(seconds),
    )


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float, float, float]:
    """Return slope, intercept, their standard errors and R² of ordinary least squares, n >= 3."""
    offset, height = x - x.mean(), y - y.mean()
    spread = float(offset @ offset)
    slope = float(offset @ height) / spread
    intercept = float(y.mean() - slope * x.mean())
    residual = y - (slope * x + intercept)
    variance = float(residual @ residual) / (len(x) - 2)
    total = float(height @ height)
    return (
        slope,
        intercept,
        float(np.sqrt(variance / spread)),
        float(np.sqrt(variance * (1.0 / len(x) + x.mean() ** 2 / spread))),
        1.0 - float(residual @ residual) / total if total > 0 else 1.0,
    )
