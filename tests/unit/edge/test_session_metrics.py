"""All metrics of a session with long windows for most: the same numbers as with windows of a second, at any moment."""

from dataclasses import replace

import numpy as np
import pytest

from edge.pipeline.session_metrics import SHOWN, SessionMetrics
from shared.clock import NS_PER_S
from shared.metrics.base import MetricValue, Profile
from shared.metrics.registry import METRICS, MetricTracker
from shared.quantities import STREAMS
from shared.readings import Readings
from shared.windows import Window, Windower
from tests.factories import ATHLETE, START_NS, profile, readings

DURATION_S = 180
KNOWN: Profile = replace(
    profile(), vt1_bpm=140.0, vt2_bpm=165.0, mass_kg=75.0, critical_power_w=230.0, w_prime_j=20_000.0, ftp_w=240.0,
    critical_speed_mps=4.0, d_prime_m=200.0,
)  # fmt: skip


def session(rng: np.random.Generator) -> list[Readings]:
    """Return every stream in pieces of about a second, with jitter, flags, missing values and a gap of 25 s."""
    blocks: list[Readings] = []
    for stream, of in STREAMS.items():
        step_ns = round(NS_PER_S / min(of.rate_hz, 100.0))
        times = START_NS + np.arange(DURATION_S * NS_PER_S // step_ns) * step_ns
        times += rng.integers(0, max(1, step_ns // 3), len(times))
        low, high = (np.array([getattr(one, end) for one in of.quantities]) for end in ("low", "high"))
        values = low + (high - low) * (0.5 + 0.04 * np.cumsum(rng.normal(0, 0.1, (len(times), len(low))), axis=0))
        values[rng.random(values.shape) < 0.01] = np.nan
        quality = np.where(rng.random(len(times)) < 0.03, rng.choice([1, 2, 4, 16, 128], len(times)), 0)
        came = (times < START_NS + 60 * NS_PER_S) | (times > START_NS + 85 * NS_PER_S)
        blocks += [
            readings(stream, values[at], times_ns=times[at], quality=quality[at].tolist(), first=int(at[0]))
            for at in np.array_split(np.flatnonzero(came), DURATION_S)
            if len(at)
        ]
    return sorted(blocks, key=lambda block: int(block.time_ns[0]))


def windows(rng: np.random.Generator) -> list[Window]:
    """Return the session in windows of a second."""
    windower = Windower()
    closed = [window for block in session(rng) for window in windower.push(block)]
    return closed + windower.flush()


def assert_same(found: dict[str, MetricValue], wanted: dict[str, MetricValue]) -> None:
    """Compare all that is said of each metric."""
    assert list(found) == list(wanted)
    for metric_id, value in wanted.items():
        other = found[metric_id]
        assert other.values == pytest.approx(value.values, rel=1e-9, abs=1e-9, nan_ok=True), metric_id
        assert other.coverage == pytest.approx(value.coverage, rel=1e-9), metric_id
        assert other.quality == pytest.approx(value.quality, rel=1e-9), metric_id
        assert other.notes == value.notes, metric_id


@pytest.mark.parametrize("seed", [5, 41])
def test_values_when_asked_at_any_moment_then_they_are_those_of_windows_of_a_second(seed: int) -> None:
    """Rule: that most metrics wait for longer windows is not to be seen, whoever asks, whenever."""
    rng = np.random.default_rng(seed)
    sparing, usual = SessionMetrics(KNOWN), MetricTracker(KNOWN)
    asked = 0
    for window in windows(rng):
        assert window.athlete == ATHLETE
        sparing.update(window)
        usual.update(window)
        if rng.random() < 0.05:
            until_ns = window.end_ns + int(rng.integers(5 * NS_PER_S))
            assert_same(sparing.values(until_ns=until_ns), usual.values(until_ns=until_ns))
            asked += 1
    assert asked
    assert_same(sparing.values(), usual.values())
    assert sum(value.coverage > 0 for value in usual.values().values()) > len(METRICS) / 2


def test_shown_values_when_a_window_has_closed_then_they_have_it_at_once() -> None:
    """Rule: tiles and rules never wait for the longer windows; nor does whoever asks for one other metric."""
    sparing, usual = SessionMetrics(KNOWN), MetricTracker(KNOWN)
    for window in windows(np.random.default_rng(9)):
        sparing.update(window)
        usual.update(window)
        for metric in SHOWN:
            assert sparing.value(metric.metric_id) == usual.value(metric.metric_id)
    load = sparing.value("accel_load@1")
    assert load is not None
    assert load.value == pytest.approx(usual.values()["accel_load@1"].value, rel=1e-9)


def test_value_when_the_athlete_has_no_such_metric_then_it_is_none() -> None:
    """Rule: a metric whose needs the profile does not meet is absent."""
    assert SessionMetrics(profile()).value("trimp_lucia@1") is None
    assert "trimp_lucia@1" not in SessionMetrics(profile()).values()
