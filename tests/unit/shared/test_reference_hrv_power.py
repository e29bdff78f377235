"""Metrics of RR intervals and of power against published and independently computed values."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.clock import NS_PER_S
from shared.metrics.base import Profile
from shared.metrics.hrv import LnRmssd, Pnn50, Rmssd, Sdnn, Variability, artefacts, variability
from shared.metrics.load import SessionRpe
from shared.metrics.power import Intensity, MechanicalWork, NormalisedPower, Power, TrainingStress
from shared.metrics.reserve import DistanceReserve, WorkReserve, time_to_exhaustion_s
from shared.readings import Readings, select
from tests.conformance.recordings import played
from tests.factories import START_NS, heart_rates, positions, profile, readings

Golden = Callable[[str], dict[str, Any]]
_PRINTED = 5e-5
_SIX = 5e-7


def beats(rr_ms: Any) -> Readings:
    """Return consecutive beats."""
    intervals = np.asarray(rr_ms, float)
    return readings("rr", intervals[:, None], times_ns=START_NS + np.cumsum(intervals * 1e6).astype(np.int64))


def powers(watts: Any) -> Readings:
    """Return power once a second."""
    return readings("power", np.column_stack((watts, np.full(len(watts), np.nan))))


def told(sums: Variability) -> list[float]:
    """Return what the reference lists."""
    return [sums.mean_ms, sums.sdnn_ms, sums.rmssd_ms, math.log(sums.rmssd_ms), sums.pnn50_percent]


@pytest.mark.parametrize(
    ("series", "hand"),
    [
        ("series_A_ms", "A_hand"),
        ("series_B_ms", "B_hand"),
        ("series_C_artefacts_ms", "C_hand_uncorrected"),
        ("series_D_ms", "D_hand_uncorrected"),
    ],
)
def test_variability_when_intervals_are_given_then_it_equals_the_reference(
    golden: Golden, series: str, hand: str
) -> None:
    """Rule: Task Force 1996; pNN50 over the number of differences."""
    given = golden("hrv.json")
    want = given[hand]
    names = ("mean_nn", "sdnn_ddof1", "rmssd", "ln_rmssd", "pnn50_over_n_minus_1")
    sums = variability(np.array(given[series], float))
    assert told(sums) == pytest.approx([want[name] for name in names], rel=1e-6, abs=_PRINTED)
    assert sums.steps_over_50 == want["nn50"]


def test_artefacts_when_beats_are_missed_or_ectopic_then_they_are_those_of_the_reference(golden: Golden) -> None:
    """Rule: over 20 % off the median of the 11 around."""
    given = golden("hrv.json")
    for series, key in (
        ("series_C_artefacts_ms", "C_median_rule_bad_idx(w=11,20%)"),
        ("series_D_ms", "D_median_rule_bad_idx"),
    ):
        assert np.flatnonzero(artefacts(np.array(given[series], float))).tolist() == given[key]


@pytest.mark.parametrize("window_s", [1, 60])
def test_hrv_when_a_strap_sends_clean_beats_then_the_metrics_are_the_reference(golden: Golden, window_s: int) -> None:
    """Rule: the metrics say the same of a stream as the formulas of the whole series."""
    given = golden("hrv.json")
    block, want = beats(given["series_B_ms"]), given["B_hand"]
    for metric, name in (
        (Rmssd(), "rmssd"),
        (LnRmssd(), "ln_rmssd"),
        (Sdnn(), "sdnn_ddof1"),
        (Pnn50(), "pnn50_over_n_minus_1"),
    ):
        value = played(metric, block, window_s=window_s)
        assert value.value == pytest.approx(want[name], rel=1e-6, abs=_PRINTED)
        assert (value.quality, value.notes) == (1.0, ())


def test_hrv_when_beats_are_missed_or_ectopic_then_no_difference_bridges_them(golden: Golden) -> None:
    """Rule: artefacts are left out with the differences on both sides; the truth was 37.82, uncorrected is 88.18."""
    given = golden("hrv.json")
    bad = given["D_median_rule_bad_idx"]
    value = played(Rmssd(), beats(given["series_D_ms"]))
    series = np.array(given["series_D_ms"], float)
    steps = [series[i] - series[i - 1] for i in range(1, len(series)) if i not in bad and i - 1 not in bad]
    assert value.value == pytest.approx(math.sqrt(np.mean(np.square(steps))), rel=1e-9)
    assert value.value == pytest.approx(given["B_hand_truth"]["rmssd"], rel=0.02)
    assert value.quality == pytest.approx(1 - len(bad) / len(series))


def test_hrv_when_artefacts_are_many_or_clean_beats_few_then_nothing_is_said(golden: Golden) -> None:
    """Rule: NaN with over 5 % artefacts or under 60 s; the note says which."""
    given = golden("hrv.json")
    many = played(Rmssd(), beats(np.tile(given["series_C_artefacts_ms"], 5)))
    few = played(Rmssd(), beats(given["series_A_ms"]))
    assert math.isnan(many.value)
    assert "artefacts" in many.notes[0]
    assert math.isnan(few.value)
    assert "17 s of clean beats" in few.notes[0]


def test_hrv_when_a_beat_is_lost_then_its_neighbours_are_no_pair() -> None:
    """Rule: differences only across originally adjacent beats; a missing one is seen in the times."""
    intervals = np.where(np.arange(100) % 10 < 5, 1000.0, 1100.0)
    block = beats(intervals)
    lost = select(block, np.flatnonzero(~np.isin(np.arange(100), (4, 5, 6))))
    assert played(Rmssd(), block).value == pytest.approx(100 * math.sqrt(19 / 99), rel=1e-9)
    assert played(Rmssd(), lost).value == pytest.approx(100 * math.sqrt(18 / 95), rel=1e-9)


def test_hrv_when_the_heart_is_that_of_exercise_then_a_note_says_so() -> None:
    """Rule: during exercise it is no measure of recovery."""
    value = played(Rmssd(), beats(np.where(np.arange(300) % 2, 400.0, 404.0)))
    assert value.value == pytest.approx(4.0)
    assert "not a measure of recovery" in value.notes[0]


@pytest.fixture
def ride(golden: Golden) -> tuple[dict[str, Any], Readings, Profile]:
    """The reference's nine minutes of changing power, and who rode them."""
    given = golden("power_wbal.json")
    watts = np.repeat(*np.array(given["input"]["power_runs_w_s"], float).T.astype(int)).astype(float)
    who = replace(
        profile(),
        critical_power_w=float(given["input"]["cp"]),
        w_prime_j=float(given["input"]["w_prime"]),
        ftp_w=float(given["np_if_tss"]["ftp"]),
    )
    return given, powers(watts), who


@pytest.mark.parametrize("window_s", [1, 60])
def test_work_reserve_when_power_changes_then_it_equals_the_differential_reference(
    ride: tuple[dict[str, Any], Readings, Profile], window_s: int
) -> None:
    """Rule: Froncioni, Skiba, Clarke step by step at 1 Hz; other forms differ, see the reference."""
    given, block, who = ride
    for second, values in given["w_bal_j_at_second_index"].items():
        value = played(WorkReserve(), select(block, slice(0, int(second) + 1)), who=who, window_s=window_s)
        assert value.values[0] == pytest.approx(values["froncioni-skiba-clarke"], rel=1e-6)
    lowest = played(WorkReserve(), block, who=who, window_s=window_s).values[1]
    assert lowest == pytest.approx(given["w_bal_min"]["froncioni-skiba-clarke"], rel=1e-6)


def test_time_to_exhaustion_when_power_is_above_critical_then_it_equals_the_reference(golden: Golden) -> None:
    """Rule: t = W'/(P - CP), never at or below critical power."""
    for given in golden("power_wbal.json")["time_to_exhaustion"]:
        times = [time_to_exhaustion_s(watts, given["cp_w"], given["w_prime_j"]) for watts in given["power_w"]]
        assert [None if math.isinf(t) else math.floor(t + 0.5) for t in times] == given["tte_s_round"]


def test_distance_reserve_when_a_runner_is_over_critical_speed_then_it_empties_as_work_does() -> None:
    """Rule: the same equation with speed; 1 m/s above for 60 s takes 60 m, then it recovers towards full."""
    who = replace(profile(), critical_speed_mps=4.0, d_prime_m=200.0)
    x_m = np.concatenate((np.arange(600) * 0.5, 300 + np.arange(601) * 0.2))
    value = played(DistanceReserve(), positions(np.column_stack((x_m, 0 * x_m))), who=who)
    assert value.values[1] == pytest.approx(140.0, abs=0.5)
    assert value.values[0] == pytest.approx(200 - 60 * math.exp(-2 * 60 / 200), abs=0.5)
    foot_pod = readings("speed", [[5.0, np.nan, np.nan, np.nan]] * 60)
    device = played(DistanceReserve(), foot_pod, who=who)
    assert device.values == pytest.approx((140.0, 140.0))
    assert device.notes


@pytest.mark.parametrize("window_s", [1, 7, 60])
def test_normalised_power_when_windows_are_full_then_it_equals_the_reference(
    ride: tuple[dict[str, Any], Readings, Profile], window_s: int
) -> None:
    """Rule: full 30 s windows only (sweat averages partial ones and gets 242.36 W)."""
    given, block, who = ride
    want = given["np_if_tss"]
    for metric, name, printed in (
        (NormalisedPower(), "np_full_windows", _PRINTED),
        (Intensity(), "if", _SIX),
        (TrainingStress(), "tss", 5e-4),
    ):
        value = played(metric, block, who=who, window_s=window_s)
        assert value.value == pytest.approx(want[name], rel=1e-6, abs=printed)


def test_power_when_readings_are_given_then_mean_highest_and_work_are_theirs(
    ride: tuple[dict[str, Any], Readings, Profile],
) -> None:
    """Rule: over the time that they hold."""
    _, block, _ = ride
    watts = block.column("power_w")
    assert played(Power(), block).values == pytest.approx((watts.mean(), 400.0))
    assert played(MechanicalWork(), block).value == pytest.approx(watts.sum() / 1000)


def test_session_rpe_when_the_athlete_answers_then_it_is_the_answer_times_the_minutes() -> None:
    """Rule: CR10 x minutes; the half hour until the question is no part of the session (Foster 2001: 6 x 70)."""
    block = heart_rates(np.full(4201, 140.0))
    asked = readings("exertion", [[6.0]], times_ns=[START_NS + 6000 * NS_PER_S])
    assert played(SessionRpe(), block, asked).value == pytest.approx(420.0)
    assert math.isnan(played(SessionRpe(), block).value)
