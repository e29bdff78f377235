"""Training impulses: heart rate weighted by how hard it is, summed over time."""

import numpy as np
from numpy.typing import NDArray

from shared.metrics.base import Profile
from shared.metrics.heart import HEART_RULES, HeartSums, in_zones, reserve_share

# Banister 1991 / Morton 1990: TRIMP = minutes * x * a * e^(b x), x = share of heart-rate reserve.
_BANISTER = {"m": (0.64, 1.92), "f": (0.86, 1.67)}
_ZONE_WEIGHTS = np.arange(6.0)


def banister_rate(heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
    """Return TRIMP per minute at each heart rate."""
    a, b = _BANISTER[profile.sex]
    share = reserve_share(heart_rate_bpm, profile)
    return share * a * np.exp(b * share)


class BanisterTrimp(HeartSums):
    """Banister's training impulse, integrated per reading; the mean-HR form reads low on changing effort (Jensen)."""

    metric_id = "trimp_banister@1"
    title = "TRIMP (Banister)"
    decimals = 0
    needs = ("sex", "hr_rest_bpm", "hr_max_bpm")
    rules = f"summed per reading, not from the mean heart rate; x is held to 0..1.05; {HEART_RULES}"
    source = "Banister 1991; Morton 1990"
    unit = "AU"
    labels = ("trimp",)
    formula = "Σ Δt(min)·x·a·e^{b·x}, x = (HR−rest)/(max−rest); men a=0.64 b=1.92, women a=0.86 b=1.67"

    def weigh(self, heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
        """Return TRIMP per second."""
        return banister_rate(heart_rate_bpm, profile)[:, None] / 60.0


class EdwardsTrimp(HeartSums):
    """Edwards' training impulse."""

    metric_id = "trimp_edwards@1"
    title = "TRIMP (Edwards)"
    decimals = 1
    needs = ("hr_max_bpm",)
    rules = f"lo ≤ x < hi, the last zone is open, below half of HRmax counts nothing; {HEART_RULES}"
    source = "Edwards 1993"
    unit = "AU"
    labels = ("trimp",)
    formula = "Σ minutes in zone z by HR/HRmax × z, z = 1..5 from 0.5, 0.6, 0.7, 0.8, 0.9"

    def weigh(self, heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
        """Return TRIMP per second."""
        return (in_zones(heart_rate_bpm / profile.hr_max_bpm) @ _ZONE_WEIGHTS)[:, None] / 60.0


class LuciaTrimp(HeartSums):
    """Lucia's training impulse, by the athlete's own ventilatory thresholds."""

    metric_id = "trimp_lucia@1"
    title = "TRIMP (Lucia)"
    decimals = 1
    needs = ("vt1_bpm", "vt2_bpm")
    rules = f"lo ≤ HR < hi; {HEART_RULES}"
    source = "Lucia 2003"
    unit = "AU"
    labels = ("trimp",)
    formula = "Σ minutes below VT1 × 1, from VT1 to VT2 × 2, from VT2 on × 3"
    rests_on_hr_max = False

    def weigh(self, heart_rate_bpm: NDArray[np.float64], profile: Profile) -> NDArray[np.float64]:
        """Return TRIMP per second."""
        thresholds = np.array([profile.vt1_bpm, profile.vt2_bpm], np.float64)
        weights = 1.0 + np.searchsorted(thresholds, heart_rate_bpm, side="right")
        return np.asarray(weights, np.float64)[:, None] / 60.0
