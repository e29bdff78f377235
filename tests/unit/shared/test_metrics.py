"""The rules of the metrics beyond their reference values: gaps, skin contact, edges."""

import numpy as np
import pytest

from shared.clock import NS_PER_S
from shared.metrics.base import SPEED_EDGES_MPS, MetricValue
from shared.metrics.heart import ZoneSeconds, zone_of
from shared.metrics.motion import Distance, SpeedBandDistance
from shared.metrics.registry import METRICS, MetricTracker
from shared.metrics.trimp import BanisterTrimp
from shared.readings import Quality, Readings, select
from shared.windows import Windower
from tests.factories import START_NS, heart_rates, positions, profile


def run(metric: object, *blocks: Readings, until_ns: int | None = None) -> MetricValue:
    """Return a metric's value over blocks, through real windows."""
    tracker = MetricTracker(profile(), (metric,))  # type: ignore[arg-type]  # any Metric
    windower = Windower()
    for window in [w for block in blocks for w in windower.push(block)] + windower.flush():
        tracker.update(window)
    (value,) = tracker.values(until_ns=until_ns).values()
    return value


def test_zones_when_readings_stop_for_long_then_the_gap_counts_one_second_and_coverage_falls() -> None:
    """Rule: a reading holds for at most 5 s; a longer gap counts one nominal second."""
    block = heart_rates(np.full(60, 150))
    gap = select(block, np.r_[0:20, 40:60])
    assert sum(run(ZoneSeconds(), gap).values) == pytest.approx(20 + 20)
    assert run(ZoneSeconds(), gap).coverage == pytest.approx(40 / 60)


def test_zones_when_readings_miss_for_up_to_five_seconds_then_the_last_one_holds() -> None:
    """Rule: a short loss of radio loses no time."""
    block = heart_rates(np.full(60, 150))
    assert sum(run(ZoneSeconds(), select(block, np.r_[0:20, 24:60])).values) == pytest.approx(60)


@pytest.mark.parametrize("flag", [Quality.IMPLAUSIBLE, Quality.NO_CONTACT])
def test_heart_metrics_when_readings_are_unusable_then_they_add_nothing(flag: Quality) -> None:
    """Rule: what no healthy sensor on a living athlete says is left out."""
    bad = heart_rates(np.full(30, 190), quality=int(flag))
    assert run(BanisterTrimp(), bad) == MetricValue(values=(0.0,), coverage=0.0)


def test_heart_metrics_when_a_reading_is_not_a_number_then_the_sums_stay_numbers() -> None:
    """Rule: a missing value is no value; it neither counts nor spoils what follows."""
    with_hole = heart_rates([150, np.nan, 150, 150])
    without = select(heart_rates([150, 150, 150, 150]), np.array([0, 2, 3]))
    for metric in (BanisterTrimp(), ZoneSeconds()):
        assert run(metric, with_hole) == run(metric, without)


def test_distance_when_positions_miss_then_the_gap_adds_nothing_and_lowers_coverage() -> None:
    """Rule: nobody's path through a gap is guessed."""
    x_m = np.arange(100) * 0.5
    block = positions(np.column_stack((x_m, np.zeros(100))))
    full, gap = run(Distance(), block), run(Distance(), select(block, np.r_[0:40, 60:100]))
    assert full.value == pytest.approx(49.5)
    assert gap.value == pytest.approx(39 * 0.5 * 2)
    assert gap.coverage < full.coverage == pytest.approx(1.0)


def test_distance_when_a_position_jumps_then_the_jump_adds_nothing() -> None:
    """Rule: nobody runs faster than 12 m/s."""
    xy = np.zeros((20, 2))
    xy[10:] = 50.0
    assert run(Distance(), positions(xy)).value == 0.0


def test_distance_when_positions_are_thinned_then_it_never_grows() -> None:
    """Rule: leaving out readings never adds distance."""
    angle = np.linspace(0, 6, 200)
    block = positions(10 * np.column_stack((np.cos(angle), np.sin(angle))))
    full = run(Distance(), block).value
    rng = np.random.default_rng(7)
    for share in (0.9, 0.5, 0.2):
        assert run(Distance(), select(block, rng.random(200) < share)).value <= full + 1e-9


def test_speed_bands_when_speed_is_on_an_edge_then_it_is_in_the_band_above() -> None:
    """Rule: lo <= v < hi."""
    for band, edge in enumerate(SPEED_EDGES_MPS[1:], 1):
        x_m = np.arange(11) * edge / 10
        values = run(SpeedBandDistance(), positions(np.column_stack((x_m, np.zeros(11))))).values
        assert values[band] == pytest.approx(edge)
        assert sum(values) == pytest.approx(edge)


def test_coverage_when_time_passes_without_readings_then_it_falls() -> None:
    """Rule: silence until now counts as elapsed."""
    block = heart_rates(np.full(30, 150))
    later = START_NS + 60 * NS_PER_S
    assert run(ZoneSeconds(), block, until_ns=later).coverage == pytest.approx(0.5)
    assert run(ZoneSeconds(), block, until_ns=later).values == run(ZoneSeconds(), block).values


@pytest.mark.parametrize(("bpm", "zone"), [(94.9, 0), (95, 1), (114, 2), (133, 3), (152, 4), (171, 5), (230, 5)])
def test_zone_when_heart_rate_is_on_an_edge_then_it_is_the_zone_above(bpm: float, zone: int) -> None:
    """Rule: zones begin at 50, 60, 70, 80 and 90 % of HRmax."""
    assert zone_of(bpm, 190) == zone


def test_metrics_when_listed_then_each_id_is_versioned_and_stands_once() -> None:
    """Rule: `name@version`, unique."""
    ids = [metric.metric_id for metric in METRICS]
    assert len(set(ids)) == len(ids)
    assert all(name and version.isdigit() for name, _, version in (i.partition("@") for i in ids))
