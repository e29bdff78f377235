"""What every metric in METRICS must do: the same value however readings come, numbers only, honest coverage."""

from typing import Any

import numpy as np
import pytest

from shared.clock import NS_PER_S
from shared.metrics.base import Metric, MetricValue
from shared.metrics.registry import METRICS
from shared.readings import select
from shared.windows import Window, Windower
from tests.conformance.recordings import SECONDS, recording, whole, windows
from tests.factories import START_NS, profile

every_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.metric_id)


def run(metric: Metric[Any], closed: list[Window], *, until_ns: int | None = None) -> MetricValue:
    """Return the value after windows."""
    state = metric.start(profile())
    for window in closed:
        state = metric.update(state, window)
    return metric.value(state, until_ns=until_ns)


def same(first: MetricValue, second: MetricValue) -> bool:
    """Return whether two values agree but for the order of additions."""
    return first.values == pytest.approx(second.values, rel=1e-9) and first.coverage == pytest.approx(second.coverage)


@every_metric
def test_metric_when_readings_come_in_blocks_then_the_value_is_the_same(metric: Metric[Any]) -> None:
    """Rule: chunked = whole."""
    want = run(metric, whole(recording()))
    assert sum(want.values) > 0
    for size in (7, 64, 10_000):
        windower = Windower(lateness_ns=SECONDS * NS_PER_S)
        closed = [
            window
            for block in recording()
            for start in range(0, len(block), size)
            for window in windower.push(select(block, np.arange(start, min(start + size, len(block)))))
        ]
        assert same(run(metric, [*closed, *windower.flush()]), want)


@every_metric
def test_metric_when_readings_are_late_or_come_twice_then_the_value_is_the_same(metric: Metric[Any]) -> None:
    """Rule: late within the bound = in order, duplicates = once."""
    singles = [select(block, np.array([i])) for block in recording() for i in range(len(block))]
    want = run(metric, whole(recording()))
    assert same(run(metric, windows(singles, jitter_s=0.9)), want)
    assert same(run(metric, windows([*singles, *singles[::3]], jitter_s=0.9)), want)


@every_metric
def test_metric_when_readings_are_not_numbers_then_its_values_are(metric: Metric[Any]) -> None:
    """Rule: NaN never spreads, whatever share of the readings it is."""
    for spoilt in (slice(0, None), slice(0, None, 2), slice(0, 5)):
        blocks = recording()
        for block in blocks:
            block.values[spoilt] = np.nan
        value = run(metric, whole(blocks))
        assert np.isfinite(value.values).all()
        assert 0.0 <= value.coverage <= 1.0


@every_metric
def test_metric_when_readings_are_missing_then_coverage_falls_and_the_gap_adds_nothing(metric: Metric[Any]) -> None:
    """Rule: a minute without readings adds at most the nominal second of the last one."""
    full = run(metric, whole(recording()))
    kept = [
        select(b, (b.time_ns < START_NS + 15 * NS_PER_S) | (b.time_ns >= START_NS + 75 * NS_PER_S)) for b in recording()
    ]
    gap = run(metric, whole(kept))
    assert gap.coverage < 0.5 < full.coverage
    assert all(less <= more + 1.0 for less, more in zip(gap.values, full.values, strict=True))
    assert sum(gap.values) < 0.6 * sum(full.values)


@every_metric
def test_metric_when_there_is_nothing_then_it_is_zero_with_no_coverage(metric: Metric[Any]) -> None:
    """Rule: nothing seen is coverage 0, before any window and after empty ones."""
    empty = Window(athlete=profile().athlete, start_ns=START_NS, end_ns=START_NS + NS_PER_S, streams={})
    for closed in ([], [empty]):
        value = run(metric, closed, until_ns=START_NS + 60 * NS_PER_S)
        assert (set(value.values), value.coverage) == ({0.0}, 0.0)
        assert len(value.values) == len(metric.labels)


@every_metric
def test_metric_when_updated_then_the_old_state_is_as_it_was(metric: Metric[Any]) -> None:
    """Rule: (state, window) -> state changes nothing in place, so that states can be kept and replayed."""
    closed = whole(recording())
    states = [metric.start(profile())]
    for window in closed:
        states.append(metric.update(states[-1], window))
    assert metric.value(metric.update(states[30], closed[30])) == metric.value(states[31])
    assert metric.value(states[0]).coverage == 0.0
