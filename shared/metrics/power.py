"""Metrics of mechanical power: mean and highest, work, normalised power, intensity and training stress."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.metrics.base import Profile
from shared.metrics.fold import Folded, FoldMetric, added_up
from shared.metrics.held import HOLD_RULE, HOLD_S, POWER, Held, Last
from shared.windows import Window

ROLLING_S = 30
_SPAN_S = math.ceil(HOLD_S) + 1
"""A held reading touches no more seconds than this."""
_HALF_S = 0.5


class Work(NamedTuple):
    """Work so far, its time and the highest power."""

    joules: float = 0.0
    seconds: float = 0.0
    most_w: float = math.nan


class _PowerSums(FoldMetric[Held, Work]):
    """Sums over held power."""

    cut = POWER
    streams = ("power",)
    rules = f"{HOLD_RULE}; zero counts, as while not pedalling"
    source = "definition"

    def begin(self, profile: Profile) -> Work:  # noqa: ARG002  the same for everybody
        """Return none."""
        return Work()

    def add(self, total: Work, piece: Held, profile: Profile) -> Work:  # noqa: ARG002  as above
        """Return the sums with the piece's readings."""
        watts = piece.values[:, 0]
        most = float(np.fmax(total.most_w, watts.max())) if len(watts) else total.most_w
        return Work(total.joules + float(watts @ piece.seconds), total.seconds + piece.covered_s, most)


class Power(_PowerSums):
    """Mean and highest power."""

    metric_id = "power@1"
    title = "Power"
    decimals = 0
    unit = "W"
    labels = ("mean", "max")
    formula = "Σ P·Δt / Σ Δt; max P"

    def tell(self, folded: Folded[Held, Work]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return mean and maximum."""
        joules, seconds, most = folded.total
        return (joules / seconds if seconds else math.nan, most), ()


class MechanicalWork(_PowerSums):
    """Mechanical work."""

    metric_id = "work@1"
    title = "Work"
    decimals = 0
    unit = "kJ"
    labels = ("work",)
    formula = "Σ P·Δt"

    def tell(self, folded: Folded[Held, Work]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the work."""
        return (folded.total.joules / 1000.0,), ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """Means of power over 30 s, one per second that has 30 s behind it: `watts` float64[n]."""

    watts: NDArray[np.float64]
    first_ns: int
    last_ns: int
    covered_s: float
    sound_s: float
    tail: "RollingEnd | None"


@dataclass(slots=True, kw_only=True)
class RollingEnd:
    """The reading that holds, the second under way (work and time in it) and the last 29 whole seconds."""

    last: Last
    joules: float
    seconds: float
    numbers: NDArray[np.int64]
    watts: NDArray[np.float64]
    _rest: Rolling | None = None

    def rest(self) -> Rolling:
        """Return the means of what is under way, as if nothing followed."""
        if self._rest is None:
            self._rest = _roll(self, self.last.rest())
        return self._rest


def rolling_power(before: RollingEnd | None, window: Window) -> Rolling | None:
    """Return the rolling means of the seconds that are over by the last reading of `window`."""
    held = window.once(POWER, None if before is None else before.last)
    return None if held is None else _roll(before, held)


def _roll(before: RollingEnd | None, held: Held) -> Rolling:
    numbers, joules, seconds = _by_second(before, held)
    under_way = held.last_ns // NS_PER_S if held.tail is not None else np.iinfo(np.int64).max
    over = numbers < under_way
    whole = over & (seconds >= _HALF_S)
    known_numbers = numbers[whole] if before is None else np.concatenate((before.numbers, numbers[whole]))
    watts = joules[whole] / seconds[whole]
    watts = watts if before is None else np.concatenate((before.watts, watts))
    tail = None
    if held.tail is not None:
        tail = RollingEnd(
            last=held.tail,
            joules=float(joules[~over].sum()),
            seconds=float(seconds[~over].sum()),
            numbers=known_numbers[1 - ROLLING_S :],
            watts=watts[1 - ROLLING_S :],
        )
    return Rolling(
        watts=_full_means(known_numbers, watts),
        first_ns=held.first_ns,
        last_ns=held.last_ns,
        covered_s=held.covered_s,
        sound_s=held.sound_s,
        tail=tail,
    )


def _by_second(
    before: RollingEnd | None, held: Held
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the seconds (UTC) that held readings touch, in order, the work done in each and the time held in it."""
    number = held.times_ns // NS_PER_S
    offset_s = (held.times_ns - number * NS_PER_S) / NS_PER_S
    touched = number[:, None] + np.arange(_SPAN_S)
    starts = np.arange(_SPAN_S, dtype=np.float64)
    ends_s = (offset_s + held.seconds)[:, None]
    inside_s = np.minimum(ends_s, starts + 1.0) - np.maximum(offset_s[:, None], starts)
    work = inside_s * held.values[:, :1]
    inside = inside_s > 0
    touched, work, inside_s = touched[inside], work[inside], inside_s[inside]
    if before is not None:
        touched = np.append(touched, before.last.time_ns // NS_PER_S)
        work, inside_s = np.append(work, before.joules), np.append(inside_s, before.seconds)
    numbers, place = np.unique(touched, return_inverse=True)
    count = len(numbers)
    return numbers, added_up(place, work, count), added_up(place, inside_s, count)


def _full_means(numbers: NDArray[np.int64], watts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means over windows of 30 consecutive seconds."""
    if len(watts) < ROLLING_S:
        return np.empty(0)
    means = np.lib.stride_tricks.sliding_window_view(watts, ROLLING_S).mean(axis=1)
    return np.asarray(means[numbers[ROLLING_S - 1 :] - numbers[: 1 - ROLLING_S] == ROLLING_S - 1])


class Fourth(NamedTuple):
    """Sum and number of the fourth powers of rolling means."""

    total: float = 0.0
    means: int = 0

    @property
    def watts(self) -> float:
        """Normalised power, NaN before the first full window."""
        return (self.total / self.means) ** 0.25 if self.means else math.nan


class NormalisedPower(FoldMetric[Rolling, Fourth]):
    """Normalised power."""

    metric_id = "normalised_power@1"
    title = "Normalised power"
    decimals = 0
    cut = staticmethod(rolling_power)
    streams = ("power",)
    rules = (
        "rolling means over 30 consecutive seconds that all have power; windows that are not full are left out, not "
        f"averaged; {HOLD_RULE}"
    )
    source = "Allen & Coggan 2010"
    unit = "W"
    labels: tuple[str, ...] = ("np",)
    formula = "⁴√ mean(P₃₀⁴), P₃₀ = rolling 30 s mean"

    def begin(self, profile: Profile) -> Fourth:  # noqa: ARG002  the same for everybody
        """Return none."""
        return Fourth()

    def add(self, total: Fourth, piece: Rolling, profile: Profile) -> Fourth:  # noqa: ARG002  as above
        """Return the sums with the piece's means."""
        return Fourth(total.total + float((piece.watts**4).sum()), total.means + len(piece.watts))

    def tell(self, folded: Folded[Rolling, Fourth]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return normalised power."""
        return (folded.total.watts,), ()


class Intensity(NormalisedPower):
    """Intensity factor."""

    metric_id = "intensity_factor@1"
    title = "Intensity factor"
    decimals = 2
    needs = ("ftp_w",)
    unit = "1"
    labels = ("if",)
    formula = "NP / FTP"

    def tell(self, folded: Folded[Rolling, Fourth]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the factor."""
        return (folded.total.watts / (folded.profile.ftp_w or math.nan),), ()


class TrainingStress(NormalisedPower):
    """Training stress score."""

    metric_id = "training_stress@1"
    title = "Training stress"
    decimals = 0
    needs = ("ftp_w",)
    rules = f"{NormalisedPower.rules}; the time is that with power, gaps left out"
    unit = "AU"
    labels = ("tss",)
    formula = "100 · t · NP · IF / (FTP · 3600 s)"

    def tell(self, folded: Folded[Rolling, Fourth]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the score."""
        intensity = folded.total.watts / (folded.profile.ftp_w or math.nan)
        return (100.0 * folded.covered_s / 3600.0 * intensity**2,), ()
