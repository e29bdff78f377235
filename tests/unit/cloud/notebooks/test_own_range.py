"""What is said of an athlete's week and of a report."""

import numpy as np
import pytest

from cloud.notebooks.own_range import own_range, readiness_in_words, week_in_words

FULL = np.ones(9)
CALM = np.array([100.0, 110, 120, 130, 140, 150, 160, 170])


def test_own_range_when_weeks_are_known_then_the_percentiles_of_the_last_eight() -> None:
    """Rule: the band is the 10th to 90th percentile of the last eight known weeks; older ones have no say."""
    usual = own_range(np.array([9999.0, *CALM]), FULL)
    assert usual is not None
    assert (usual.low, usual.high) == pytest.approx((107.0, 163.0))
    assert (usual.weeks, usual.recorded) == (8, 1.0)


@pytest.mark.parametrize(("known", "said"), [(3, False), (4, True)])
def test_own_range_when_few_weeks_are_recorded_then_none(known: int, said: bool) -> None:  # noqa: FBT001
    """Rule: under four weeks of which three quarters were recorded there is no range."""
    recorded = np.where(np.arange(8) < known, 0.75, 0.74)
    assert (own_range(CALM, recorded) is not None) == said


@pytest.mark.parametrize(("now", "place"), [(200.0, "above"), (135.0, "within"), (10.0, "below")])
def test_week_when_said_then_what_beside_what_and_how_sure(now: float, place: str) -> None:
    """Rule: the sentence holds amount, unit, own range, weeks and coverage, and is no assessment."""
    said = week_in_words("a01", "High-speed running", "m", np.array([*CALM, now]), FULL)
    assert f"{now:g} m this week, {place} their usual 107–163 m (8 weeks, 100% of sessions recorded)" in said
    assert said.endswith("Not a medical assessment.")
    assert ("Unusual for this athlete" in said) == (place != "within")


def test_week_when_it_was_hardly_recorded_then_nothing_is_said() -> None:
    """Rule: a week of which little was recorded is not low, it is unknown."""
    recorded = np.array([*np.ones(8), 0.5])
    said = week_in_words("a01", "TRIMP", "AU", np.array([*CALM, 1.0]), recorded)
    assert said == "a01: TRIMP: data too sparse to say."


def test_readiness_when_below_the_own_mean_then_asks_to_check_in() -> None:
    """Rule: a report under the own mean by more than the usual spread, and a point, is a reason to ask."""
    before = [7.0, 8, 7, 8, 7, 8, 7, 8, np.nan, 7, 8]
    low, usual = (readiness_in_words("a01", np.array([*before, last])) for last in (5.0, 7.0))
    assert "reported 5, own mean 7.5 ± 0.5 (10 reports). Check in with a01." in low
    assert "Check in" not in usual
    assert readiness_in_words("a01", np.array([7.0, 5.0])) == "a01: readiness: data too sparse to say."
    assert readiness_in_words("a01", np.array([*before, np.nan])).endswith("sparse to say.")
