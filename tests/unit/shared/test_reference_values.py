"""Metrics against published and independently computed values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shared.clock import NS_PER_S
from shared.metrics.base import MetricValue
from shared.metrics.heart import BanisterTrimp, ZoneSeconds
from shared.metrics.motion import Distance, SpeedBandDistance
from shared.readings import Readings
from shared.windows import Windower
from tests.factories import START_NS, heart_rates, positions, profile

Golden = Callable[[str], dict[str, Any]]
# The files print six decimals at most; a half of the last place is what a value may differ by.
_PRINTED = 5e-5


def run(metric: Any, block: Readings, **who: Any) -> MetricValue:
    """Return a metric's value over a whole recording, through real one-second windows."""
    windower = Windower()
    state = metric.start(profile(**who))
    for window in [*windower.push(block), *windower.flush()]:
        state = metric.update(state, window)
    value: MetricValue = metric.value(state)
    return value


@pytest.mark.parametrize("case", range(6))
def test_banister_when_heart_rate_is_constant_then_it_equals_the_published_value(golden: Golden, case: int) -> None:
    """Rule: TRIMP = minutes · x · a · e^(b·x), Banister 1991, to the printed precision."""
    given = golden("hr_load.json")["banister"][case]
    block = heart_rates(np.full(given["minutes"] * 60, given["hr_avg"]))
    value = run(BanisterTrimp(), block, sex=given["sex"], rest=given["hr_rest"], most=given["hr_max"])
    assert value.value == pytest.approx(given["trimp"], rel=1e-6, abs=_PRINTED)
    assert value.coverage == pytest.approx(1.0)


def test_banister_when_effort_changes_then_it_is_the_per_second_sum(golden: Golden) -> None:
    """Rule: integrated per reading; the mean-HR form would read low (Jensen)."""
    given = golden("hr_load.json")["banister_integration"]
    seconds = np.arange(1800)
    block = heart_rates(120 + 40 * np.sin(2 * np.pi * seconds / 600))
    value = run(BanisterTrimp(), block, sex=given["sex"], rest=given["hr_rest"], most=given["hr_max"]).value
    assert value == pytest.approx(given["per_second_sum"], rel=1e-6, abs=_PRINTED)
    assert value > given["mean_hr_form"] + 1


def test_zones_when_runs_touch_the_edges_then_seconds_fall_as_edwards_counts_them(golden: Golden) -> None:
    """Rule: lo <= x < hi of HRmax, the last zone is open, below half of HRmax is zone 0."""
    given = golden("hr_load.json")["edwards"]
    bpm = np.repeat(*np.array(given["hr_runs_bpm_seconds"]).T)
    zones = run(ZoneSeconds(), heart_rates(bpm), most=given["hr_max"]).values
    below = sum(s for rate, s in given["hr_runs_bpm_seconds"] if rate < 0.5 * given["hr_max"])
    assert zones == pytest.approx([below, *given["zone_seconds_z1_z5"]], rel=1e-6)


def _speed_trace(golden: Golden) -> tuple[dict[str, Any], Readings]:
    trace = golden("external_load.json")["speed_trace"]
    speeds = np.array(trace["v_mps"])
    steps_ns = round(NS_PER_S / trace["fs"])
    x_m = np.concatenate(([0.0], np.cumsum(speeds / trace["fs"])))
    times = START_NS + steps_ns * np.arange(len(x_m))
    return trace, positions(np.column_stack((x_m, np.zeros(len(x_m)))), times_ns=times)


def test_distance_when_a_player_sprints_then_it_equals_the_reference(golden: Golden) -> None:
    """Rule: distance is the sum of the steps."""
    trace, block = _speed_trace(golden)
    assert run(Distance(), block).value == pytest.approx(trace["total_sum_v_dt"], rel=1e-6)


def test_speed_bands_when_a_player_sprints_then_they_equal_the_reference(golden: Golden) -> None:
    """Rule: each step's length falls into the band of its speed, lo <= v < hi."""
    trace, block = _speed_trace(golden)
    bands = SpeedBandDistance(tuple(trace["edges_mps"][:-1]))
    assert run(bands, block).values == pytest.approx(trace["band_distance_m"], rel=1e-6, abs=_PRINTED)
