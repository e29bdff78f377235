"""`athlete_effort@1`: an athlete's recent movement, from which the effort model expects a heart rate.

Heart rate follows effort with a time constant of some tens of seconds and drifts with fatigue, so the inputs are
exponential means of speed and of metabolic power over several time constants, and what was done so far.
"""

import math

import msgspec
import numpy as np
from msgspec.structs import replace

from shared.clock import NS_PER_S
from shared.features.base import FeatureRow, FeatureSet
from shared.metrics.base import Profile
from shared.metrics.trace import steps
from shared.readings import Quality
from shared.windows import Window

SPEED_TAUS_S = (5.0, 15.0, 30.0, 60.0, 120.0)
POWER_TAUS_S = (15.0, 30.0, 60.0, 120.0)
WARM_UP_S = 60.0
"""Rows of an athlete seen for less than this are not used: the long means still hold their start value."""
_COVERAGE_TAU_S = 60.0
_G_MPS2 = 9.81
# Part of the feature set: models are fitted on it.
_LONGEST_STEP_S = 1.0
# Accelerations beyond this come from position noise, not legs.
_MAX_ACCELERATION_MPS2 = 6.0

_FEATURES = (
    *((f"speed_mean_{tau:.0f}s", "m/s") for tau in SPEED_TAUS_S),
    *((f"power_mean_{tau:.0f}s", "W/kg") for tau in POWER_TAUS_S),
    ("distance", "km"),
    ("elapsed", "min"),
    ("hr_rest", "bpm"),
    ("hr_max", "bpm"),
)
_WORDS = (
    *(f"Speed over about {tau:.0f} s" for tau in SPEED_TAUS_S),
    *(f"Metabolic power over about {tau:.0f} s" for tau in POWER_TAUS_S),
    "Distance so far",
    "Time so far",
    "Resting heart rate",
    "Maximal heart rate",
)
ATHLETE_EFFORT = FeatureSet(
    set_id="athlete_effort@1",
    features=_FEATURES,
    note="exponential means updated per 1 s window; power after di Prampero 2005 with Minetti 2002, KT 1",
    model="effort",
    row_axes=1,
    inputs=(("features", (len(_FEATURES),)),),
    outputs=(("prediction", (1,)),),
    words=_WORDS,
)


def metabolic_power(speed_mps: float, acceleration_mps2: float) -> float:
    """Return the metabolic power of running in W/kg (di Prampero 2005; polynomial of Minetti 2002, KT = 1).

    The slope is held to +-0.45, the range that the polynomial was fitted on.
    """
    slope = min(0.45, max(-0.45, acceleration_mps2 / _G_MPS2))
    mass = math.sqrt(acceleration_mps2**2 / _G_MPS2**2 + 1.0)
    cost = 155.4 * slope**5 - 30.4 * slope**4 - 43.3 * slope**3 + 46.3 * slope**2 + 19.5 * slope + 3.6
    return cost * mass * speed_mps


class EffortState(msgspec.Struct, frozen=True, kw_only=True):
    """Means and totals so far."""

    profile: Profile
    speed_means: tuple[float, ...] = (0.0,) * len(SPEED_TAUS_S)
    power_means: tuple[float, ...] = (0.0,) * len(POWER_TAUS_S)
    coverage: float = 0.0
    distance_m: float = 0.0
    first_ns: int | None = None
    end_ns: int = 0
    last_ns: int | None = None
    last_xy_m: tuple[float, float] = (0.0, 0.0)
    last_speed_mps: float = 0.0


def start(profile: Profile) -> EffortState:
    """Return the state before any window."""
    return EffortState(profile=profile)


def update(state: EffortState, window: Window) -> EffortState:
    """Return the state after the athlete's next window; time without windows fades the means towards rest."""
    first_ns = window.start_ns if state.first_ns is None else state.first_ns
    silent_s = (window.start_ns - state.end_ns) / NS_PER_S if state.end_ns else 0.0
    state = _fade(replace(state, first_ns=first_ns), max(0.0, silent_s), speed_mps=0.0, power=0.0, seen=0.0)
    seconds = (window.end_ns - window.start_ns) / NS_PER_S
    block = window.streams.get("position")
    if block is None:
        return replace(_fade(state, seconds, speed_mps=0.0, power=0.0, seen=0.0), end_ns=window.end_ns)
    xy_m = block.values[:, :2]
    usable = ((block.quality & np.uint8(Quality.IMPLAUSIBLE)) == 0) & np.isfinite(xy_m).all(axis=1)
    if not usable.any():
        return replace(_fade(state, seconds, speed_mps=0.0, power=0.0, seen=0.0), end_ns=window.end_ns)
    times, xy_m = block.time_ns[usable], xy_m[usable]
    if state.last_ns is not None:
        times = np.concatenate(([state.last_ns], times))
        xy_m = np.concatenate(([state.last_xy_m], xy_m))
    durations, metres, accepted = steps(times, xy_m, longest_s=_LONGEST_STEP_S)
    moved_s, moved_m = float(durations[accepted].sum()), float(metres[accepted].sum())
    speed = moved_m / moved_s if moved_s > 0 else 0.0
    limit = _MAX_ACCELERATION_MPS2
    acceleration = min(limit, max(-limit, (speed - state.last_speed_mps) / seconds))
    power = metabolic_power(speed, acceleration)
    state = _fade(state, seconds, speed_mps=speed, power=power, seen=min(1.0, moved_s / seconds))
    return replace(
        state,
        distance_m=state.distance_m + moved_m,
        end_ns=window.end_ns,
        last_ns=int(times[-1]),
        last_xy_m=(float(xy_m[-1, 0]), float(xy_m[-1, 1])),
        last_speed_mps=speed,
    )


def row(state: EffortState) -> FeatureRow | None:
    """Return the features at the end of the last window, or None during the warm-up."""
    if state.first_ns is None:
        return None
    elapsed_s = (state.end_ns - state.first_ns) / NS_PER_S
    if elapsed_s < WARM_UP_S:
        return None
    profile = state.profile
    values = (
        *state.speed_means,
        *state.power_means,
        state.distance_m / 1000.0,
        elapsed_s / 60.0,
        profile.hr_rest_bpm,
        profile.hr_max_bpm,
    )
    return FeatureRow(
        set_id=ATHLETE_EFFORT.set_id,
        athlete=profile.athlete,
        time_ns=state.end_ns,
        values=np.array(values, np.float32),
        # The mean began at 0: relative to what a history without gaps would have reached by now.
        coverage=min(1.0, state.coverage / -math.expm1(-elapsed_s / _COVERAGE_TAU_S)),
    )


def _fade(state: EffortState, seconds: float, *, speed_mps: float, power: float, seen: float) -> EffortState:
    if seconds <= 0:
        return state
    return replace(
        state,
        speed_means=_means(state.speed_means, SPEED_TAUS_S, seconds, speed_mps),
        power_means=_means(state.power_means, POWER_TAUS_S, seconds, power),
        coverage=state.coverage + (seen - state.coverage) * -math.expm1(-seconds / _COVERAGE_TAU_S),
    )


def _means(means: tuple[float, ...], taus_s: tuple[float, ...], seconds: float, value: float) -> tuple[float, ...]:
    return tuple(mean + (value - mean) * -math.expm1(-seconds / tau) for mean, tau in zip(means, taus_s, strict=True))
