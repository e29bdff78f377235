"""Movement metrics from positions: distance, and distance by speed band.

Each step between neighbouring positions adds its length to the band of its mean speed. A step over more than 1 s, or
faster than 12 m/s, is a gap: it adds no distance and lowers the coverage.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.metrics.base import SPEED_EDGES_MPS, MetricValue, Profile
from shared.readings import Quality
from shared.windows import Window

MAX_STEP_S = 1.0
MAX_SPEED_MPS = 12.0
HIGH_SPEED_BAND = 3
SPRINT_BAND = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionState:
    """Sums so far and the last position."""

    sums: tuple[float, ...]
    covered_s: float = 0.0
    first_ns: int | None = None
    last_ns: int | None = None
    last_xy_m: tuple[float, float] = (0.0, 0.0)


def steps(
    times_ns: NDArray[np.int64], xy_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return duration (s), length (m) and acceptance of each step between positions [n, 2] in time order."""
    seconds = np.diff(times_ns) / NS_PER_S
    metres = np.hypot(*np.diff(xy_m, axis=0).T)
    accepted = (seconds > 0) & (seconds <= MAX_STEP_S) & (metres <= MAX_SPEED_MPS * seconds)
    return seconds, metres, accepted


class SpeedBandDistance:
    """Metres covered in each speed band; their sum is the distance."""

    metric_id = "speed_band_distance@1"
    title = "Distance by speed"
    decimals = 0
    streams = ("position",)
    needs: tuple[str, ...] = ()
    rules = "a step over more than 1 s or faster than 12 m/s adds nothing and lowers the coverage"
    source = "bands as in Nieto-Acevedo 2025"
    unit = "m"
    labels: tuple[str, ...] = ("walk", "jog", "run", "high_speed", "sprint")
    formula = "Σ v·Δt by v in [0, 2, 4, 5.5, 7, ∞) m/s (19.8 and 25.2 km/h); steps ≤ 1 s and ≤ 12 m/s"

    def __init__(self, edges_mps: tuple[float, ...] = SPEED_EDGES_MPS) -> None:
        self._edges_mps = edges_mps

    def start(self, profile: Profile) -> MotionState:  # noqa: ARG002  the bands are the same for everybody
        """Return the state before any window."""
        return MotionState(sums=(0.0,) * len(self._edges_mps))

    def update(self, state: MotionState, window: Window) -> MotionState:
        """Return the state after `window`."""
        first_ns = window.start_ns if state.first_ns is None else state.first_ns
        block = window.streams.get("position")
        if block is None:
            return replace(state, first_ns=first_ns)
        xy_m = block.values[:, :2]
        usable = ((block.quality & np.uint8(Quality.IMPLAUSIBLE)) == 0) & np.isfinite(xy_m).all(axis=1)
        times, xy_m = block.time_ns[usable], xy_m[usable]
        if not len(times):
            return replace(state, first_ns=first_ns)
        if state.last_ns is not None:
            times = np.concatenate(([state.last_ns], times))
            xy_m = np.vstack((state.last_xy_m, xy_m))
        seconds, metres, accepted = steps(times, xy_m)
        seconds, metres = seconds[accepted], metres[accepted]
        # The small term keeps a speed that equals an edge but for rounding in the band above, as lo <= v says.
        bands = np.searchsorted(self._edges_mps, metres / seconds + 1e-9, side="right") - 1
        added = np.bincount(bands, weights=metres, minlength=len(self._edges_mps))
        return MotionState(
            sums=tuple(float(s) for s in np.add(state.sums, added)),
            covered_s=state.covered_s + float(seconds.sum()),
            first_ns=first_ns,
            last_ns=int(times[-1]),
            last_xy_m=(float(xy_m[-1, 0]), float(xy_m[-1, 1])),
        )

    def value(self, state: MotionState, *, until_ns: int | None = None) -> MetricValue:
        """Return metres by band; coverage is the accepted share of the time since the first window."""
        if state.first_ns is None or state.last_ns is None:
            return MetricValue(values=state.sums, coverage=0.0)
        elapsed_s = (max(state.last_ns, until_ns or 0) - state.first_ns) / NS_PER_S
        coverage = min(1.0, state.covered_s / elapsed_s) if elapsed_s > 0 else 0.0
        return MetricValue(values=state.sums, coverage=coverage)


class Distance:
    """Metres covered."""

    metric_id = "distance@1"
    title = "Distance"
    decimals = 0
    streams = ("position",)
    needs: tuple[str, ...] = ()
    rules = SpeedBandDistance.rules
    source = SpeedBandDistance.source
    unit = "m"
    labels = ("distance",)
    formula = "Σ v·Δt; steps ≤ 1 s and ≤ 12 m/s"

    def __init__(self) -> None:
        self._bands = SpeedBandDistance()

    def start(self, profile: Profile) -> MotionState:
        """Return the state before any window."""
        return self._bands.start(profile)

    def update(self, state: MotionState, window: Window) -> MotionState:
        """Return the state after `window`."""
        return self._bands.update(state, window)

    def value(self, state: MotionState, *, until_ns: int | None = None) -> MetricValue:
        """Return the sum of the bands."""
        bands = self._bands.value(state, until_ns=until_ns)
        return MetricValue(values=(sum(bands.values),), coverage=bands.coverage)
