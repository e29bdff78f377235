"""What is left above critical power (W′) or critical speed (D′), kept up to date reading by reading."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from shared.metrics.base import Profile
from shared.metrics.fold import Fallback, Folded, FoldMetric
from shared.metrics.held import DEVICE_SPEED, HOLD_RULE, POWER, Held
from shared.metrics.motion import DEVICE_NOTE
from shared.metrics.trace import FILTER_RULE, GRID_S, Trace, trace

_BELOW_ZERO = "the balance fell below zero: the critical value or the reserve is set too low"


class Spent(NamedTuple):
    """How much of the reserve is spent now, and at the most so far."""

    now: float = 0.0
    most: float = 0.0


def spend(spent: float, over: float, seconds: float, reserve: float) -> float:
    """Return how much is spent after `seconds` at `over` above the critical value (below it where negative).

    Above, over · Δt is spent. Below, what is spent recovers by its share of the reserve (Froncioni, Clarke, Skiba
    2015), as one step.
    """
    if over >= 0:
        return spent + over * seconds
    return spent * max(0.0, 1.0 + over * seconds / reserve)


def time_to_exhaustion_s(power_w: float, critical_power_w: float, w_prime_j: float) -> float:
    """Return W′/(P − CP), infinite at or below critical power (Monod & Scherrer 1965)."""
    return w_prime_j / (power_w - critical_power_w) if power_w > critical_power_w else math.inf


def _told(spent: Spent, reserve: float, *, seen: bool) -> tuple[tuple[float, ...], tuple[str, ...]]:
    if not seen:
        return (math.nan, math.nan), ()
    return (reserve - spent.now, reserve - spent.most), (_BELOW_ZERO,) * (spent.most > reserve)


class WorkReserve(FoldMetric[Held, Spent]):
    """W′ balance, differential."""

    metric_id = "w_prime_balance@1"
    title = "W′ balance"
    decimals = 0
    cut = POWER
    streams = ("power",)
    needs = ("critical_power_w", "w_prime_j")
    rules = f"full at the start; one step per reading; not held above zero; stands still over gaps; {HOLD_RULE}"
    source = "Skiba, Fulford, Clarke 2015 (differential; the integral form of Skiba 2012 gives other values)"
    unit = "J"
    labels = ("now", "lowest")
    formula = "P ≥ CP: −(P − CP)·Δt; P < CP: +(CP − P)·(W′ − W′bal)/W′·Δt"

    def begin(self, profile: Profile) -> Spent:  # noqa: ARG002  full for everybody
        """Return a full reserve."""
        return Spent()

    def add(self, total: Spent, piece: Held, profile: Profile) -> Spent:
        """Return the balance after the piece's readings."""
        critical_w, reserve_j = profile.critical_power_w or math.nan, profile.w_prime_j or math.nan
        now, most = total
        for watts, seconds in zip(piece.values[:, 0].tolist(), piece.seconds.tolist(), strict=True):
            now = spend(now, watts - critical_w, seconds, reserve_j)
            most = max(most, now)
        return Spent(now, most)

    def tell(self, folded: Folded[Held, Spent]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return what is left now and at the least."""
        return _told(folded.total, folded.profile.w_prime_j or math.nan, seen=folded.first_ns is not None)


class _PathReserve(FoldMetric[Trace, Spent]):
    """D′ balance from positions."""

    cut = staticmethod(trace)

    def begin(self, profile: Profile) -> Spent:  # noqa: ARG002  full for everybody
        """Return a full reserve."""
        return Spent()

    def add(self, total: Spent, piece: Trace, profile: Profile) -> Spent:
        """Return the balance after the piece's points."""
        metres = piece.length_m[~piece.begins].tolist()
        return _spend_distance(total, ((way_m / GRID_S, GRID_S) for way_m in metres), profile)

    def tell(self, folded: Folded[Trace, Spent]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return what is left now and at the least."""
        return _told(folded.total, folded.profile.d_prime_m or math.nan, seen=folded.first_ns is not None)


class _DeviceReserve(FoldMetric[Held, Spent]):
    """D′ balance from a device's speed."""

    cut = DEVICE_SPEED

    def begin(self, profile: Profile) -> Spent:  # noqa: ARG002  full for everybody
        """Return a full reserve."""
        return Spent()

    def add(self, total: Spent, piece: Held, profile: Profile) -> Spent:
        """Return the balance after the piece's readings."""
        return _spend_distance(total, zip(piece.values[:, 0].tolist(), piece.seconds.tolist(), strict=True), profile)

    def tell(self, folded: Folded[Held, Spent]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return what is left now and at the least."""
        return _told(folded.total, folded.profile.d_prime_m or math.nan, seen=folded.first_ns is not None)


class DistanceReserve(Fallback):
    """D′ balance, differential."""

    metric_id = "d_prime_balance@1"
    title = "D′ balance"
    decimals = 0
    streams = ("position", "speed")
    needs = ("critical_speed_mps", "d_prime_m")
    rules = (
        f"full at the start; ten steps a second; not held above zero; stands still over gaps; {FILTER_RULE}; without "
        f"positions from the device's own speed, one step per reading: {HOLD_RULE}"
    )
    source = "Skiba 2015 with speed for power, as in Jones & Vanhatalo 2017"
    unit = "m"
    labels = ("now", "lowest")
    formula = "v ≥ CS: −(v − CS)·Δt; v < CS: +(CS − v)·(D′ − D′bal)/D′·Δt"
    first = _PathReserve()
    second = _DeviceReserve()
    second_note = DEVICE_NOTE


def _spend_distance(total: Spent, speeds: Iterable[tuple[float, float]], profile: Profile) -> Spent:
    """Return the balance after speeds (m/s) held for seconds."""
    critical_mps, reserve_m = profile.critical_speed_mps or math.nan, profile.d_prime_m or math.nan
    now, most = total
    for speed_mps, seconds in speeds:
        now = spend(now, speed_mps - critical_mps, seconds, reserve_m)
        most = max(most, now)
    return Spent(now, most)
