"""Artefact correction of a whole series of RR intervals, after the session: Lipponen & Tarvainen 2019.

"A robust algorithm for heart rate variability time series artefact correction using novel beat classification",
J Med Eng Technol 43:173, the one that Kubios uses. Beats are judged by the differences of neighbouring intervals and by
their distance from the local median, both over thresholds that follow the spread of 91 beats. Where the paper leaves a
choice (edges, repetition) it is that of neurokit2, with which the tests compare.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.readings import Quality, Readings

_SLOPE, _OFFSET = 0.13, 0.17
"""The paper's c1 and c2: the lines between ectopic and other beats."""
_ALPHA = 5.2
_SPREAD_BEATS = 91
_MEDIAN_BEATS = 11
_DEVIATION = 3.0
_QUARTERS = (22, 23, 67, 68)
"""Ranks among 91 between which the quartiles lie."""
_BREAK_S = 1.5
_MIN_BEATS = _MEDIAN_BEATS + 1
"""A shorter run says nothing about its beats."""
_UNUSABLE = np.uint8(Quality.IMPLAUSIBLE | Quality.NO_CONTACT)


@dataclass(slots=True, kw_only=True)
class Artefacts:
    """Numbers of the beats that are not as they should be; beat i ends interval i - 1."""

    ectopic: list[int] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    extra: list[int] = field(default_factory=list)
    long_short: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ectopic) + len(self.missed) + len(self.extra) + len(self.long_short)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The series after correction: `rr_ms` float64[m], and how many `beats` were put in, taken out or moved."""

    rr_ms: NDArray[np.float64]
    beats: int


def correct(rr_ms: NDArray[np.float64], *, whole_ms: bool = False) -> Corrected:
    """Return intervals float64[n] of one run without breaks, corrected until no fewer artefacts are found.

    `whole_ms` cuts moved beats to whole milliseconds, as software that counts in samples of 1 kHz does.
    """
    if len(rr_ms) < 3:
        return Corrected(rr_ms=rr_ms, beats=0)
    beats_ms = np.concatenate(([0.0], np.cumsum(rr_ms)))
    found = classify(beats_ms)
    corrected = 0
    while len(found):
        beats_ms = _mend(beats_ms, found, whole_ms=whole_ms)
        corrected += len(found)
        again = classify(beats_ms)
        if len(again) >= len(found):
            break
        found = again
    return Corrected(rr_ms=np.diff(beats_ms), beats=corrected)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedRuns:
    """Corrected `runs` of intervals (ms), the share of beats `corrected` and the share of time `covered`."""

    runs: list[NDArray[np.float64]]
    corrected: float
    covered: float

    @property
    def seconds(self) -> float:
        """How long the runs are together."""
        return sum(float(run.sum()) for run in self.runs) / 1000.0


def corrected_runs(block: Readings) -> CorrectedRuns:
    """Return a session's RR intervals in corrected runs; nothing bridges a break."""
    originals = list(runs(block))
    results = [correct(run) for run in originals]
    beats = sum(len(run) for run in originals)
    elapsed_s = float(block.time_ns[-1] - block.time_ns[0]) / NS_PER_S if len(block) else 0.0
    seconds = sum(float(run.sum()) for run in originals) / 1000.0
    return CorrectedRuns(
        runs=[result.rr_ms for result in results],
        corrected=sum(result.beats for result in results) / beats if beats else 0.0,
        covered=min(1.0, seconds / elapsed_s) if elapsed_s > 0 else 0.0,
    )


def runs(block: Readings) -> Iterator[NDArray[np.float64]]:
    """Yield stretches of neighbouring intervals, float64[n] in ms.

    A stretch ends where readings were left out or where more time passed than the next interval explains.
    """
    rr_ms = block.column("rr_ms")
    usable = ((block.quality & _UNUSABLE) == 0) & np.isfinite(rr_ms)
    between_s = np.diff(block.time_ns) / NS_PER_S
    broken = np.ones(len(rr_ms) + 1, bool)
    broken[1:-1] = (between_s - rr_ms[1:] / 1000.0 > _BREAK_S) | ~usable[1:] | ~usable[:-1]
    for start, end in pairwise(np.flatnonzero(broken)):
        if usable[start] and end - start >= _MIN_BEATS:
            yield rr_ms[start:end]


def classify(beats_ms: NDArray[np.float64]) -> Artefacts:
    """Return what is wrong with a series of beat times float64[n], n >= 4 (the paper's figure 1)."""
    rr = np.diff(beats_ms)
    rr = np.concatenate(([rr.mean()], rr))
    change = np.diff(rr)
    change = np.concatenate(([change.mean()], change))
    change = _in_spreads(change, _threshold(change))
    median = _running_median(rr)
    deviation = rr - median
    deviation = np.where(deviation < 0, 2.0 * deviation, deviation)
    tolerance = _threshold(deviation)
    deviation = _in_spreads(deviation, tolerance)
    return _decide(rr, change, deviation, median, tolerance)


def _decide(
    rr: NDArray[np.float64],
    change: NDArray[np.float64],
    deviation: NDArray[np.float64],
    median: NDArray[np.float64],
    tolerance: NDArray[np.float64],
) -> Artefacts:
    """Walk through the beats as the paper's flow chart does; only those with a large change are looked at."""
    found = Artefacts()
    around, ahead = _neighbours(change)
    skip_to = 0
    for i in np.flatnonzero(~(np.abs(change) <= 1.0)).tolist():
        if i < skip_to or i >= len(rr) - 2:
            continue
        skip_to = i + 1
        if (change[i] > 1 and around[i] < -_SLOPE * change[i] - _OFFSET) or (
            change[i] < -1 and around[i] > -_SLOPE * change[i] + _OFFSET
        ):
            found.ectopic.append(i)
            continue
        if not (abs(change[i]) > 1 or abs(deviation[i]) > _DEVIATION):
            continue
        # The next beat is looked at too if the change after it is larger still.
        both = abs(change[i + 1]) < abs(change[i + 2])
        for j in (i, i + 1) if both else (i,):
            long = change[j] > 1 and ahead[j] < -1
            short = change[j] < -1 and ahead[j] > 1
            if not (long or short or abs(deviation[j]) > _DEVIATION):
                continue
            if short and j + 1 < len(rr) and abs(rr[j] + rr[j + 1] - median[j]) < tolerance[j]:
                found.extra.append(j)
            elif long and abs(rr[j] / 2.0 - median[j]) < tolerance[j]:
                found.missed.append(j)
            else:
                found.long_short.append(j)
        skip_to = i + 2 if both else i + 1
    return found


def _neighbours(change: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the paper's S12 and S22: the opposite extreme of the changes beside each, and of the two after it."""
    padded = np.pad(change, 2, "reflect")
    before, after, later = padded[1:-3], padded[3:-1], padded[4:]
    around = np.where(change > 0, np.maximum(before, after), np.where(change < 0, np.minimum(before, after), 0.0))
    ahead = np.where(change >= 0, np.minimum(after, later), np.where(change < 0, np.maximum(after, later), 0.0))
    return around, ahead


def _threshold(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return alpha times half the interquartile range of |values| over 91 beats around each; fewer at the ends."""
    size = np.abs(values)
    low, high = np.empty(len(size)), np.empty(len(size))
    half = _SPREAD_BEATS // 2
    ends = set(range(len(size)))
    if len(size) >= _SPREAD_BEATS:
        ranked = np.partition(sliding_window_view(size, _SPREAD_BEATS), _QUARTERS, axis=1)[:, _QUARTERS]
        low[half:-half], high[half:-half] = ranked[:, :2].mean(axis=1), ranked[:, 2:].mean(axis=1)
        ends -= set(range(half, len(size) - half))
    for i in ends:
        low[i], high[i] = np.quantile(size[max(0, i - half) : i + half + 1], (0.25, 0.75))
    return np.asarray(_ALPHA * (high - low) / 2.0, np.float64)


def _in_spreads(values: NDArray[np.float64], threshold: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values over their thresholds, NaN where the threshold is 0."""
    spreads = np.full(len(values), np.nan)
    np.divide(values, threshold, out=spreads, where=threshold != 0)
    return spreads


def _running_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of 11 around each value, of fewer at the ends."""
    half = _MEDIAN_BEATS // 2
    medians = np.empty(len(values))
    ends = set(range(len(values)))
    if len(values) >= _MEDIAN_BEATS:
        medians[half:-half] = np.median(sliding_window_view(values, _MEDIAN_BEATS), axis=1)
        ends -= set(range(half, len(values) - half))
    for i in ends:
        medians[i] = np.median(values[max(0, i - half) : i + half + 1])
    return medians


def _mend(beats_ms: NDArray[np.float64], found: Artefacts, *, whole_ms: bool) -> NDArray[np.float64]:
    """Take out extra beats, put in missed ones, and move the rest to the middle between their neighbours."""
    extra, missed = found.extra, _moved(found.missed, found.extra, -1)
    ectopic = _moved(_moved(found.ectopic, found.extra, -1), missed, 1)
    long_short = _moved(_moved(found.long_short, found.extra, -1), missed, 1)
    beats = np.delete(beats_ms, extra)
    inside = np.array([i for i in missed if 1 < i < len(beats)], np.int64)
    beats = np.insert(beats, inside, (beats[inside - 1] + beats[inside]) / 2.0)
    beats = np.trunc(beats) if whole_ms else beats
    for wrong in (ectopic, long_short):
        inside = np.array([i for i in wrong if 1 < i < len(beats) - 1], np.int64)
        middle = (beats[inside - 1] + beats[inside + 1]) / 2.0
        if len(wrong):
            beats = np.sort(np.concatenate((np.delete(beats, inside), middle)), kind="stable")
            beats = np.trunc(beats) if whole_ms else beats
    return beats


def _moved(beats: list[int], changed: list[int], by: int) -> list[int]:
    """Return beat numbers after others were put in or taken out before them."""
    for one in changed:
        beats = [beat + by if beat > one else beat for beat in beats]
    return sorted(set(beats))
