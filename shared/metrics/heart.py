"""Time in heart-rate zones, by share of HRmax and by share of heart-rate reserve."""

import bisect
from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.metrics.base import Profile
from shared.metrics.fold import Folded, FoldMetric
from shared.metrics.held import HEART, HOLD_RULE, Held

ZONE_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Lower edges of zones 1..5 as a share of HRmax; lo <= x < hi, the last is open, below the first is zone 0."""
ZONES = ("z0", "z1", "z2", "z3", "z4", "z5")
HEART_RULES = f"{HOLD_RULE}; readings off the skin or beyond 25..250 bpm are left out"
_IN_ZONE = np.eye(len(ZONES))
_RESERVE_CEILING = 1.05
_ESTIMATED = "HRmax is estimated from age, not tested"
_OVER = "heart rate exceeded HRmax: HRmax needs an update"


def zone_of(heart_rate_bpm: float, hr_max_bpm: float) -> int:
    """Return the zone 0..5 of a heart rate by share of HRmax."""
    return bisect.bisect_right(ZONE_EDGES, heart_rate_bpm / hr_max_bpm + 1e-12)


def reserve_share(heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
    """Return (HR - rest) / (max - rest), clamped to 0..1.05 (Karvonen 1957)."""
    share = (heart_rate_bpm - profile.hr_rest_bpm) / (profile.hr_max_bpm - profile.hr_rest_bpm)
    return np.clip(share, 0.0, _RESERVE_CEILING)


def target_bpm(share: float, profile: Profile) -> float:
    """Return the heart rate at a share of the reserve: rest + share · (max − rest) (Karvonen 1957)."""
    return profile.hr_rest_bpm + share * (profile.hr_max_bpm - profile.hr_rest_bpm)


def estimated_hr_max_bpm(age_years: float) -> float:
    """Return 208 − 0.7 · age (Tanaka 2001); a profile that uses it says so in `hr_max_estimated`."""
    return 208.0 - 0.7 * age_years


def in_zones(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 in the column of each share's zone, float64[n, 6]."""
    # The small term keeps a share that equals an edge but for rounding in the zone above, as lo <= x says.
    return _IN_ZONE[np.searchsorted(ZONE_EDGES, shares + 1e-12, side="right")]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartTotal:
    """Sums by label, and the time over HRmax."""

    sums: NDArray[np.float64]
    over_s: float = 0.0


class HeartSums(FoldMetric[Held, HeartTotal]):
    """Sums `weigh(bpm) · seconds` over held readings."""

    cut = HEART
    streams = ("heart_rate",)
    labels: tuple[str, ...]
    rests_on_hr_max = True

    @abstractmethod
    def weigh(self, heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
        """Return what one second at each heart rate adds, float64[n, labels]."""

    def begin(self, profile: Profile) -> HeartTotal:  # noqa: ARG002  nothing is nothing for everybody
        """Return zeros."""
        return HeartTotal(sums=np.zeros(len(self.labels)))

    def add(self, total: HeartTotal, piece: Held, profile: Profile) -> HeartTotal:
        """Return the sums with the piece's readings added."""
        rates = piece.values[:, 0]
        return HeartTotal(
            sums=total.sums + piece.seconds @ self.weigh(rates, profile),
            over_s=total.over_s + float(piece.seconds @ (rates > profile.hr_max_bpm)),
        )

    def tell(self, folded: Folded[Held, HeartTotal]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the sums, and what is to be known of the HRmax that they rest on."""
        notes: list[str] = []
        if folded.first_ns is not None and self.rests_on_hr_max:
            notes += [_ESTIMATED] * folded.profile.hr_max_estimated + [_OVER] * (folded.total.over_s > 0)
        return tuple(folded.total.sums.tolist()), tuple(notes)

    def quality(self, folded: Folded[Held, HeartTotal]) -> float:
        """Return the share of sound readings; none is while HRmax is estimated."""
        return 0.0 if self.rests_on_hr_max and folded.profile.hr_max_estimated else super().quality(folded)


class ZoneSeconds(HeartSums):
    """Seconds in zones 0..5 by share of HRmax."""

    metric_id = "hr_zone_seconds@1"
    title = "Time in heart-rate zones"
    decimals = 0
    needs = ("hr_max_bpm",)
    rules = f"lo ≤ x < hi, the last zone is open, below half of HRmax is zone 0; {HEART_RULES}"
    source = "Edwards 1993"
    unit = "s"
    labels = ZONES
    formula = "Σ Δt by HR/HRmax in [0, 0.5, 0.6, 0.7, 0.8, 0.9, ∞)"

    def weigh(self, heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
        """Return 1 in the zone's column."""
        return in_zones(heart_rate_bpm / profile.hr_max_bpm)


class ReserveZoneSeconds(HeartSums):
    """Seconds in zones 0..5 by share of heart-rate reserve."""

    metric_id = "hr_reserve_zone_seconds@1"
    title = "Time in heart-rate reserve zones"
    decimals = 0
    needs = ("hr_rest_bpm", "hr_max_bpm")
    rules = (
        f"lo ≤ x < hi, the last zone is open, below half of the reserve is zone 0; x is held to 0..1.05; {HEART_RULES}"
    )
    source = "Karvonen 1957"
    unit = "s"
    labels = ZONES
    formula = "Σ Δt by x in [0, 0.5, 0.6, 0.7, 0.8, 0.9, ∞), x = (HR−rest)/(max−rest)"

    def weigh(self, heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
        """Return 1 in the zone's column."""
        return in_zones(reserve_share(heart_rate_bpm, profile))
