"""Constants from tests, best efforts and the balance over a whole ride, against reference values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shared.metrics.best_efforts import best_efforts
from shared.metrics.fits import (
    fit_critical_power,
    fit_critical_speed,
    hr_max_tanaka,
    karvonen_bpm,
    time_to_exhaustion_s,
)
from shared.metrics.offline import per_second
from shared.metrics.offline_registry import offline_values
from shared.metrics.wbal_offline import WorkBalanceIntegral, balance_j, tau_s
from tests.factories import START_NS, profile, readings

Golden = Callable[[str], dict[str, Any]]


def test_critical_power_when_efforts_lie_on_the_model_then_it_is_recovered_exactly(golden: Golden) -> None:
    """Rule: both forms of the line return CP 250 W and W' 20 kJ, without error."""
    given = golden("power_wbal.json")["cp_fit"]
    seconds, watts = np.array(given["t_s"]), np.array(given["p_w"])
    for inverse, name in ((False, "model_work=CP*t+W"), (True, "model_P=W/t+CP")):
        fit = fit_critical_power(seconds, watts, inverse=inverse)
        assert fit.rate == pytest.approx(given[name]["cp"], rel=1e-9)
        assert fit.reserve == pytest.approx(given[name]["w_prime"], rel=1e-9)
        assert (fit.rate_error, fit.reserve_error) == pytest.approx((0, 0), abs=1e-6)
        assert fit.r_squared == pytest.approx(1.0)


def test_critical_speed_when_golden_then_recovered(golden: Golden) -> None:
    """Rule: distance = CS·t + D'; the printed times have six decimals."""
    given = golden("power_wbal.json")["critical_speed_fit"]
    fit = fit_critical_speed(np.array(given["time_s"]), np.array(given["distance_m"]))
    assert fit.rate == pytest.approx(given["cs_mps"], rel=1e-6)
    assert fit.reserve == pytest.approx(given["d_prime_m"], rel=1e-6)


def test_critical_power_when_efforts_scatter_then_the_errors_are_those_of_least_squares() -> None:
    """Rule: standard errors agree with numpy's covariance of the same line."""
    rng = np.random.default_rng(4)
    seconds = np.array([150.0, 300.0, 500.0, 720.0, 1100.0])
    watts = 20_000 / seconds + 250 + rng.normal(0, 4, 5)
    fit = fit_critical_power(seconds, watts)
    (slope, intercept), covariance = np.polyfit(seconds, watts * seconds, 1, cov=True)
    assert (fit.rate, fit.reserve) == pytest.approx((slope, intercept))
    assert (fit.rate_error, fit.reserve_error) == pytest.approx(np.sqrt(np.diag(covariance)))
    assert abs(fit.rate - 250) < 4 * fit.rate_error


def test_critical_power_when_efforts_are_too_few_or_too_short_then_refused() -> None:
    """Rule: three different durations of 2 to 20 min, or nothing."""
    for seconds in ([180.0, 600.0], [180.0, 180.0, 600.0], [30.0, 60.0, 300.0, 4000.0]):
        with pytest.raises(ValueError, match="maximal efforts"):
            fit_critical_power(np.array(seconds), np.full(len(seconds), 300.0))


def test_time_to_exhaustion_when_golden_then_equal(golden: Golden) -> None:
    """Rule: W'/(P − CP), without end at and below CP."""
    for given in golden("power_wbal.json")["time_to_exhaustion"]:
        for watts, wanted in zip(given["power_w"], given["tte_s_round"], strict=True):
            found = time_to_exhaustion_s(watts, given["cp_w"], given["w_prime_j"])
            assert (None if np.isinf(found) else int(found + 0.5)) == wanted


def test_heart_rates_when_from_age_and_reserve_then_as_published() -> None:
    """Rule: Tanaka's line, and shares of the reserve from rest."""
    assert hr_max_tanaka(20) == pytest.approx(194)
    assert [karvonen_bpm(x, hr_rest_bpm=60, hr_max_bpm=190) for x in (0.0, 0.6, 1.0)] == pytest.approx([60, 138, 190])


def test_balance_when_integral_then_it_is_that_of_skiba_2012(golden: Golden) -> None:
    """Rule: the golden rows of the integral, that two implementations agree on."""
    given = golden("power_wbal.json")
    ride = given["input"]
    power_w = np.repeat(*np.array(ride["power_runs_w_s"], np.float64).astype(int).T).astype(np.float64)
    assert tau_s(power_w, ride["cp"]) == pytest.approx(ride["tau_s"], rel=1e-6)
    left_j = balance_j(power_w, ride["cp"], ride["w_prime"])
    for second, wanted in given["w_bal_j_at_second_index"].items():
        assert left_j[int(second)] == pytest.approx(wanted["skiba"], rel=1e-6), second
        assert left_j[int(second)] == pytest.approx(wanted["waterworth"], rel=1e-6), second
    assert left_j.min() == pytest.approx(given["w_bal_min"]["skiba"], rel=1e-6)


def test_best_efforts_when_compared_with_every_window_then_the_same() -> None:
    """Rule: the highest mean of any complete stretch, by brute force; a hole breaks a stretch."""
    rng = np.random.default_rng(9)
    values = rng.gamma(3, 80, 400)
    values[[50, 200, 201, 330]] = np.nan
    for seconds in (1, 5, 60, 140):
        windows = [values[i : i + seconds] for i in range(len(values) - seconds + 1)]
        wanted = max((w.mean() for w in windows if np.isfinite(w).all()), default=np.nan)
        assert best_efforts(values, (seconds,))[0] == pytest.approx(wanted, rel=1e-12)
    assert np.isnan(best_efforts(values, (300,))[0])
    assert np.isnan(best_efforts(np.zeros(0), (5,))[0])


def test_seconds_when_readings_miss_then_held_for_three_and_unknown_after() -> None:
    """Rule: a gap is not bridged beyond 3 s; flagged readings are left out."""
    times = START_NS + np.array([0, 1, 2, 9], np.int64) * 1_000_000_000
    rows = [(100.0, np.nan), (200.0, np.nan), (9_000.0, np.nan), (300.0, np.nan)]
    block = readings("power", rows, times_ns=times, quality=[0, 0, 1, 0])
    np.testing.assert_array_equal(
        per_second(block, "power_w"), [100, 200, 200, 200, 200, np.nan, np.nan, np.nan, np.nan, 300]
    )


def test_offline_metrics_when_the_profile_lacks_a_field_then_those_that_need_it_are_not_there() -> None:
    """Rule: an athlete without a tested critical power has no balance, not a guessed one."""
    block = readings("power", [(250.0, np.nan)] * 60)
    values = offline_values([block], profile())
    assert set(values) == {"best_power@1"}
    assert values["best_power@1"].values[:3] == pytest.approx((250, 250, 250))
    assert WorkBalanceIntegral.metric_id not in values
