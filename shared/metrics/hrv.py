"""Heart-rate variability from RR intervals, live: the 11-beat artefact rule, and differences over neighbours only.

Meant for rest. During exercise the same numbers say how hard the heart works, not how well it recovers.
"""

import math
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from shared.metrics.base import Profile
from shared.metrics.fold import Folded, FoldMetric
from shared.quantities import RR_INTERVAL
from shared.readings import Quality
from shared.windows import Window

ARTEFACT_SHARE = 0.2
MAX_ARTEFACTS = 0.05
MIN_CLEAN_S = 60.0
NEARBY = 5
"""Beats on each side that the median looks at."""
_LOST_NS = 1_000_000_000
"""Straps send once a second: a beat may come up to that later than its interval says; beyond, one is lost."""
_EXERCISE_BPM = 100.0
_REFERENCE_MS = 800.0
_REJECTED = np.uint8(Quality.IMPLAUSIBLE | Quality.UNCERTAIN)
_EXERCISE_NOTE = "heart rate was that of exercise: not a measure of recovery"
_FloatArray = NDArray[np.float64]
_Flags = NDArray[np.bool_]


def artefacts(rr_ms: _FloatArray) -> _Flags:
    """Return which intervals differ by more than 20 % from the median of the 11 around them, fewer at the ends."""
    count = len(rr_ms)
    medians = np.empty(count)
    inner = count - 2 * NEARBY
    if inner > 0:
        around = np.lib.stride_tricks.sliding_window_view(rr_ms, 2 * NEARBY + 1)
        medians[NEARBY : count - NEARBY] = np.sort(around, axis=1)[:, NEARBY]
    ends = (*range(min(NEARBY, count)), *range(max(NEARBY, count - NEARBY), count))
    for i in ends:  # few and short: lists are faster than arrays
        medians[i] = median(rr_ms[max(0, i - NEARBY) : i + NEARBY + 1].tolist())
    return np.abs(rr_ms - medians) > ARTEFACT_SHARE * medians


@dataclass(frozen=True, slots=True, kw_only=True)
class Beats:
    """n beats: interval, whether it is valid, and whether the beat before is its neighbour and valid too.

    `step_ms` float64[n] is the difference to the beat before.
    """

    rr_ms: _FloatArray
    valid: _Flags
    step_ms: _FloatArray
    paired: _Flags
    first_ns: int
    last_ns: int
    covered_s: float
    sound_s: float
    tail: "LastBeats | None"


@dataclass(slots=True, kw_only=True)
class LastBeats:
    """The last beats: `done` of them are told already, the rest wait for those that follow."""

    times_ns: NDArray[np.int64]
    rr_ms: _FloatArray
    usable: _Flags
    done: int
    _rest: Beats | None = None

    def rest(self) -> Beats:
        """Return the beats that wait, as if none followed."""
        if self._rest is None:
            self._rest = _told(self, slice(self.done, None), int(self.times_ns[-1]), None)
        return self._rest


def beats(before: LastBeats | None, window: Window) -> Beats | None:
    """Return the beats that five others followed by the end of `window`."""
    block = window.streams.get("rr")
    if block is None or not len(block):
        return None
    rr_ms = block.values[:, 0]
    usable = ((block.quality & _REJECTED) == 0) & ~np.isnan(rr_ms)
    times, rr_ms = block.time_ns, np.where(np.isnan(rr_ms), 0.0, rr_ms)
    first_ns = int(times[0])
    if before is not None:
        times = np.concatenate((before.times_ns, times))
        rr_ms = np.concatenate((before.rr_ms, rr_ms))
        usable = np.concatenate((before.usable, usable))
    known = LastBeats(times_ns=times, rr_ms=rr_ms, usable=usable, done=0)
    # The first beat told needs its neighbour's verdict too, which needs five more beats before it.
    kept = max(0, len(times) - 2 * NEARBY - 1)
    ready = max(0, len(times) - NEARBY)
    tail = LastBeats(times_ns=times[kept:], rr_ms=rr_ms[kept:], usable=usable[kept:], done=ready - kept)
    return _told(known, slice(before.done if before is not None else 0, ready), first_ns, tail)


def _told(known: LastBeats, told: slice, first_ns: int, tail: LastBeats | None) -> Beats:
    valid = known.usable & ~artefacts(known.rr_ms)
    times, rr_ms = known.times_ns, known.rr_ms
    paired = np.zeros(len(rr_ms), bool)
    late_ns = np.diff(times) - rr_ms[1:] * 1e6
    paired[1:] = valid[1:] & valid[:-1] & (late_ns <= _LOST_NS)
    step_ms = np.diff(rr_ms, prepend=rr_ms[:1])
    rr_ms, valid = rr_ms[told], valid[told]
    return Beats(
        rr_ms=rr_ms,
        valid=valid,
        step_ms=step_ms[told],
        paired=paired[told],
        first_ns=first_ns,
        last_ns=int(times[-1]),
        covered_s=float(np.minimum(rr_ms, RR_INTERVAL.high).sum()) / 1000.0,
        sound_s=float(rr_ms[valid].sum()) / 1000.0,
        tail=tail,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Variability:
    """Sums over beats; intervals are counted from 800 ms, so that their squares lose no digits."""

    beats: int = 0
    valid: int = 0
    above_ms: float = 0.0
    above_ms2: float = 0.0
    steps: int = 0
    steps_ms2: float = 0.0
    steps_over_50: int = 0

    def after(self, rr_ms: _FloatArray, valid: _Flags, step_ms: _FloatArray, paired: _Flags) -> "Variability":
        """Return the sums with further beats."""
        above, step = rr_ms[valid] - _REFERENCE_MS, step_ms[paired]
        return Variability(
            beats=self.beats + len(rr_ms),
            valid=self.valid + len(above),
            above_ms=self.above_ms + float(above.sum()),
            above_ms2=self.above_ms2 + float(above @ above),
            steps=self.steps + len(step),
            steps_ms2=self.steps_ms2 + float(step @ step),
            steps_over_50=self.steps_over_50 + int(np.count_nonzero(np.abs(step) > 50.0)),
        )

    @property
    def mean_ms(self) -> float:
        """Mean interval."""
        return _REFERENCE_MS + self.above_ms / self.valid if self.valid else math.nan

    @property
    def sdnn_ms(self) -> float:
        """Standard deviation of the intervals, n − 1."""
        if self.valid < 2:
            return math.nan
        return math.sqrt(max(0.0, self.above_ms2 - self.above_ms**2 / self.valid) / (self.valid - 1))

    @property
    def rmssd_ms(self) -> float:
        """Root mean square of the differences between neighbours."""
        return math.sqrt(self.steps_ms2 / self.steps) if self.steps else math.nan

    @property
    def pnn50_percent(self) -> float:
        """Share of the differences that are over 50 ms; the denominator is their number."""
        return 100.0 * self.steps_over_50 / self.steps if self.steps else math.nan


def variability(rr_ms: _FloatArray, valid: _Flags | None = None) -> Variability:
    """Return the sums over consecutive intervals; differences are those between valid neighbours."""
    valid = np.ones(len(rr_ms), bool) if valid is None else valid
    paired = np.zeros(len(rr_ms), bool)
    paired[1:] = valid[1:] & valid[:-1]
    return Variability().after(rr_ms, valid, np.diff(rr_ms, prepend=rr_ms[:1]), paired)


class Rmssd(FoldMetric[Beats, Variability]):
    """Root mean square of successive differences."""

    metric_id = "rmssd@1"
    title = "RMSSD"
    decimals = 0
    cut = staticmethod(beats)
    streams = ("rr",)
    rules = (
        "an interval over 20 % off the median of the 11 around it, out of 200..2500 ms or doubted by the sensor is an "
        "artefact; differences are taken between valid neighbours only, never over a lost beat; nothing is said with "
        "over 5 % artefacts or under 60 s of clean intervals; at over 100 bpm it is noted that this is no recovery"
    )
    source = "Task Force ESC/NASPE 1996"
    unit = "ms"
    labels = ("rmssd",)
    formula = "√ mean((RRᵢ − RRᵢ₋₁)²)"

    def begin(self, profile: Profile) -> Variability:  # noqa: ARG002  the same for everybody
        """Return no beats."""
        return Variability()

    def add(self, total: Variability, piece: Beats, profile: Profile) -> Variability:  # noqa: ARG002  as above
        """Return the sums with the piece's beats."""
        return total.after(piece.rr_ms, piece.valid, piece.step_ms, piece.paired)

    def figure(self, total: Variability) -> float:
        """Return what this metric says of the sums."""
        return total.rmssd_ms

    def tell(self, folded: Folded[Beats, Variability]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the figure where the beats are good enough, and why not."""
        total = folded.total
        if not total.beats:
            return (math.nan,), ()
        notes = (_EXERCISE_NOTE,) if total.mean_ms < 60_000.0 / _EXERCISE_BPM else ()
        artefact_share = 1.0 - total.valid / total.beats
        if artefact_share > MAX_ARTEFACTS:
            return (math.nan,), (f"{100.0 * artefact_share:.0f} % of the beats are artefacts", *notes)
        if folded.sound_s < MIN_CLEAN_S:
            return (math.nan,), (
                f"{folded.sound_s:.0f} s of clean beats, at least {MIN_CLEAN_S:.0f} s are needed",
                *notes,
            )
        return (self.figure(total),), notes

    def quality(self, folded: Folded[Beats, Variability]) -> float:
        """Return the share of beats that are no artefacts."""
        return folded.total.valid / folded.total.beats if folded.total.beats else 1.0


class LnRmssd(Rmssd):
    """Natural logarithm of RMSSD."""

    metric_id = "ln_rmssd@1"
    title = "ln RMSSD"
    decimals = 2
    unit = "ln ms"
    labels = ("ln_rmssd",)
    formula = "ln √ mean((RRᵢ − RRᵢ₋₁)²)"

    def figure(self, total: Variability) -> float:
        """Return the logarithm, NaN where nothing varies."""
        return math.log(total.rmssd_ms) if total.rmssd_ms > 0 else math.nan


class Sdnn(Rmssd):
    """Standard deviation of the intervals."""

    metric_id = "sdnn@1"
    title = "SDNN"
    labels = ("sdnn",)
    formula = "√ (Σ (RRᵢ − mean)² / (n − 1))"

    def figure(self, total: Variability) -> float:
        """Return the deviation."""
        return total.sdnn_ms


class Pnn50(Rmssd):
    """Share of successive differences over 50 ms."""

    metric_id = "pnn50@1"
    title = "pNN50"
    unit = "%"
    labels = ("pnn50",)
    formula = "100 · number(|RRᵢ − RRᵢ₋₁| > 50 ms) / number of differences"

    def figure(self, total: Variability) -> float:
        """Return the share."""
        return total.pnn50_percent
