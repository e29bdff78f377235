"""Daily load over weeks: published numbers, days that nobody knows of, and what is not said."""

# ruff: noqa: PD011  the `values` here are those of a metric

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from shared.metrics.history import HistoryMetric, WorkloadRatio, WorkloadRatioEwma, last_value, on_every_day
from shared.metrics.history_form import FitnessFatigue, TrainingLoad
from shared.metrics.history_registry import HISTORY_METRICS
from shared.metrics.history_week import DaysSince, Monotony, Strain
from tests.tools import GOLDEN, missing

FIRST = 739_000
every_metric = pytest.mark.parametrize("metric", HISTORY_METRICS, ids=lambda metric: metric.metric_id)


def golden(name: str) -> Any:
    """Return a section of the reference values."""
    path = GOLDEN / "load_history.json"
    if not path.exists():
        missing("golden/load_history.json")
    return json.loads(path.read_text(encoding="utf-8"))[name]


def at_last(metric: HistoryMetric, load: Any) -> tuple[float, ...]:
    """Return a metric's values on the last day."""
    return last_value(metric, FIRST + np.arange(len(load)), np.asarray(load, np.float64)).values


def same(found: float, wanted: float | None) -> bool:
    """Return whether a value is the given one to 1e-6 or to its last printed decimal; None stands for NaN."""
    if wanted is None:
        return bool(np.isnan(found))
    decimals = len(repr(wanted).partition(".")[2])
    return found == pytest.approx(wanted, rel=1e-6, abs=0.51 * 10 ** -max(decimals, 4) if decimals >= 3 else 0.0)


def test_workload_ratio_when_load_is_that_of_williams_2017_then_it_is_the_printed_one() -> None:
    """Rule: Williams 2017 (BJSM 51:209) prints an EWMA ratio of 1.25 and a rolling one of 1.43."""
    load = [30.0] * 21 + [50.0] * 7
    assert round(at_last(WorkloadRatioEwma(), load)[0], 2) == 1.25
    assert round(at_last(WorkloadRatio(coupled=True), load)[0], 2) == 1.43


@pytest.mark.parametrize("number", range(3))
def test_workload_ratio_when_golden_then_equal(number: int) -> None:
    """Rule: the three reference histories, to 1e-6; a chronic load of 0 gives no ratio."""
    case = golden("acwr")[number]
    ratio, acute, chronic = at_last(WorkloadRatioEwma(), case["load"])
    assert same(ratio, case["ewma_acwr_last"])
    assert same(acute, case["ewma_acute_last"])
    assert same(chronic, case["ewma_chronic_last"])
    ratio, acute, chronic = at_last(WorkloadRatio(coupled=True), case["load"])
    assert same(ratio, case["ra_acwr_coupled"])
    assert same(acute, case["ra_acute"])
    assert same(chronic, case["ra_chronic_coupled"])
    ratio, _, chronic = at_last(WorkloadRatio(coupled=False), case["load"])
    assert same(ratio, case["ra_acwr_uncoupled"])
    assert same(chronic, case["ra_chronic_uncoupled_days_8_28"])


@pytest.mark.parametrize("number", range(3))
def test_monotony_and_strain_when_golden_then_equal(number: int) -> None:
    """Rule: deviation with n - 1; a week of equal days has no monotony."""
    case = golden("monotony")[number]
    assert same(at_last(Monotony(), case["week"])[0], case["monotony_ddof1"])
    strain, week = at_last(Strain(), case["week"])
    assert same(strain, case["strain_ddof1"])
    assert week == case["sum"]


def test_training_load_when_golden_then_equal() -> None:
    """Rule: both forms of the constant; the balance is that of the day before."""
    wanted = golden("pmc")
    load = np.array([100.0] * 42 + [0.0] * 7)
    for form, metric in (("exp", TrainingLoad()), ("linear", TrainingLoad(linear=True))):
        values = metric.series(load).values
        for key, number in wanted[form].items():
            column, day = key.split("_")
            assert same(values[int(day) - 1, metric.labels.index(column)], number), key


def test_fitness_fatigue_when_golden_then_equal() -> None:
    """Rule: p on day n holds the loads of the days before it."""
    wanted = golden("banister_ir")
    metric = FitnessFatigue(p0=wanted["p0"], k1=wanted["k1"], k2=wanted["k2"])
    performance = [wanted["p0"], *metric.series(np.array([100.0] * 10 + [0.0] * 20)).values[:, 0]]
    for day, number in wanted["p_at_day"].items():
        assert same(performance[int(day)], number), day


def test_weighted_mean_when_days_are_unknown_then_as_pandas_ignores_them() -> None:
    """Rule: an unknown day leaves the mean as it was; an independent implementation agrees."""
    rng = np.random.default_rng(7)
    load = np.where(rng.random(60) < 0.2, np.nan, rng.gamma(2, 200, 60))
    load[0] = 300.0
    _, acute, chronic = WorkloadRatioEwma().series(load).values.T
    for days, ours in ((7, acute), (28, chronic)):
        theirs = pd.Series(load).ewm(span=days, adjust=False, ignore_na=True).mean().to_numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_workload_ratio_when_days_are_missing_then_they_are_not_rest() -> None:
    """Rule: missing is not zero: the same loads with rest days and with unknown days differ."""
    rest = np.array([400.0, 0.0] * 14)
    rest[-8::2] = 0.0
    unknown = rest.copy()
    unknown[3], unknown[5] = np.nan, np.nan
    metric = WorkloadRatio(coupled=True)
    assert metric.series(unknown).values[-1, 2] > metric.series(rest).values[-1, 2]
    assert metric.series(unknown).coverage[-1] == pytest.approx(26 / 28)


def test_workload_ratio_when_history_is_short_then_it_is_not_said() -> None:
    """Rule: 21 known days of 28 and 5 of 7, else nothing; coverage and a note say why."""
    for metric in (WorkloadRatio(coupled=True), WorkloadRatio(coupled=False), WorkloadRatioEwma()):
        assert np.isnan(at_last(metric, [100.0] * 20)[0])
        assert at_last(metric, [100.0] * 21)[0] == pytest.approx(1.0)
        sparse = [100.0] * 25 + [np.nan] * 3
        assert np.isnan(at_last(metric, sparse)[0])
        value = last_value(metric, FIRST + np.arange(28), np.array(sparse))
        assert value.coverage == pytest.approx(25 / 28)
        assert value.notes == ("3 of the last 28 days are unknown",)


def test_monotony_when_a_day_is_unknown_then_it_is_not_said() -> None:
    """Rule: a week with a hole has no spread of seven days."""
    assert np.isnan(at_last(Monotony(), [1.0, 2.0, np.nan, 3.0, 4.0, 5.0, 6.0])[0])
    assert np.isnan(at_last(Strain(), [1.0, 2.0, np.nan, 3.0, 4.0, 5.0, 6.0])).all()
    assert np.isnan(at_last(Monotony(), [0.1] * 7)[0])


def test_days_since_when_rest_follows_then_it_counts() -> None:
    """Rule: 0 on the day itself, one more each day after, nothing before the first."""
    load = np.array([0.0, 5.0, 0.0, np.nan, 0.0, 7.0])
    days = DaysSince().series(load).values[:, 0]
    np.testing.assert_array_equal(days, [np.nan, 0, 1, 2, 3, 0])


def test_days_when_given_in_any_order_then_laid_on_a_grid_without_holes() -> None:
    """Rule: loads of one day add up; a day that is not given is unknown."""
    days, load = on_every_day(np.array([FIRST + 3, FIRST, FIRST]), np.array([5.0, 1.0, 2.0]))
    np.testing.assert_array_equal(days, FIRST + np.arange(4))
    np.testing.assert_array_equal(load, [3.0, np.nan, np.nan, 5.0])


@every_metric
def test_history_metric_when_cut_short_then_the_days_before_are_the_same(metric: HistoryMetric) -> None:
    """Rule: a day's value needs no later day; values are one row per day and one column per label."""
    rng = np.random.default_rng(3)
    load = np.where(rng.random(90) < 0.1, np.nan, np.round(rng.gamma(1, 300, 90)))
    whole = metric.series(load)
    assert whole.values.shape == (90, len(metric.labels))
    for days in (1, 6, 30, 89):
        part = metric.series(load[:days])
        np.testing.assert_allclose(part.values, whole.values[:days], rtol=1e-12)
        np.testing.assert_allclose(part.coverage, whole.coverage[:days])
    assert np.all((whole.coverage >= 0) & (whole.coverage <= 1))


@every_metric
def test_history_metric_when_nothing_is_known_then_nothing_is_said(metric: HistoryMetric) -> None:
    """Rule: no days, or unknown ones only: coverage 0."""
    empty = np.zeros(0, np.int64)
    value = last_value(metric, empty, np.zeros(0))
    assert value.coverage == 0
    assert np.isnan(value.values).all()
    assert len(metric.series(np.zeros(0)).values) == 0
    assert last_value(metric, FIRST + np.arange(5), np.full(5, np.nan)).coverage == 0
