"""Movement metrics: distance, distance by speed band, highest speed; from positions, else from a device's own speed."""

import numpy as np
from numpy.typing import NDArray

from shared.metrics.base import Profile
from shared.metrics.fold import Fallback, Folded, FoldMetric, added_up
from shared.metrics.held import DEVICE_SPEED, HOLD_RULE, Held
from shared.metrics.trace import FILTER_RULE, GRID_S, SETTLED_RULE, Trace, trace

HIGH_SPEED_BAND = 3
SPRINT_BAND = 4
BANDS = ("walk", "jog", "run", "high_speed", "sprint")
DEVICE_NOTE = "from the device's own speed: there are no positions for most of the time"
_RULES = f"{FILTER_RULE}; where positions miss for most of the time, the device's own speed counts: {HOLD_RULE}"

Totals = NDArray[np.float64]


def by_band(lengths_m: Totals, speeds_mps: Totals, edges_mps: tuple[float, ...]) -> Totals:
    """Return the sum of lengths in each band; lo <= v < hi, the last is open."""
    # The small term keeps a speed that equals an edge but for rounding in the band above.
    bands = np.searchsorted(edges_mps, speeds_mps + 1e-9, side="right") - 1
    return added_up(bands, lengths_m, len(edges_mps))


class _PathSums(FoldMetric[Trace, Totals]):
    """Metres on the path by speed band, or in one sum."""

    cut = staticmethod(trace)

    def __init__(self, *, banded: bool) -> None:
        self._banded = banded

    def begin(self, profile: Profile) -> Totals:
        """Return zeros."""
        return np.zeros(len(profile.speed_edges_mps) if self._banded else 1)

    def add(self, total: Totals, piece: Trace, profile: Profile) -> Totals:
        """Return the sums with the piece's way added."""
        if self._banded:
            return total + by_band(piece.length_m, piece.length_m / GRID_S, profile.speed_edges_mps)
        return total + float(piece.length_m.sum())

    def tell(self, folded: Folded[Trace, Totals]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the sums."""
        return tuple(folded.total.tolist()), ()


class _DeviceSums(FoldMetric[Held, Totals]):
    """The same from a device's speed."""

    cut = DEVICE_SPEED

    def __init__(self, *, banded: bool) -> None:
        self._banded = banded

    def begin(self, profile: Profile) -> Totals:
        """Return zeros."""
        return np.zeros(len(profile.speed_edges_mps) if self._banded else 1)

    def add(self, total: Totals, piece: Held, profile: Profile) -> Totals:
        """Return the sums with the piece's way added."""
        speeds = piece.values[:, 0]
        if self._banded:
            return total + by_band(speeds * piece.seconds, speeds, profile.speed_edges_mps)
        return total + float(speeds @ piece.seconds)

    def tell(self, folded: Folded[Held, Totals]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the sums."""
        return tuple(folded.total.tolist()), ()


class SpeedBandDistance(Fallback):
    """Metres covered in each speed band of the athlete's team; their sum is the distance."""

    metric_id = "speed_band_distance@2"
    title = "Distance by speed"
    decimals = 0
    streams = ("position", "speed")
    needs = ("speed_edges_mps",)
    rules = f"lo ≤ v < hi, the last band is open; v is the mean speed over 0.1 s of the filtered path; {_RULES}"
    source = "edges are the team's; the usual ones are 19.8 and 25.2 km/h (no consensus: Nieto-Acevedo 2025)"
    unit = "m"
    labels: tuple[str, ...] = BANDS
    formula = "Σ |Δx| by v in the team's bands, usually [0, 2, 4, 5.5, 7, ∞) m/s"
    first = _PathSums(banded=True)
    second = _DeviceSums(banded=True)
    second_note = DEVICE_NOTE


class Distance(Fallback):
    """Metres covered."""

    metric_id = "distance@2"
    title = "Distance"
    decimals = 0
    streams = ("position", "speed")
    needs: tuple[str, ...] = ()
    rules = _RULES
    source = "length of the filtered path; equals floodlight 1.2 on unfiltered points"
    unit = "m"
    labels = ("distance",)
    formula = "Σ |Δx| of the path filtered at 10 Hz"
    first = _PathSums(banded=False)
    second = _DeviceSums(banded=False)
    second_note = DEVICE_NOTE


class _PathMost(FoldMetric[Trace, float]):
    """Highest speed on the path."""

    cut = staticmethod(trace)

    def begin(self, profile: Profile) -> float:  # noqa: ARG002  the same for everybody
        """Return that there is none."""
        return float("nan")

    def add(self, total: float, piece: Trace, profile: Profile) -> float:  # noqa: ARG002  the same for everybody
        """Return the higher one."""
        speeds = piece.speed_mps[piece.believable]
        return float(np.fmax(total, speeds.max())) if len(speeds) else total

    def tell(self, folded: Folded[Trace, float]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the highest."""
        return (folded.total,), ()


class _DeviceMost(FoldMetric[Held, float]):
    """Highest speed that the device says."""

    cut = DEVICE_SPEED

    def begin(self, profile: Profile) -> float:  # noqa: ARG002  the same for everybody
        """Return that there is none."""
        return float("nan")

    def add(self, total: float, piece: Held, profile: Profile) -> float:  # noqa: ARG002  the same for everybody
        """Return the higher one."""
        return float(np.fmax(total, piece.values.max())) if len(piece.values) else total

    def tell(self, folded: Folded[Held, float]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the highest."""
        return (folded.total,), ()


class MaxSpeed(Fallback):
    """Highest speed."""

    metric_id = "max_speed@1"
    title = "Highest speed"
    decimals = 1
    streams = ("position", "speed")
    needs: tuple[str, ...] = ()
    rules = f"speed over 0.2 s of the filtered path; {SETTLED_RULE}; {_RULES}"
    source = "filtered as Varley 2017 asks to state"
    unit = "m/s"
    labels = ("max",)
    formula = "max v"
    first = _PathMost()
    second = _DeviceMost()
    second_note = DEVICE_NOTE
