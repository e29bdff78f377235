"""Load from an inertial sensor, and from what the athlete says afterwards."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.metrics.base import SESSION_STREAMS, MetricValue, Profile
from shared.metrics.fold import DOUBTED, Folded, FoldMetric
from shared.readings import Quality
from shared.windows import Window

EXERTION = "exertion"
_CLOSEST_NS = 7_500_000
"""Readings closer than this to the last one used are passed over: 200 Hz and more are thinned to about 100 Hz."""
_SLOW_S = 0.0125
_GAP_S = 0.1
_SLOW_SHARE = 0.5
_SLOW_NOTE = "the sensor gives under 80 readings a second: the load reads low, compare it with its own kind only"
_FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jolts:
    """Changes of acceleration between neighbouring readings: `change_g` float64[n]."""

    change_g: _FloatArray
    first_ns: int
    last_ns: int
    covered_s: float
    sound_s: float
    tail: "LastAcceleration"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastAcceleration:
    """The last reading that was used."""

    time_ns: int
    row_g: _FloatArray

    def rest(self) -> Jolts:
        """Return nothing: a reading counts by its difference to the next."""
        return Jolts(
            change_g=np.empty(0), first_ns=self.time_ns, last_ns=self.time_ns, covered_s=0.0, sound_s=0.0, tail=self
        )


def jolts(before: LastAcceleration | None, window: Window) -> Jolts | None:
    """Return the changes of acceleration up to the last reading of `window`."""
    block = window.streams.get("imu")
    if block is None:
        return None
    rows = block.values[:, :3]
    usable = ((block.quality & np.uint8(Quality.IMPLAUSIBLE)) == 0) & ~np.isnan(rows).any(axis=1)
    times, rows = block.time_ns[usable], rows[usable]
    doubted = (block.quality[usable] & DOUBTED) != 0
    if before is not None:
        times = np.concatenate(([before.time_ns], times))
        rows = np.concatenate((before.row_g[None], rows))
        doubted = np.concatenate(([False], doubted))
    chosen = _thinned(times)
    times, rows, doubted = times[chosen], rows[chosen], doubted[chosen]
    if len(times) == (before is not None):
        return None
    seconds = (times[1:] - times[:-1]) / NS_PER_S
    near = seconds <= _GAP_S
    sound = near & (seconds <= _SLOW_S) & ~doubted[1:]
    return Jolts(
        change_g=np.sqrt(((rows[1:] - rows[:-1]) ** 2).sum(axis=1))[near],
        first_ns=int(times[0]),
        last_ns=int(times[-1]),
        covered_s=float(seconds[near].sum()),
        sound_s=float(seconds[sound].sum()),
        tail=LastAcceleration(time_ns=int(times[-1]), row_g=rows[-1]),
    )


def _thinned(times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which readings are used, the first among them: none closer to the one used before it than 7.5 ms."""
    chosen = np.ones(len(times), bool)
    if len(times) < 2 or (times[1:] - times[:-1]).min() >= _CLOSEST_NS:
        return chosen
    last_ns = int(times[0])
    for i, time_ns in enumerate(times[1:].tolist(), 1):
        if time_ns - last_ns < _CLOSEST_NS:
            chosen[i] = False
        else:
            last_ns = time_ns
    return chosen


class AccelLoad(FoldMetric[Jolts, float]):
    """Accumulated change of acceleration."""

    metric_id = "accel_load@1"
    title = "Accel load"
    decimals = 0
    cut = staticmethod(jolts)
    streams = ("imu",)
    rules = (
        "meant for 100 Hz: faster sensors are thinned to 7.5 ms or more between readings, slower ones are taken as "
        "they are and read low (noted under 80 Hz); a gap of over 0.1 s adds nothing; one pod per athlete"
    )
    source = "Boyd, Ball & Aughey 2011, Cartesian form; vendors' own load figures differ from it (Nicolella 2018)"
    unit = "AU"
    labels = ("load",)
    formula = "Σ √(Δax² + Δay² + Δaz²) / 100, a in g"

    def begin(self, profile: Profile) -> float:  # noqa: ARG002  nothing is nothing for everybody
        """Return zero."""
        return 0.0

    def add(self, total: float, piece: Jolts, profile: Profile) -> float:  # noqa: ARG002  as above
        """Return the load after the piece."""
        return total + float(piece.change_g.sum()) / 100.0

    def tell(self, folded: Folded[Jolts, float]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the load, and that it reads low where it does."""
        slow = folded.covered_s > 0 and folded.sound_s < _SLOW_SHARE * folded.covered_s
        return (folded.total,), (_SLOW_NOTE,) * slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The session's first and last measurement, and the newest answer."""

    first_ns: int | None = None
    last_ns: int = 0
    answered_ns: int | None = None
    exertion: float = math.nan


class SessionRpe:
    """Session load from perceived exertion."""

    metric_id = "session_rpe@1"
    title = "Session RPE"
    decimals = 0
    streams = (EXERTION, *sorted(SESSION_STREAMS))
    needs: tuple[str, ...] = ()
    rules = (
        "the newest answer on Borg's CR10 scale, best asked 30 min after; minutes from the session's first to last "
        "measurement, answers and battery aside; coverage is 1 with an answer"
    )
    source = "Foster 2001"
    unit = "AU"
    labels = ("load",)
    formula = "CR10 · minutes"

    def start(self, profile: Profile) -> Answer:  # noqa: ARG002  the same for everybody
        """Return the state before any window."""
        return Answer()

    def update(self, state: Answer, window: Window) -> Answer:
        """Return the state after `window`."""
        first_ns, last_ns = state.first_ns, state.last_ns
        answered_ns, exertion = state.answered_ns, state.exertion
        for stream, block in window.streams.items():
            if stream in SESSION_STREAMS:
                begun_ns = int(block.time_ns[0])
                first_ns = begun_ns if first_ns is None else min(first_ns, begun_ns)
                last_ns = max(last_ns, int(block.time_ns[-1]))
            elif stream == EXERTION:
                answers = np.flatnonzero(((block.quality & _REFUSED) == 0) & ~np.isnan(block.values[:, 0]))
                if len(answers):
                    answered_ns = int(block.time_ns[answers[-1]])
                    exertion = float(block.values[answers[-1], 0])
        return Answer(first_ns=first_ns, last_ns=last_ns, answered_ns=answered_ns, exertion=exertion)

    def value(self, state: Answer, *, from_ns: int | None = None, until_ns: int | None = None) -> MetricValue:  # noqa: ARG002  the session's own time counts
        """Return the load, NaN without an answer."""
        if state.first_ns is None or state.answered_ns is None:
            return MetricValue(values=(math.nan,), coverage=0.0)
        minutes = (state.last_ns - state.first_ns) / NS_PER_S / 60.0
        return MetricValue(values=(state.exertion * minutes,), coverage=1.0)


_REFUSED = np.uint8(Quality.IMPLAUSIBLE)
