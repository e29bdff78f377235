"""Metrics of heart rate and movement against published and independently computed values."""

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.clock import NS_PER_S
from shared.metrics.asymmetry import GaitAsymmetry, asymmetry_percent
from shared.metrics.efforts import Efforts, runs
from shared.metrics.heart import ReserveZoneSeconds, ZoneSeconds, estimated_hr_max_bpm, reserve_share, target_bpm
from shared.metrics.load import AccelLoad
from shared.metrics.metabolic import MetabolicPower, cost_of, metabolic_power
from shared.metrics.motion import Distance, SpeedBandDistance, by_band
from shared.metrics.recovery import HeartRateRecovery
from shared.metrics.steady import Decoupling, decoupling
from shared.metrics.trimp import BanisterTrimp, EdwardsTrimp, LuciaTrimp
from shared.readings import Readings
from tests.conformance.recordings import played
from tests.factories import START_NS, heart_rates, positions, profile, readings

Golden = Callable[[str], dict[str, Any]]
# The files print six decimals at most; a half of the last place is what a value may differ by.
_PRINTED = 5e-5
_SIX = 5e-7


@pytest.mark.parametrize("case", range(6))
def test_banister_when_heart_rate_is_constant_then_it_equals_the_published_value(golden: Golden, case: int) -> None:
    """Rule: TRIMP = minutes · x · a · e^(b·x), Banister 1991, to the printed precision."""
    given = golden("hr_load.json")["banister"][case]
    block = heart_rates(np.full(given["minutes"] * 60, given["hr_avg"]))
    who = profile(sex=given["sex"], rest=given["hr_rest"], most=given["hr_max"])
    value = played(BanisterTrimp(), block, who=who)
    assert value.value == pytest.approx(given["trimp"], rel=1e-6, abs=_PRINTED)
    assert reserve_share(np.array([given["hr_avg"]]), who)[0] == pytest.approx(given["hrr_fraction"], abs=_SIX)
    assert value.coverage == pytest.approx(1.0)


def test_banister_when_effort_changes_then_it_is_the_per_second_sum(golden: Golden) -> None:
    """Rule: integrated per reading; the mean-HR form would read low (Jensen)."""
    given = golden("hr_load.json")["banister_integration"]
    seconds = np.arange(1800)
    block = heart_rates(120 + 40 * np.sin(2 * np.pi * seconds / 600))
    value = played(
        BanisterTrimp(), block, who=profile(sex=given["sex"], rest=given["hr_rest"], most=given["hr_max"])
    ).value
    assert value == pytest.approx(given["per_second_sum"], rel=1e-6, abs=_PRINTED)
    assert value > given["mean_hr_form"] + 1


def test_zones_when_runs_touch_the_edges_then_seconds_fall_as_edwards_counts_them(golden: Golden) -> None:
    """Rule: lo <= x < hi of HRmax, the last zone is open, below half of HRmax is zone 0."""
    given = golden("hr_load.json")["edwards"]
    bpm = np.repeat(*np.array(given["hr_runs_bpm_seconds"]).T)
    who = profile(most=given["hr_max"])
    below = sum(s for rate, s in given["hr_runs_bpm_seconds"] if rate < 0.5 * given["hr_max"])
    assert played(ZoneSeconds(), heart_rates(bpm), who=who).values == pytest.approx(
        [below, *given["zone_seconds_z1_z5"]]
    )
    assert played(EdwardsTrimp(), heart_rates(bpm), who=who).value == pytest.approx(given["trimp"], rel=1e-6)


def test_lucia_when_minutes_are_below_between_and_above_then_they_count_one_two_three(golden: Golden) -> None:
    """Rule: minutes below VT1 x1, between x2, above VT2 x3."""
    given = golden("hr_load.json")["lucia"]
    bpm = np.repeat([120, 150, 170], np.array(given["minutes"]) * 60)
    who = replace(profile(), vt1_bpm=140.0, vt2_bpm=160.0)
    assert played(LuciaTrimp(), heart_rates(bpm), who=who).value == pytest.approx(given["trimp"], rel=1e-6)


def test_reserve_zones_when_heart_rate_is_on_an_edge_then_it_is_in_the_zone_above(golden: Golden) -> None:
    """Rule: Karvonen's targets are the lower edges of the zones."""
    for zone, given in enumerate(golden("hr_load.json")["karvonen"], 1):
        who = profile(rest=given["rest"], most=given["max"])
        assert target_bpm(given["pct"], who) == pytest.approx(given["bpm"], rel=1e-6)
        assert played(ReserveZoneSeconds(), heart_rates([given["bpm"]]), who=who).values[zone] == 1.0


def test_hr_max_when_estimated_from_age_then_it_is_tanakas(golden: Golden) -> None:
    """Rule: 208 - 0.7 age."""
    for given in golden("hr_load.json")["hrmax_tanaka"]:
        assert estimated_hr_max_bpm(given["age"]) == pytest.approx(given["bpm"], rel=1e-6)


def test_recovery_when_an_effort_ends_then_it_is_the_fall_within_a_minute(golden: Golden) -> None:
    """Rule: medians over ±2 s at the last second above 85 % of HRmax and 60 s later."""
    given = golden("hr_load.json")["hrr60"]
    bpm = np.concatenate((np.full(30, given["hr_end"]), [150] * 57, np.full(30, given["hr_60s"])))
    assert played(HeartRateRecovery(), heart_rates(bpm)).value == pytest.approx(given["hrr60"], rel=1e-6)


def test_decoupling_when_heart_rate_drifts_then_it_is_friels(golden: Golden) -> None:
    """Rule: (EF1 - EF2)/EF1, EF = power / heart rate of each half."""
    given = golden("hr_load.json")["decoupling"]
    first, second = given["first_half"], given["second_half"]
    halves = decoupling(np.array([first["power"], second["power"]]), np.array([first["hr"], second["hr"]]))
    assert (halves.first, halves.second) == pytest.approx((given["EF1"], given["EF2"]), abs=_SIX)
    power = np.repeat([first["power"], second["power"]], 1200).astype(float)
    beats = heart_rates(np.repeat([first["hr"], second["hr"]], 1200))
    value = played(Decoupling(), beats, readings("power", np.column_stack((power, np.full(2400, np.nan)))))
    assert value.value == pytest.approx(given["decoupling_pct"], rel=1e-6)


def _speed_trace(golden: Golden) -> tuple[dict[str, Any], Readings]:
    trace = golden("external_load.json")["speed_trace"]
    speeds = np.array(trace["v_mps"])
    steps_ns = round(NS_PER_S / trace["fs"])
    x_m = np.concatenate(([0.0], np.cumsum(speeds / trace["fs"])))
    times = START_NS + steps_ns * np.arange(len(x_m))
    return trace, positions(np.column_stack((x_m, np.zeros(len(x_m)))), times_ns=times)


def test_distance_when_a_player_sprints_then_it_equals_the_reference(golden: Golden) -> None:
    """Rule: the filter takes nothing from a straight path."""
    trace, block = _speed_trace(golden)
    assert played(Distance(), block).value == pytest.approx(trace["total_sum_v_dt"], rel=1e-6)


def test_speed_bands_when_a_player_sprints_then_they_equal_the_reference(golden: Golden) -> None:
    """Rule: each step's length falls into the band of its speed, lo <= v < hi.

    The reference bands the speeds themselves; from positions, ours are filtered, and where the player stops abruptly
    some of the way moves to the bands in between: 0.2 % here.
    """
    trace, block = _speed_trace(golden)
    edges, speeds = tuple(trace["edges_mps"][:-1]), np.array(trace["v_mps"])
    assert by_band(speeds / trace["fs"], speeds, edges) == pytest.approx(trace["band_distance_m"], rel=1e-6)
    value = played(SpeedBandDistance(), block, who=replace(profile(), speed_edges_mps=edges))
    assert value.values == pytest.approx(trace["band_distance_m"], rel=2e-3)


def test_metabolic_power_when_speed_and_acceleration_are_given_then_it_equals_floodlight(golden: Golden) -> None:
    """Rule: di Prampero & Osgnach 2018 with Minetti & Pavei 2018, walking and running."""
    for given in golden("external_load.json")["metabolic_power_points"]:
        want = given["floodlight_diPrampero2018_MinettiPavei2018"]
        cost = cost_of(np.array([given["v"]]), np.array([given["a"]]))
        ours = (cost.slope[0], cost.mass[0], cost.cost_j_kg_m[0], cost.cost_j_kg_m[0] * given["v"])
        assert ours == pytest.approx((want["ES"], want["EM"], want["EC_J_kg_m"], want["P_W_kg"]), rel=1e-6, abs=_SIX)
        assert bool(cost.running[0]) == want["is_running"]


def test_metabolic_power_when_a_player_sprints_then_it_equals_floodlight_up_to_the_filter(golden: Golden) -> None:
    """Rule: on unfiltered differences it is floodlight's mean; our filter softens abrupt changes, 0.9 % here.

    Half a second at either end, where the filter is not full, is left out of ours.
    """
    trace, block = _speed_trace(golden)
    speed = np.abs(np.gradient(np.array(trace["x_m"]))) * trace["fs"]
    acceleration = np.gradient(speed) * trace["fs"]
    for index, value in trace["floodlight_velocity_idx"].items():
        assert speed[int(index)] == pytest.approx(value, rel=1e-6)
    for index, value in trace["floodlight_acceleration_idx"].items():
        assert acceleration[int(index)] == pytest.approx(value, rel=1e-6, abs=_SIX)
    power = metabolic_power(speed, acceleration)
    for index, value in trace["floodlight_metabolic_power_idx"].items():
        assert power[int(index)] == pytest.approx(value, rel=1e-6)
    assert power.mean() == pytest.approx(trace["floodlight_metabolic_power_mean"], rel=1e-6)
    assert played(MetabolicPower(), block).value == pytest.approx(power[5:-5].mean(), rel=9e-3)


@pytest.mark.parametrize("sign", ["acc", "dec"])
def test_efforts_when_a_trace_is_given_then_runs_are_those_of_the_reference(golden: Golden, sign: str) -> None:
    """Rule: consecutive points at or over 3 m/s² for at least the duration; the duration decides the count."""
    given = golden("external_load.json")["efforts"]
    acceleration = np.array(given["accel_mps2"]) * (1 if sign == "acc" else -1)
    starts, lengths = runs(acceleration >= given["threshold"])
    for key in (key for key in given if key.startswith(f"{sign}_min")):
        points = round(float(key.removeprefix(f"{sign}_min_").removesuffix("s")) * given["fs"])
        found = [[int(s), int(n)] for s, n in zip(starts, lengths, strict=True) if n >= points]
        assert found == given[key]


def test_efforts_when_a_player_speeds_up_and_brakes_then_each_is_counted_once() -> None:
    """Rule: 4 m/s² for a second is one effort, however the windows cut it; 2.5 m/s² is none."""
    acceleration = np.concatenate((np.zeros(50), [4.0] * 25, [-4.0] * 25, np.zeros(50), [2.5] * 50, np.zeros(25)))
    x_m = np.cumsum(np.cumsum(acceleration) / 25) / 25
    block = positions(np.column_stack((x_m, 0 * x_m)), times_ns=START_NS + np.arange(len(x_m)) * NS_PER_S // 25)
    for window_s in (1, 60):
        assert played(Efforts(), block, window_s=window_s).values == (1.0, 1.0)


def _shaken(rows: Any, *, rate_hz: float = 100.0) -> Readings:
    rows = np.asarray(rows, float)
    times = START_NS + (np.arange(len(rows)) * NS_PER_S / rate_hz).astype(np.int64)
    return readings("imu", np.column_stack((rows, np.zeros((len(rows), 3)))), times_ns=times)


def test_accel_load_when_an_athlete_is_shaken_then_it_is_the_divided_sum_of_the_changes(golden: Golden) -> None:
    """Rule: variant A, Σ√(Δ²)/100 in g; the other reading of the formula is ten times as much."""
    given = golden("external_load.json")["playerload"]
    small, sine = given["small"], given["sine"]
    assert played(AccelLoad(), _shaken(small["samples_g"])).value == pytest.approx(small["variant_A"], rel=1e-6)
    seconds = np.arange(sine["fs"] * sine["duration_s"]) / sine["fs"]
    turn = 2 * np.pi * 2.5 * seconds
    rows = np.column_stack((0.3 * np.sin(turn), 0.2 * np.cos(turn), 1 + 0.8 * np.sin(turn + 0.4)))
    want = sine["variant_A_sqrt_sum_div_100"]
    assert played(AccelLoad(), _shaken(rows)).value == pytest.approx(want, rel=1e-6, abs=_SIX)


def test_accel_load_when_a_sensor_is_faster_or_slower_then_movement_counts_nearly_the_same() -> None:
    """Rule: it is the length of the path of the acceleration; 200 Hz is thinned, slower reads a little low."""
    loads = {}
    for rate_hz in (50.0, 100.0, 200.0, 400.0):
        turn = 2 * np.pi * 2.5 * np.arange(round(10 * rate_hz)) / rate_hz
        loads[rate_hz] = played(AccelLoad(), _shaken(np.column_stack((np.sin(turn),) * 3), rate_hz=rate_hz))
    assert loads[200.0].value == pytest.approx(loads[100.0].value, rel=5e-3)
    assert loads[400.0].value == pytest.approx(loads[100.0].value, rel=5e-3)
    assert 0.97 * loads[100.0].value < loads[50.0].value < loads[100.0].value
    assert (loads[100.0].notes, loads[100.0].quality) == ((), pytest.approx(1.0))
    assert loads[50.0].notes
    assert loads[50.0].quality == 0.0


def test_asymmetry_when_sides_differ_then_it_is_their_difference_over_their_mean(golden: Golden) -> None:
    """Rule: (L − R)/mean · 100, + to the left."""
    given = golden("external_load.json")["asymmetry"]
    want = given["symmetry_angle_free_index_pct_(L-R)/mean*100"]
    assert asymmetry_percent(given["left"], given["right"]) == pytest.approx(want, rel=1e-6, abs=_PRINTED)
    share = 100 * given["left"] / (given["left"] + given["right"])
    assert share == pytest.approx(given["share_left_pct"], abs=_PRINTED)
    block = readings("gait", [[255.0, share]] * 60)
    assert played(GaitAsymmetry(), block).value == pytest.approx(want, rel=1e-6, abs=_PRINTED)
    assert statistics.fmean([given["left"], given["right"]]) == 255.0
