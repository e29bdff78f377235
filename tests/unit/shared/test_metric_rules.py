"""The rules of single metrics: what is unknown, what is estimated, which source counts, what noise does."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from shared.clock import NS_PER_S
from shared.metrics.base import MetricValue, Profile
from shared.metrics.efforts import Efforts
from shared.metrics.heart import ReserveZoneSeconds, ZoneSeconds
from shared.metrics.load import AccelLoad
from shared.metrics.motion import Distance, MaxSpeed, SpeedBandDistance
from shared.metrics.power import NormalisedPower
from shared.metrics.recovery import HeartRateRecovery
from shared.metrics.registry import METRICS, WITHOUT_PROFILE, MetricTracker
from shared.metrics.reserve import WorkReserve
from shared.metrics.steady import Decoupling
from shared.metrics.trimp import BanisterTrimp
from shared.readings import Quality, Readings, select
from shared.windows import Window, Windower
from tests.factories import START_NS, TAG, heart_rates, positions, profile, readings, window


def run(metric: Any, *blocks: Readings, who: Profile | None = None) -> MetricValue:
    """Return a metric's value over blocks, as the tracker gives it."""
    tracker = MetricTracker(who or profile(), (metric,))
    windower = Windower()
    for one in [*windower.push(*blocks), *windower.flush()]:
        tracker.update(one)
    value = tracker.value(metric.metric_id)
    assert value is not None
    return value


def speeds(mps: Any) -> Readings:
    """Return a foot pod's speed once a second."""
    return readings("speed", [(float(one), np.nan, np.nan, np.nan) for one in mps])


def powers(watts: Any) -> Readings:
    """Return power once a second."""
    return readings("power", [(float(one), np.nan) for one in watts])


def test_metrics_when_the_profile_lacks_what_they_need_then_they_are_absent() -> None:
    """Rule: a metric whose needs are not met is absent, not zero."""
    bare = MetricTracker(profile()).values()
    assert {"trimp_lucia@1", "w_prime_balance@1", "d_prime_balance@1", "intensity_factor@1", "training_stress@1"} == {
        metric.metric_id for metric in METRICS
    } - set(bare)
    assert MetricTracker(profile()).value("trimp_lucia@1") is None
    cyclist = MetricTracker(replace(profile(), critical_power_w=250.0, w_prime_j=20_000.0))
    assert "w_prime_balance@1" in cyclist.values()


def test_needs_when_named_then_they_are_fields_of_the_profile() -> None:
    """Rule: `needs` names Profile fields; what needs none can be said of anybody."""
    known = {field.name for field in fields(Profile)}
    assert {need for metric in METRICS for need in metric.needs} <= known
    assert {"distance@2", "efforts@1", "rmssd@1", "power@1"} <= {metric.metric_id for metric in WITHOUT_PROFILE}
    assert "speed_band_distance@2" not in {metric.metric_id for metric in WITHOUT_PROFILE}


def test_metrics_when_described_then_every_word_is_there() -> None:
    """Rule: each number can explain itself."""
    for metric in METRICS:
        words = (metric.title, metric.unit, metric.formula, metric.rules, metric.source, *metric.labels)
        assert all(words), metric.metric_id
        assert metric.decimals >= 0


def test_heart_metrics_when_hr_max_is_estimated_then_no_data_is_sound_and_a_note_says_why() -> None:
    """Rule: quality 0 while the threshold itself is estimated."""
    who = replace(profile(), hr_max_estimated=True)
    for metric in (ZoneSeconds(), ReserveZoneSeconds(), BanisterTrimp()):
        value = run(metric, heart_rates([150] * 30), who=who)
        assert (value.quality, value.coverage) == (0.0, 1.0)
        assert value.notes == ("HRmax is estimated from age, not tested",)


def test_heart_metrics_when_hr_max_is_exceeded_then_a_note_asks_for_an_update() -> None:
    """Rule: the share of reserve is held to 1.05, and it is told."""
    high = run(BanisterTrimp(), heart_rates([225] * 60))
    most = run(BanisterTrimp(), heart_rates([196.5] * 60))
    assert high.value == pytest.approx(most.value)
    assert "HRmax needs an update" in high.notes[0]
    assert run(BanisterTrimp(), heart_rates([190] * 60)).notes == ()


def test_heart_metrics_when_a_clock_was_corrected_then_quality_is_the_share_of_the_rest() -> None:
    """Rule: such readings count and lower the quality."""
    block = heart_rates([150] * 60, quality=[int(Quality.CLOCK_CORRECTED)] * 15 + [0] * 45)
    value = run(ZoneSeconds(), block)
    assert sum(value.values) == pytest.approx(60)
    assert value.quality == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("bpm", "fall"),
    [
        ([175] * 30 + [130] * 90, 45.0),
        ([175] * 8 + [130] * 90, math.nan),  # not held
        ([175] * 30 + [130] * 40 + [175] + [130] * 20, math.nan),  # resumed within the minute
        ([175] * 30 + [130] * 50, math.nan),  # ends before the minute is over
        ([175] * 30 + [130] * 90 + [180] * 30 + [120] * 90, 60.0),  # the latest
    ],
)
def test_recovery_when_the_effort_is_short_or_goes_on_then_nothing_is_said(bpm: list[int], fall: float) -> None:
    """Rule: at least 10 s above 85 % of HRmax, and a minute after it without another."""
    value = run(HeartRateRecovery(), heart_rates(bpm))
    assert value.value == pytest.approx(fall, nan_ok=True)
    assert bool(value.notes) == math.isnan(fall)


def test_distance_when_there_are_no_positions_then_the_devices_speed_counts() -> None:
    """Rule: speed x time, and it is told; with positions they alone count."""
    pod = run(Distance(), speeds([3.0] * 60))
    assert pod.value == pytest.approx(180.0)
    assert "device's own speed" in pod.notes[0]
    assert run(MaxSpeed(), speeds([3.0, 6.0, 2.0])).value == 6.0
    bands = run(SpeedBandDistance(), speeds([1.0] * 10 + [6.0] * 10))
    assert bands.values == pytest.approx((10.0, 0.0, 0.0, 60.0, 0.0))
    still = positions(np.zeros((600, 2)))
    both = run(Distance(), still, speeds([3.0] * 60))
    assert (both.value, both.notes) == (0.0, ())


@pytest.mark.parametrize("jitter_s", [0.0, 0.005, 0.1])
def test_distance_when_a_receiver_sends_once_a_second_then_jitter_makes_no_gaps(jitter_s: float) -> None:
    """Rule: a second and a little is the rate of a usual receiver, no gap."""
    seconds = np.arange(600) + np.random.default_rng(1).uniform(-jitter_s, jitter_s, 600)
    path = replace(
        positions(np.outer(seconds, (3.0, 0.0))), time_ns=START_NS + np.round(seconds * 1e9).astype(np.int64)
    )
    value = run(Distance(), path)
    assert value.value == pytest.approx(1797, rel=2e-3)
    assert value.coverage > 0.99


def test_bands_when_a_team_has_its_own_edges_then_they_count() -> None:
    """Rule: thresholds are the team's."""
    block = positions(np.column_stack((np.arange(101) * 0.45, np.zeros(101))))
    usual = run(SpeedBandDistance(), block)
    women = run(SpeedBandDistance(), block, who=replace(profile(), speed_edges_mps=(0.0, 2.0, 3.0, 16 / 3.6, 20 / 3.6)))
    assert usual.values[2] == pytest.approx(45.0)
    assert women.values[3] == pytest.approx(45.0)


def test_distance_when_a_player_stands_then_noise_adds_little() -> None:
    """Rule: 5 cm of noise at 25 Hz is over 2 m/s as measured, below 0.2 m/s after the filter, and no effort."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.05, (25 * 600, 2))
    block = positions(noise, times_ns=START_NS + np.arange(len(noise)) * NS_PER_S // 25)
    assert np.hypot(*np.diff(noise, axis=0).T).sum() / 600 > 2.0
    assert run(Distance(), block).value / 600 < 0.2
    assert run(Efforts(), block).values == (0.0, 0.0)
    assert run(MaxSpeed(), block).value < 0.6


def test_efforts_when_positions_come_once_a_second_then_quality_is_zero() -> None:
    """Rule: what was interpolated is no measured acceleration."""
    block = positions(
        np.column_stack((np.arange(60) * 3.0, np.zeros(60))), times_ns=START_NS + np.arange(60) * NS_PER_S
    )
    value = run(Efforts(), block)
    assert (value.quality, value.coverage) == (0.0, pytest.approx(1.0))


def test_efforts_when_a_gap_lies_within_then_it_is_no_effort() -> None:
    """Rule: a run of points ends at a gap; nothing is joined across it."""
    x_m = 0.5 * 4.0 * (np.arange(100) * 0.1) ** 2
    keep = np.r_[0:2, 20:22, 40:42]
    block = select(positions(np.column_stack((x_m, 0 * x_m))), keep)
    assert run(Efforts(), block).values == (0.0, 0.0)


def test_accel_load_when_readings_stop_then_the_gap_adds_nothing() -> None:
    """Rule: over 0.1 s between readings is a gap."""
    rows = np.zeros((200, 6))
    rows[100:, 2] = 5.0
    times = START_NS + np.arange(200) * NS_PER_S // 100
    joined = run(AccelLoad(), readings("imu", rows, times_ns=times))
    apart = run(AccelLoad(), readings("imu", rows, times_ns=times + np.where(np.arange(200) < 100, 0, NS_PER_S)))
    assert joined.value == pytest.approx(0.05)
    assert apart.value == 0.0
    assert apart.coverage < 0.7


def test_normalised_power_when_power_stops_then_no_window_bridges_the_gap() -> None:
    """Rule: thirty consecutive seconds that all have power."""
    block = powers([200.0] * 40 + [400.0] * 40)
    gap = replace(block, time_ns=block.time_ns + np.where(np.arange(80) < 40, 0, 60 * NS_PER_S))
    value = run(NormalisedPower(), gap)
    # Eleven full windows on each side.
    assert value.value == pytest.approx((0.5 * (200.0**4 + 400.0**4)) ** 0.25, rel=1e-9)
    assert math.isnan(run(NormalisedPower(), powers([200.0] * 29)).value)


def test_work_reserve_when_it_falls_below_zero_then_a_note_says_that_the_values_are_off() -> None:
    """Rule: it is not held at zero; a negative balance means a wrong threshold."""
    who = replace(profile(), critical_power_w=200.0, w_prime_j=10_000.0)
    value = run(WorkReserve(), powers([400.0] * 60), who=who)
    assert value.values == pytest.approx((-2_000.0, -2_000.0))
    assert "below zero" in value.notes[0]


def test_decoupling_when_work_is_short_or_unsteady_then_it_is_said() -> None:
    """Rule: twenty minutes at least; meant for steady work."""
    beats, watts = heart_rates([140] * 1500), powers([200.0] * 1500)
    assert run(Decoupling(), beats, watts).value == pytest.approx(0.0)
    short = run(Decoupling(), select(beats, slice(0, 600)), watts)
    assert math.isnan(short.value)
    assert short.notes[0].startswith("10 minutes")
    uneven = powers(np.where(np.arange(1500) % 240 < 120, 100.0, 300.0))
    assert "not steady" in run(Decoupling(), beats, uneven).notes[0]


@pytest.mark.parametrize("watts", [0.0, -50.0])
def test_decoupling_when_the_first_half_has_no_effort_then_it_is_said_and_nothing_fails(watts: float) -> None:
    """Rule: a share of nothing is no number: an athlete who sits on the bike for ten minutes before he begins."""
    value = run(Decoupling(), heart_rates(np.full(1500, 120.0)), powers([watts] * 750 + [200.0] * 750))
    assert math.isnan(value.value)
    assert value.notes == ("no effort in the first half",)


def test_coverage_when_one_stream_ends_early_then_it_is_a_share_of_the_whole_session() -> None:
    """Rule: time from the athlete's first reading of any sensor to the last one counts as elapsed."""
    tracker = MetricTracker(profile())
    windower = Windower()
    blocks = (
        heart_rates([150] * 30),
        positions(np.zeros((601, 2))),
        readings("exertion", [[5]], times_ns=[START_NS * 2]),
    )
    for one in [*windower.push(*blocks), *windower.flush()]:
        tracker.update(one)
    values = tracker.values()
    assert values["hr_zone_seconds@1"].coverage == pytest.approx(0.5)
    assert values["distance@2"].coverage == pytest.approx(1.0)
    assert values["session_rpe@1"].value == pytest.approx(5.0)


def test_once_when_two_ask_with_the_same_tail_then_it_is_worked_out_once() -> None:
    """Rule: metrics share the filtering of a window; another tail is another piece."""
    asked: list[object] = []

    def derive(before: object, given: Window) -> int:
        asked.append(before)
        return len(given.streams)

    one, tail = window(heart_rates([150])), object()
    assert (one.once(derive, tail), one.once(derive, tail), one.once(derive, None)) == (1, 1, 1)
    assert asked == [tail, None]
    assert one == window(one.streams["heart_rate"])


def test_distance_when_two_tags_jump_to_and_fro_then_steps_beyond_legs_add_nothing() -> None:
    """Rule: a step over 12 m/s is a gap, whatever caused it."""
    xy = np.column_stack((np.where(np.arange(200) % 2, 30.0, 0.0), np.zeros(200)))
    value = run(Distance(), positions(xy, sensor=TAG))
    assert (value.value, value.coverage) == (0.0, 0.0)
