"""Metabolic power: what running on the level with changing speed costs, as running uphill and downhill would."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.metrics.base import Profile
from shared.metrics.fold import Folded, FoldMetric
from shared.metrics.trace import FILTER_RULE, GRID_S, SETTLED_RULE, Trace, trace

# di Prampero & Osgnach 2018: air resistance per kg (their k'), and the speed at which walking turns into running as a
# polynomial of the equivalent slope.
_AIR = 0.0037
_TRANSITION = np.array((-107.05, 113.13, -1.13, -15.84, -1.7, 2.27))
_ALWAYS_RUNNING_MPS = 2.5
_G_MPS2 = 9.80665
# Their table 1: cost of walking as a polynomial of speed, by equivalent slope; interpolated between.
_SLOPES = np.array((-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4))
_WALKING = np.array(
    (
        (0.28, -1.66, 3.81, -3.96, 4.01),
        (0.03, -0.15, 0.98, -2.25, 3.14),
        (0.69, -3.21, 5.94, -5.07, 2.79),
        (1.25, -6.57, 13.14, -11.15, 5.35),
        (0.68, -4.17, 10.17, -10.31, 8.66),
        (3.80, -14.91, 22.94, -14.53, 11.24),
        (44.95, -122.88, 126.94, -57.46, 21.39),
        (94.62, -213.94, 184.43, -68.49, 25.04),
    )
)
_LEVEL_COST_J_KG_M = 3.6
_FloatArray = NDArray[np.float64]


class Cost(NamedTuple):
    """Equivalent slope, equivalent mass, cost in J/(kg·m) and whether it is that of running."""

    slope: _FloatArray
    mass: _FloatArray
    cost_j_kg_m: _FloatArray
    running: NDArray[np.bool_]


def cost_of(speed_mps: _FloatArray, acceleration_mps2: _FloatArray) -> Cost:
    """Return the cost of locomotion (walking: di Prampero & Osgnach 2018; running: Minetti & Pavei 2018)."""
    slope = (acceleration_mps2 + _AIR * speed_mps**2) / _G_MPS2
    mass = np.sqrt(slope**2 + 1.0)
    running = (speed_mps > _ALWAYS_RUNNING_MPS) | (speed_mps >= np.polyval(_TRANSITION, slope))
    walking = np.zeros_like(speed_mps)
    for coefficients in _WALKING.T:  # Horner's scheme with a coefficient per point
        walking = walking * speed_mps + np.interp(slope, _SLOPES, coefficients)
    with np.errstate(over="ignore"):  # the branch that is not taken
        downhill = -8.34 * slope + _LEVEL_COST_J_KG_M * np.exp(13.0 * slope)
        uphill = 39.5 * slope + _LEVEL_COST_J_KG_M * np.exp(-4.0 * slope)
    cost = np.where(running, np.where(slope < 0, downhill, uphill), walking) * mass
    return Cost(slope=slope, mass=mass, cost_j_kg_m=cost, running=running)


def metabolic_power(speed_mps: _FloatArray, acceleration_mps2: _FloatArray) -> _FloatArray:
    """Return the metabolic power in W/kg at each speed and acceleration, float64[n]."""
    return cost_of(speed_mps, acceleration_mps2).cost_j_kg_m * speed_mps


class Energy(NamedTuple):
    """Energy so far and the time that it was spent in."""

    j_kg: float = 0.0
    seconds: float = 0.0


@lru_cache(maxsize=1)
def _spent(piece: Trace) -> Energy:
    """Return the energy of a piece; the mean power asks for the same one after another."""
    moved = piece.believable & ~piece.begins
    power = metabolic_power(piece.speed_mps[moved], piece.acceleration_mps2[moved])
    return Energy(GRID_S * float(power.sum()), GRID_S * len(power))


class MetabolicEnergy(FoldMetric[Trace, Energy]):
    """Metabolic energy per kilogram."""

    metric_id = "metabolic_energy@1"
    title = "Metabolic energy"
    decimals = 0
    cut = staticmethod(trace)
    streams = ("position",)
    rules = (
        f"speed and acceleration of the path: {FILTER_RULE}; {SETTLED_RULE}; "
        "3.6 J/(kg·m) for level running; the polynomials rest on slopes of ±45 %"
    )
    source = "di Prampero & Osgnach 2018; Minetti & Pavei 2018; as floodlight 1.2"
    unit = "J/kg"
    labels: tuple[str, ...] = ("energy",)
    formula = "Σ P·Δt, P = EC(ES, v)·EM·v, ES = (a + 0.0037·v²)/g, EM = √(ES² + 1)"

    def begin(self, profile: Profile) -> Energy:  # noqa: ARG002  per kilogram it is the same for everybody
        """Return none."""
        return Energy()

    def add(self, total: Energy, piece: Trace, profile: Profile) -> Energy:  # noqa: ARG002  as above
        """Return the energy after the piece; a point's power is that of the tenth of a second before it."""
        j_kg, seconds = _spent(piece)
        return Energy(total.j_kg + j_kg, total.seconds + seconds)

    def tell(self, folded: Folded[Trace, Energy]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the energy."""
        return (folded.total.j_kg,), ()


class MetabolicPower(MetabolicEnergy):
    """Mean metabolic power."""

    metric_id = "metabolic_power@1"
    title = "Metabolic power"
    decimals = 1
    unit = "W/kg"
    labels = ("mean",)
    formula = "mean P, P = EC(ES, v)·EM·v, ES = (a + 0.0037·v²)/g, EM = √(ES² + 1)"

    def tell(self, folded: Folded[Trace, Energy]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the mean."""
        j_kg, seconds = folded.total
        return (j_kg / seconds if seconds else float("nan"),), ()
