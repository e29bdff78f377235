"""Left against right: in pedalling power and in ground contact."""

import math
from typing import NamedTuple

from shared.metrics.base import Profile
from shared.metrics.fold import Folded, FoldMetric
from shared.metrics.held import HOLD_RULE, Held, hold

_NOTE = "against the athlete's own usual value only: pods differ by 1 to 2 % of share"


def asymmetry_percent(left: float, right: float) -> float:
    """Return (L − R) / mean · 100, NaN where there is neither."""
    total = left + right
    return 200.0 * (left - right) / total if total else math.nan


class Sides(NamedTuple):
    """What came from the left and from the right so far."""

    left: float = 0.0
    right: float = 0.0


class _Asymmetry(FoldMetric[Held, Sides]):
    decimals = 1
    unit = "%"
    labels = ("asymmetry",)
    source = "Robinson 1987"

    def begin(self, profile: Profile) -> Sides:  # noqa: ARG002  the same for everybody
        """Return nothing from either."""
        return Sides()

    def tell(self, folded: Folded[Held, Sides]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the asymmetry, + to the left."""
        return (asymmetry_percent(*folded.total),), (_NOTE,) * (folded.first_ns is not None)


class PowerAsymmetry(_Asymmetry):
    """Asymmetry of pedalling work."""

    metric_id = "power_asymmetry@1"
    title = "Power left against right"
    cut = hold("power", "power_w", "left_percent")
    streams = ("power",)
    rules = f"readings with both power and balance count; + is to the left; {HOLD_RULE}"
    formula = "(L − R)/mean · 100, L = Σ P·share·Δt, R = Σ P·(1 − share)·Δt"

    def add(self, total: Sides, piece: Held, profile: Profile) -> Sides:  # noqa: ARG002  the same for everybody
        """Return the work of each side after the piece."""
        work = piece.values[:, 0] * piece.seconds
        left = float(work @ piece.values[:, 1]) / 100.0
        return Sides(total.left + left, total.right + float(work.sum()) - left)


class GaitAsymmetry(_Asymmetry):
    """Asymmetry of ground contact time."""

    metric_id = "gait_asymmetry@1"
    title = "Ground contact left against right"
    cut = hold("gait", "left_percent")
    streams = ("gait",)
    rules = f"readings with a balance count; + is to the left; {HOLD_RULE}"
    formula = "(L − R)/mean · 100, L = mean share of the left, R = 1 − L"

    def add(self, total: Sides, piece: Held, profile: Profile) -> Sides:  # noqa: ARG002  the same for everybody
        """Return the time on each side after the piece."""
        left = float(piece.seconds @ piece.values[:, 0]) / 100.0
        return Sides(total.left + left, total.right + piece.covered_s - left)
