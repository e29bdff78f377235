"""Heart-rate metrics: time in zones and Banister's training impulse.

A reading holds until the next one if that comes within 5 s; a longer gap counts one nominal second and the rest is left
out and lowers the coverage. Readings that are implausible, missing or taken off the skin are left out.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.metrics.base import MetricValue, Profile
from shared.readings import Quality
from shared.windows import Window

HOLD_S = 5.0
NOMINAL_S = 1.0
ZONE_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Lower edges of zones 1..5 as a share of HRmax; lo <= x < hi, the last is open, below the first is zone 0."""

_UNUSABLE = np.uint8(Quality.IMPLAUSIBLE | Quality.NO_CONTACT)
# Banister 1991 / Morton 1990: TRIMP = minutes * x * a * e^(b x), x = share of heart-rate reserve.
_BANISTER = {"m": (0.64, 1.92), "f": (0.86, 1.67)}
_RESERVE_CEILING = 1.05


def zone_of(heart_rate_bpm: float, hr_max_bpm: float) -> int:
    """Return the zone 0..5 of a heart rate by share of HRmax."""
    return int(np.searchsorted(ZONE_EDGES, heart_rate_bpm / hr_max_bpm + 1e-12, side="right"))


def reserve_share(heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
    """Return (HR - rest) / (max - rest), clamped to 0..1.05 (Karvonen 1957)."""
    share = (heart_rate_bpm - profile.hr_rest_bpm) / (profile.hr_max_bpm - profile.hr_rest_bpm)
    return np.clip(share, 0.0, _RESERVE_CEILING)


def banister_rate(heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
    """Return TRIMP per minute at each heart rate."""
    a, b = _BANISTER[profile.sex]
    share = reserve_share(heart_rate_bpm, profile)
    return share * a * np.exp(b * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartState:
    """Sums so far, and the last reading, which still holds."""

    profile: Profile
    sums: tuple[float, ...]
    covered_s: float = 0.0
    first_ns: int | None = None
    last_ns: int = 0
    last_bpm: float = math.nan


class _HeartMetric(ABC):
    """Sums `weigh(bpm) * seconds` over held readings."""

    @abstractmethod
    def weigh(self, heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
        """Return what one second at each heart rate adds, float64[n, values]."""

    def start(self, profile: Profile) -> HeartState:
        """Return the state before any window."""
        width = self.weigh(np.zeros(1), profile).shape[1]
        return HeartState(profile=profile, sums=(0.0,) * width)

    def update(self, state: HeartState, window: Window) -> HeartState:
        """Return the state after `window`."""
        first_ns = window.start_ns if state.first_ns is None else state.first_ns
        block = window.streams.get("heart_rate")
        if block is None:
            return replace(state, first_ns=first_ns)
        rates = block.column("heart_rate_bpm")
        usable = ((block.quality & _UNUSABLE) == 0) & np.isfinite(rates)
        times, rates = block.time_ns[usable], rates[usable]
        if not len(times):
            return replace(state, first_ns=first_ns)
        if not math.isnan(state.last_bpm):
            times = np.concatenate(([state.last_ns], times))
            rates = np.concatenate(([state.last_bpm], rates))
        gaps_s = np.diff(times) / NS_PER_S
        seconds = np.where(gaps_s <= HOLD_S, np.maximum(gaps_s, 0.0), NOMINAL_S)
        added = seconds @ self.weigh(rates[:-1], state.profile) if len(seconds) else np.zeros(len(state.sums))
        return replace(
            state,
            sums=tuple(float(s) for s in np.add(state.sums, added)),
            covered_s=state.covered_s + float(seconds.sum()),
            first_ns=first_ns,
            last_ns=int(times[-1]),
            last_bpm=float(rates[-1]),
        )

    def value(self, state: HeartState, *, until_ns: int | None = None) -> MetricValue:
        """Return the sums with the last reading held for its nominal second."""
        if state.first_ns is None or math.isnan(state.last_bpm):
            return MetricValue(values=state.sums, coverage=0.0)
        last = self.weigh(np.array([state.last_bpm]), state.profile)[0] * NOMINAL_S
        end_ns = max(state.last_ns + round(NOMINAL_S * NS_PER_S), until_ns or 0)
        elapsed_s = (end_ns - state.first_ns) / NS_PER_S
        return MetricValue(
            values=tuple(float(s) for s in np.add(state.sums, last)),
            coverage=min(1.0, (state.covered_s + NOMINAL_S) / elapsed_s),
        )


class ZoneSeconds(_HeartMetric):
    """Seconds in zones 0..5 by share of HRmax."""

    metric_id = "hr_zone_seconds@1"
    title = "Time in heart-rate zones"
    decimals = 0
    streams = ("heart_rate",)
    needs: tuple[str, ...] = ()
    rules = "a reading holds for 5 s at most; a longer gap counts one second and lowers the coverage"
    source = "Edwards 1993"
    unit = "s"
    labels = ("z0", "z1", "z2", "z3", "z4", "z5")
    formula = "Σ Δt by HR/HRmax in [0, 0.5, 0.6, 0.7, 0.8, 0.9, ∞); lo ≤ x < hi"

    def weigh(self, heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
        """Return 1 in the zone's column."""
        zones = np.searchsorted(ZONE_EDGES, heart_rate_bpm / profile.hr_max_bpm + 1e-12, side="right")
        return np.asarray(np.eye(6)[zones], np.float64)


class BanisterTrimp(_HeartMetric):
    """Banister's training impulse, integrated per reading; the mean-HR form reads low on changing effort (Jensen)."""

    metric_id = "trimp_banister@1"
    title = "TRIMP (Banister)"
    decimals = 0
    streams = ("heart_rate",)
    needs: tuple[str, ...] = ()
    rules = ZoneSeconds.rules
    source = "Banister 1991; Morton 1990"
    unit = "AU"
    labels = ("trimp",)
    formula = "Σ Δt(min)·x·a·e^{b·x}, x = (HR−rest)/(max−rest); men a=0.64 b=1.92, women a=0.86 b=1.67"

    def weigh(self, heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
        """Return TRIMP per second."""
        return banister_rate(heart_rate_bpm, profile)[:, None] / 60.0
