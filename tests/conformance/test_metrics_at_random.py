"""Every metric over recordings that no sensor would be proud of: the same value, whatever length the windows have."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.clock import NS_PER_MS, NS_PER_S
from shared.ids import SensorId
from shared.metrics.base import MetricValue
from shared.metrics.registry import METRICS, MetricTracker
from shared.quantities import STREAMS
from shared.readings import Quality, Readings
from shared.windows import Windower
from tests.conformance.recordings import measured
from tests.conformance.test_metrics import same
from tests.factories import START_NS, readings

_STREAMS = sorted({stream for metric in METRICS for stream in metric.streams} - {"battery"})
_LEVELS = {"heart_rate_bpm": 165.0, "rr_ms": 700.0, "power_w": 230.0, "speed_mps": 3.5, "left_percent": 50.0}
_LEVELS |= {"exertion_cr10": 6.0, "x_m": 50.0, "y_m": 30.0}


def ragged(stream: str, seed: int, seconds: int) -> Readings:
    """Return readings with bursts, equal times, gaps, jumps, NaN and flags."""
    rng = np.random.default_rng(seed)
    count = max(1, int(seconds * min(25.0, STREAMS[stream].rate_hz)))
    gaps_s = rng.choice([0.0, 0.02, 0.9, 1.0, 1.1, 4.9, 5.1, 9.0], count, p=[0.4, 0.5, *[1 / 60] * 6])
    steps_s = np.where(rng.random(count) < 0.15, gaps_s, seconds / count * rng.uniform(0.7, 1.3, count))
    # Some on the grid of a tenth of a second and on whole seconds, some not.
    times = START_NS + np.cumsum(steps_s * 1000).astype(np.int64) * NS_PER_MS
    values = rng.normal(0, 1, (count, len(STREAMS[stream].quantities)))
    for column, quantity in enumerate(STREAMS[stream].quantities):
        if quantity.name in _LEVELS:
            values[:, column] = _LEVELS[quantity.name] * (1 + 0.02 * values[:, column])
    if stream == "position":
        values[:, :2] = 50 + np.cumsum(rng.normal(0, 0.1, (count, 2)), axis=0)
        values[rng.random(count) < 0.01, 0] += 60.0
    values[rng.random(count) < 0.02] = np.nan
    flags = np.where(rng.random(count) < 0.02, int(Quality.IMPLAUSIBLE), 0)
    flags |= np.where(rng.random(count) < 0.02, int(Quality.UNCERTAIN), 0)
    return readings(stream, values, times_ns=times, quality=flags.tolist(), sensor=SensorId(stream))


def values_of(blocks: list[Readings], window_ns: int) -> dict[str, MetricValue]:
    """Return every metric's value through windows of a length."""
    windower = Windower(size_ns=window_ns, lateness_ns=3600 * NS_PER_S)
    windower.push(*blocks)
    tracker = MetricTracker(measured())
    for window in windower.flush():
        tracker.update(window)
    return tracker.values()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.sampled_from([100, 250, 700, 1000, 3000, 17_000, 60_000]))
def test_metrics_when_recordings_are_ragged_then_windows_of_any_length_agree(
    seed: int, seconds: int, window_ms: int
) -> None:
    """Rule: a window's borders leave no trace in any value."""
    blocks = [ragged(stream, seed + i, seconds) for i, stream in enumerate(_STREAMS)]
    want = values_of(blocks, 3600 * NS_PER_S)
    for metric, value in values_of(blocks, window_ms * NS_PER_MS).items():
        assert same(value, want[metric]), metric
        assert 0.0 <= value.coverage <= 1.0
        assert 0.0 <= value.quality <= 1.0
