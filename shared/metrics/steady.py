"""Decoupling of heart rate from effort over steady work."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.metrics.base import MetricValue, Profile
from shared.metrics.fold import added_up
from shared.metrics.held import DEVICE_SPEED, HEART, HOLD_RULE, POWER, Hold, Last
from shared.windows import Window

MIN_MINUTES = 20
_SOURCES: tuple[Hold, ...] = (HEART, POWER, DEVICE_SPEED)
_STREAMS = ("heart_rate", "power", "speed")
_HEART, _POWER, _SPEED = range(3)
_MINUTE_NS = 60 * NS_PER_S
_ENOUGH_S = 30.0
_STEADY = 0.15
_FloatArray = NDArray[np.float64]


class Halves(NamedTuple):
    """Efficiency (effort per heart rate) of the first and second half, and their decoupling in percent."""

    first: float
    second: float
    percent: float


def decoupling(effort: _FloatArray, heart_rate_bpm: _FloatArray) -> Halves:
    """Return (EF1 − EF2)/EF1 · 100 of n equal stretches, EF = mean effort / mean heart rate of a half (Friel).

    The percentage is NaN without any effort in the first half.
    """
    half = len(effort) // 2
    first = float(effort[:half].mean() / heart_rate_bpm[:half].mean())
    second = float(effort[len(effort) - half :].mean() / heart_rate_bpm[len(effort) - half :].mean())
    return Halves(first, second, 100.0 * (first - second) / first if first > 0 else math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minutes:
    """Sums and seconds of heart rate, power and speed, by minute since the first reading: float64[minutes, 3]."""

    begun_ns: int | None = None
    tails: tuple[Last | None, ...] = (None,) * len(_SOURCES)
    sums: _FloatArray
    seconds: _FloatArray

    def after(self, source: int, times_ns: NDArray[np.int64], values: _FloatArray, seconds: _FloatArray) -> "Minutes":
        """Return them with held readings of a source added."""
        if not len(times_ns) or self.begun_ns is None:
            return self
        minute = (times_ns - self.begun_ns) // _MINUTE_NS
        count = max(len(self.sums), int(minute[-1]) + 1)
        grown = np.zeros((2, count, len(_SOURCES)))
        grown[0, : len(self.sums)], grown[1, : len(self.sums)] = self.sums, self.seconds
        grown[0, :, source] += added_up(minute, values * seconds, count)
        grown[1, :, source] += added_up(minute, seconds, count)
        return replace(self, sums=grown[0], seconds=grown[1])


class Decoupling:
    """How much less effort a heartbeat buys in the second half."""

    metric_id = "decoupling@1"
    title = "Decoupling"
    decimals = 1
    streams = _STREAMS
    needs: tuple[str, ...] = ()
    rules = (
        "effort is mean power, else the device's speed; minutes with 30 s of both count, 20 of them at least, an odd "
        "middle one is left out; noted when minutes vary by over 15 %: it is meant for steady work; " + HOLD_RULE
    )
    source = "Friel, Pw:HR and Pa:HR"
    unit = "%"
    labels = ("decoupling",)
    formula = "(EF₁ − EF₂)/EF₁ · 100, EF = mean effort / mean heart rate of each half"

    def start(self, profile: Profile) -> Minutes:  # noqa: ARG002  the same for everybody
        """Return the state before any window."""
        return Minutes(sums=np.zeros((0, len(_SOURCES))), seconds=np.zeros((0, len(_SOURCES))))

    def update(self, state: Minutes, window: Window) -> Minutes:
        """Return the state after `window`."""
        if state.begun_ns is None:
            began = [int(window.streams[stream].time_ns[0]) for stream in _STREAMS if stream in window.streams]
            if not began:
                return state
            state = replace(state, begun_ns=min(began))
        tails = list(state.tails)
        for source, cut in enumerate(_SOURCES):
            held = window.once(cut, tails[source])
            if held is not None:
                state = state.after(source, held.times_ns, held.values[:, 0], held.seconds)
                tails[source] = held.tail
        return replace(state, tails=tuple(tails))

    def value(self, state: Minutes, *, from_ns: int | None = None, until_ns: int | None = None) -> MetricValue:
        """Return the decoupling, NaN where there is too little."""
        last_ns = 0
        for source, tail in enumerate(state.tails):
            if tail is not None:
                rest = tail.rest()
                state = state.after(source, rest.times_ns, rest.values[:, 0], rest.seconds)
                last_ns = max(last_ns, rest.last_ns)
        if state.begun_ns is None or not len(state.sums):
            return MetricValue(values=(math.nan,), coverage=0.0)
        source = _POWER if 2 * state.seconds[:, _POWER].sum() >= state.seconds[:, _SPEED].sum() else _SPEED
        both_s = np.minimum(state.seconds[:, _HEART], state.seconds[:, source])
        start_ns = state.begun_ns if from_ns is None else min(from_ns, state.begun_ns)
        elapsed_s = (max(last_ns, until_ns or 0) - start_ns) / NS_PER_S
        coverage = min(1.0, float(both_s.sum()) / elapsed_s)
        counted = both_s >= _ENOUGH_S
        if int(counted.sum()) < MIN_MINUTES:
            note = f"{int(counted.sum())} minutes with heart rate and effort, {MIN_MINUTES} are needed"
            return MetricValue(values=(math.nan,), coverage=coverage, notes=(note,))
        means = state.sums[counted] / np.maximum(state.seconds[counted], 1e-9)
        effort, heart = means[:, source], means[:, _HEART]
        if effort[: len(effort) // 2].mean() <= 0:
            return MetricValue(values=(math.nan,), coverage=coverage, notes=("no effort in the first half",))
        varied = effort.std() > _STEADY * effort.mean()
        notes = ("the effort was not steady",) if varied else ()
        return MetricValue(values=(decoupling(effort, heart).percent,), coverage=coverage, notes=notes)
