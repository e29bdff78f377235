"""From sessions' metrics to days: what is known of a day, and what is not."""

import math
from typing import Any

import numpy as np
import pytest

from cloud.pipeline.history import daily_load, gather
from shared.clock import NS_PER_S

DAY_NS = 86_400 * NS_PER_S
TRIMP, RPE = "trimp_banister@1", "session_rpe@1"


def row(athlete: str, day: float, value: float | None, *, metric: str = TRIMP, coverage: float = 1.0) -> dict[str, Any]:
    """Return one session's load; sessions are named after their time."""
    return {
        "session": f"gw-{day}",
        "gateway": "gw",
        "athlete": athlete,
        "metric": metric,
        "label": "trimp",
        "value": value,
        "coverage": coverage,
        "start_ns": round(day * DAY_NS),
    }


def loads(rows: list[dict[str, Any]], athlete: str, quantity: str = TRIMP) -> dict[int, float]:
    """Return an athlete's loads by day."""
    days, load = daily_load(gather(rows), athlete, quantity)
    return dict(zip(days.tolist(), load.tolist(), strict=True))


def test_day_when_two_sessions_then_their_loads_add_up() -> None:
    """Rule: a day's load is the sum of its sessions."""
    assert loads([row("a1", 100.4, 50.0), row("a1", 100.8, 30.0)], "a1") == {100: 80.0}


def test_day_when_the_squad_is_off_then_rest_and_when_others_trained_then_unknown() -> None:
    """Rule: the squad's days off are 0; who misses its training may have been ill, away or without a sensor."""
    rows = [row("a1", 100, 50.0), row("a2", 101, 40.0), row("a1", 103, 60.0), row("a2", 104, 10.0)]
    found = loads(rows, "a1")
    assert {day: load for day, load in found.items() if not math.isnan(load)} == {100: 50, 102: 0, 103: 60}
    assert math.isnan(found[101])
    assert math.isnan(found[104])
    assert min(loads(rows, "a2")) == 101


def test_day_when_in_a_long_break_then_unknown() -> None:
    """Rule: eight days from training to training are a week's rhythm; of more, nobody told us that they were rest."""
    week = loads([row("a1", 100, 50.0), row("a1", 108, 60.0)], "a1")
    assert [week[day] for day in range(101, 108)] == [0.0] * 7
    longer = loads([row("a1", 100, 50.0), row("a1", 109, 60.0)], "a1")
    assert all(math.isnan(longer[day]) for day in range(101, 109))


@pytest.mark.parametrize(("value", "coverage"), [(None, 1.0), (25.0, 0.49), (0.0, 0.0)])
def test_day_when_a_session_was_hardly_measured_then_unknown(value: float | None, coverage: float) -> None:
    """Rule: under half of a session, or no answer, makes the day unknown, whatever else it held."""
    rows = [row("a1", 100.1, 50.0), row("a1", 100.6, value, coverage=coverage), row("a1", 101, 20.0)]
    found = loads(rows, "a1")
    assert math.isnan(found[100])
    assert found[101] == 20


def test_day_when_nothing_was_measured_of_anybody_then_unknown_for_all() -> None:
    """Rule: a session of battery readings alone is no training: nobody rested on that day as far as is known."""
    rows = [row("a1", 100, 50.0), row("a2", 100, 40.0), row("a1", 101, 0.0, coverage=0.0), row("a2", 102, 10.0)]
    for athlete in ("a1", "a2"):
        assert math.isnan(loads(rows, athlete)[101])


def test_quantities_when_one_is_unknown_then_the_other_is_not() -> None:
    """Rule: each quantity has its own history."""
    rows = [row("a1", 100, 50.0), row("a1", 100, None, metric=RPE), row("a1", 101, 420.0, metric=RPE)]
    assert loads(rows, "a1")[100] == 50
    assert np.isnan(loads(rows, "a1", RPE)[100])
    assert loads(rows, "a1", RPE)[101] == 420


def test_session_when_it_passes_midnight_then_all_its_loads_are_of_the_day_it_began() -> None:
    """Rule: a session is of one day, for everybody."""
    late = row("a2", 100.99, 30.0) | {"start_ns": round(101.01 * DAY_NS)}
    rows = [row("a1", 100.99, 20.0), late]
    assert loads(rows, "a2") == {100: 30.0}
