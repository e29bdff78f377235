from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.pipeline.features import derive, windows_of
from shared.batch import ProfileSummary, profile_of, summary_of
from shared.clock import NS_PER_S
from shared.ids import AthleteId, SensorId
from shared.metrics.base import Profile
from shared.metrics.registry import MetricTracker
from shared.readings import Quality, Readings
from shared.windows import Windower

ATHLETE = AthleteId("a1")
KNOWN = ProfileSummary(athlete="a1", team=0, sex="f", hr_rest_bpm=52, hr_max_bpm=191)
START_NS = 1_790_000_000 * NS_PER_S


def block(stream: str, sensor: str, times_ns: np.ndarray, values: np.ndarray) -> Readings:
    return Readings(
        sensor=SensorId(sensor),
        stream=stream,
        origin="boot-1",
        sequence=np.arange(len(times_ns)),
        time_ns=times_ns,
        values=values,
        quality=np.zeros(len(times_ns), np.uint8),
        athlete=ATHLETE,
    )


def session(seconds: int) -> list[Readings]:
    t = np.arange(seconds * 10)
    xy = np.stack([30 + 20 * np.cos(t * 0.02), 20 + 10 * np.sin(t * 0.02), np.ones(len(t))], axis=1)
    s = np.arange(seconds)
    bpm = np.stack([120 + s % 60, np.ones(seconds), np.full(seconds, np.nan)], axis=1)
    return [
        block("position", "tag-1", START_NS + t * NS_PER_S // 10, xy),
        block("heart_rate", "hr-1", START_NS + s * NS_PER_S, bpm),
    ]


def live_windows(blocks: list[Readings]) -> list[tuple[int, dict[str, int]]]:
    """Cut as a gateway does: second by second, all streams together."""
    windower = Windower()
    windows = []
    for second in sorted({int(s) for b in blocks for s in b.time_ns // NS_PER_S}):
        for one in blocks:
            chosen = one.time_ns // NS_PER_S == second
            part = replace(
                one,
                sequence=one.sequence[chosen],
                time_ns=one.time_ns[chosen],
                values=one.values[chosen],
                quality=one.quality[chosen],
            )
            windows += windower.push(part)
    return [(w.start_ns, {s: len(b) for s, b in w.streams.items()}) for w in windows + windower.flush()]


def test_windows_when_replayed_from_whole_blocks_then_equal_to_live() -> None:
    """The pipeline sees the windows that the gateway saw."""
    blocks = session(150)
    replayed = [(w.start_ns, {s: len(b) for s, b in w.streams.items()}) for w in windows_of(blocks)]
    assert replayed == live_windows(blocks)


@given(keep=st.lists(st.booleans(), min_size=200, max_size=200), offset_s=st.integers(0, 59))
@settings(max_examples=25, deadline=None)
def test_windows_when_streams_have_holes_then_every_reading_is_in_one_window(keep: list[bool], offset_s: int) -> None:
    """No reading is late, however the streams are spread over the session."""
    times = START_NS + offset_s * NS_PER_S + np.arange(200) * NS_PER_S
    chosen = np.array(keep)
    blocks = [
        block("position", "tag-1", times[chosen], np.ones((int(chosen.sum()), 3))),
        block("rr", "hr-1", times[~chosen] + 1, np.full((int((~chosen).sum()), 1), 800.0)),
    ]
    windows = list(windows_of(blocks))
    assert sum(len(b) for w in windows for b in w.streams.values()) == 200
    assert [w.start_ns for w in windows] == sorted({w.start_ns for w in windows})


def test_derive_when_profile_is_known_then_metrics_equal_the_shared_code_run_directly() -> None:
    """One formula, one value: pipeline and gateway may not differ."""
    blocks = session(150)
    profile = Profile(athlete=ATHLETE, sex="f", hr_rest_bpm=52, hr_max_bpm=191)
    tracker = MetricTracker(profile)
    windower = Windower(lateness_ns=10**15)
    for one in blocks:
        windower.push(one)
    for window in windower.flush():
        tracker.update(window)
    derived = derive(blocks, ATHLETE, KNOWN)
    direct = tracker.values()
    assert derived.metrics.keys() == direct.keys()
    for metric, value in direct.items():
        assert derived.metrics[metric].values == pytest.approx(value.values, rel=1e-9, nan_ok=True)
        assert derived.metrics[metric].coverage == pytest.approx(value.coverage)
    assert (derived.start_ns, derived.end_ns) == (START_NS, START_NS + 150 * NS_PER_S)


def test_derive_when_thresholds_are_known_then_the_pipeline_uses_the_gateways() -> None:
    """What the gateway was told of an athlete and a team travels with its summaries, to the last threshold."""
    profile = replace(
        profile_of(KNOWN), vt1_bpm=130.0, vt2_bpm=150.0, critical_speed_mps=2.0, d_prime_m=150.0,
        hr_max_estimated=True, speed_edges_mps=(0.0, 1.0, 2.0, 3.0, 4.0),
    )  # fmt: skip
    told = msgspec.json.decode(msgspec.json.encode(summary_of(profile, 0)), type=ProfileSummary)
    assert profile_of(told) == profile
    derived = derive(session(90), ATHLETE, told)
    assert derived.metrics["trimp_lucia@1"].value > 0
    assert derived.metrics["d_prime_balance@1"].values[1] < 150
    assert derived.metrics["hr_zone_seconds@1"].quality == 0.0
    usual = derive(session(90), ATHLETE, KNOWN).metrics
    assert derived.metrics["speed_band_distance@2"].values != usual["speed_band_distance@2"].values
    assert "trimp_lucia@1" not in usual


def test_profile_when_a_summary_is_of_an_older_gateway_then_what_it_lacks_is_unknown() -> None:
    """Summaries made before a field existed still decode."""
    body = b'{"athlete":"a1","team":0,"sex":"f","hr_rest_bpm":52,"hr_max_bpm":191}'
    assert msgspec.json.decode(body, type=ProfileSummary) == KNOWN
    assert profile_of(KNOWN).critical_power_w is None


def test_derive_when_profile_is_unknown_then_only_what_needs_none() -> None:
    """A guessed resting heart rate would be a wrong TRIMP: it is left out, distance is not."""
    derived = derive(session(90), ATHLETE, None)
    said = {metric for metric, value in derived.metrics.items() if value.coverage}
    assert said == {"distance@2", "max_speed@1", "efforts@1", "metabolic_power@1", "metabolic_energy@1"}
    assert derived.features == []


def test_derive_when_warm_then_one_row_a_window_with_its_heart_rate_as_label() -> None:
    """The label is the mean usable heart rate of the same second; unusable readings give none."""
    position, heart = session(90)
    quality = heart.quality.copy()
    quality[80] = Quality.NO_CONTACT
    derived = derive([position, replace(heart, quality=quality)], ATHLETE, KNOWN)
    assert len(derived.features) == 90 - 59
    seconds = [(row.time_ns - START_NS) // NS_PER_S - 1 for row in derived.features]
    expected = [np.nan if s == 80 else 120 + s % 60 for s in seconds]
    np.testing.assert_array_equal(derived.labels_bpm, expected)
