"""What every metric in METRICS must do: the same value however readings come, honest coverage, nothing invented."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from shared.clock import NS_PER_S
from shared.metrics.base import Metric, MetricValue
from shared.metrics.registry import METRICS, MetricTracker
from shared.readings import Readings, select
from shared.windows import Window, Windower
from tests.conformance.recordings import SECONDS, everything, measured, whole, windows
from tests.factories import START_NS

LONG_S = 25 * 60
NEVER_SHORT = {"session_rpe@1"}
"""Metrics of an answer, not of time: their coverage is 1 with it."""
NEEDS_LONG = {"decoupling@1", "hr_recovery_60s@1"}
"""Metrics that say nothing of a minute and a half."""

every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.metric_id)


def run(metric: Metric[Any], closed: tuple[Window, ...] | list[Window], *, until_ns: int | None = None) -> MetricValue:
    """Return the value after windows."""
    state = metric.start(measured())
    for window in closed:
        state = metric.update(state, window)
    return metric.value(state, until_ns=until_ns)


def said(value: MetricValue) -> list[float]:
    """Return the values that are numbers."""
    return [one for one in value.values if not math.isnan(one)]


def same(first: MetricValue, second: MetricValue) -> bool:
    """Return whether two values agree but for the order of additions."""
    return (
        first.values == pytest.approx(second.values, rel=1e-9, abs=1e-12, nan_ok=True)
        and (first.coverage, first.quality) == pytest.approx((second.coverage, second.quality), rel=1e-9)
        and first.notes == second.notes
    )


def adds_up(metric: Metric[Any]) -> bool:
    """Return whether a metric is a sum: zero, not unknown, of nothing."""
    return all(value == 0.0 for value in metric.value(metric.start(measured())).values)


@cache
def in_order() -> tuple[Window, ...]:
    """Return the windows of the recording given reading by reading."""
    return tuple(whole(everything()))


@cache
def _singles() -> tuple[Readings, ...]:
    return tuple(select(block, np.array([i])) for block in everything() for i in range(len(block)))


@cache
def in_disorder(*, twice: bool) -> tuple[Window, ...]:
    """Return the windows of readings up to 0.9 s late, a third of them coming twice."""
    singles = _singles()
    return tuple(windows([*singles, *(singles[::3] if twice else ())], jitter_s=0.9))


@cache
def in_blocks(size: int, window_s: int, seconds: int = SECONDS) -> tuple[Window, ...]:
    """Return windows of `window_s` of the recording given in blocks of `size` readings."""
    windower = Windower(size_ns=window_s * NS_PER_S, lateness_ns=seconds * NS_PER_S)
    closed = [
        window
        for block in everything(seconds)
        for start in range(0, len(block), size)
        for window in windower.push(select(block, np.arange(start, min(start + size, len(block)))))
    ]
    return (*closed, *windower.flush())


@every_metric
def test_metric_when_readings_come_in_blocks_then_the_value_is_the_same(metric: Metric[Any]) -> None:
    """Rule: chunked = whole."""
    want = run(metric, in_order())
    if metric.metric_id not in NEEDS_LONG:
        assert any(said(want)), "the recording must show something"
        assert want.coverage > 0.5
    for size in (7, 64, 10_000):
        assert same(run(metric, in_blocks(size, 1)), want)


@every_metric
def test_metric_when_windows_are_longer_then_the_value_is_the_same(metric: Metric[Any]) -> None:
    """Rule: many short windows = few long ones, over 25 minutes, to 1e-9."""
    want = run(metric, in_blocks(10**6, 1, LONG_S))
    assert any(said(want)), "the recording must show something"
    for window_s in (7, 60, 3600):
        assert same(run(metric, in_blocks(10**6, window_s, LONG_S)), want)


@every_metric
def test_metric_when_readings_are_late_or_come_twice_then_the_value_is_the_same(metric: Metric[Any]) -> None:
    """Rule: late within the bound = in order, duplicates = once."""
    want = run(metric, in_order())
    assert same(run(metric, in_disorder(twice=False)), want)
    assert same(run(metric, in_disorder(twice=True)), want)


@every_metric
@pytest.mark.parametrize("spoilt", [slice(0, None), slice(0, None, 2), slice(0, 5)], ids=["all", "half", "five"])
def test_metric_when_readings_are_not_numbers_then_sums_are(metric: Metric[Any], spoilt: slice) -> None:
    """Rule: NaN never spreads into a sum, whatever share of the readings it is, and is no data."""
    blocks = everything()
    for block in blocks:
        block.values[spoilt] = np.nan
    windower = Windower()
    value = run(metric, [*windower.push(*blocks), *windower.flush()])
    assert not adds_up(metric) or np.isfinite(value.values).all()
    assert 0.0 <= value.coverage <= 1.0
    assert 0.0 <= value.quality <= 1.0
    if spoilt == slice(0, None):
        assert (any(said(value)), value.coverage) == (False, 0.0)


@every_metric
def test_metric_when_readings_are_missing_then_coverage_falls_and_the_gap_adds_nothing(metric: Metric[Any]) -> None:
    """Rule: a minute without readings adds at most the nominal second of the last one."""
    full = run(metric, in_order())
    windower = Windower()
    kept = [
        select(b, (b.time_ns < START_NS + 15 * NS_PER_S) | (b.time_ns >= START_NS + 75 * NS_PER_S))
        for b in everything()
    ]
    gap = run(metric, [*windower.push(*kept), *windower.flush()])
    if metric.metric_id not in NEVER_SHORT:
        assert gap.coverage < 0.5 < full.coverage
    if adds_up(metric):
        assert all(less <= more + 1.0 for less, more in zip(gap.values, full.values, strict=True))
        assert sum(gap.values) < 0.6 * sum(full.values)


@every_metric
def test_metric_when_there_is_nothing_then_it_is_nothing_with_no_coverage(metric: Metric[Any]) -> None:
    """Rule: nothing seen is coverage 0 and a sum of 0 or an unknown value, before any window and after empty ones."""
    empty = Window(athlete=measured().athlete, start_ns=START_NS, end_ns=START_NS + NS_PER_S, streams={})
    for closed in ([], [empty]):
        value = run(metric, closed, until_ns=START_NS + 60 * NS_PER_S)
        assert all(one == 0.0 or math.isnan(one) for one in value.values)
        assert value.coverage == 0.0
        assert len(value.values) == len(metric.labels)


@every_metric
def test_metric_when_updated_then_the_old_state_is_as_it_was(metric: Metric[Any]) -> None:
    """Rule: (state, window) -> state changes nothing in place, so that states can be kept and replayed."""
    closed = in_order()
    states = [metric.start(measured())]
    for window in closed:
        states.append(metric.update(states[-1], window))
    assert same(metric.value(metric.update(states[30], closed[30])), metric.value(states[31]))
    assert metric.value(states[0]).coverage == 0.0


@every_metric
def test_metric_when_it_is_read_then_nothing_changes(metric: Metric[Any]) -> None:
    """Rule: a value is read once a second while the session goes on; reading it changes none that follows."""
    closed = in_order()
    state = metric.start(measured())
    for window in closed:
        state = metric.update(state, window)
        metric.value(state)
    assert same(metric.value(state), run(metric, closed))


def test_tracker_when_it_runs_all_metrics_then_each_is_as_alone() -> None:
    """Rule: sharing the filtering and skipping windows without a metric's streams changes no value."""
    tracker = MetricTracker(measured())
    closed = in_blocks(64, 1)
    for window in closed:
        tracker.update(window)
    from_ns = min(int(block.time_ns[0]) for block in everything())
    until_ns = max(int(block.time_ns[-1]) for block in everything() if block.stream != "exertion")
    for metric in METRICS:
        state = metric.start(measured())
        for window in in_blocks(64, 1):
            alone = Window(
                athlete=window.athlete, start_ns=window.start_ns, end_ns=window.end_ns, streams=window.streams
            )
            state = metric.update(state, alone)
        want = metric.value(state, from_ns=from_ns, until_ns=until_ns)
        value = tracker.value(metric.metric_id)
        assert value is not None
        assert same(value, want)
