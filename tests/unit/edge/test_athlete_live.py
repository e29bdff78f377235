"""What a tile says of one athlete."""

import httpx
import msgspec
import numpy as np
import pytest
from fastapi import FastAPI

from edge.messages import AthleteMetrics
from edge.pipeline.athlete_live import HEART_LOST_NS, TRACE_S, AthleteLive
from edge.ui.athlete_metrics import add_athlete_metrics
from shared.clock import NS_PER_S
from shared.ids import SensorId
from shared.readings import Quality, Readings, select
from shared.windows import Windower
from tests.factories import START_NS, heart_rates, positions, profile, readings


@pytest.fixture
def live() -> AthleteLive:
    return AthleteLive(profile=profile(), plan_m=100.0)


def feed(live: AthleteLive, block: Readings) -> None:
    """Pass a block on as the live path does, to its last window."""
    live.take(block)
    windower = Windower()
    for window in [*windower.push(block), *windower.flush()]:
        live.close(window)


def test_tile_when_nothing_came_then_everything_is_missing_not_zero(live: AthleteLive) -> None:
    """Rule: missing is null, never zero."""
    live.refresh_totals(START_NS)
    tile = live.tile(trace_until_ns=START_NS)
    values = (tile.hr_bpm, tile.zone, tile.speed_mps, tile.distance_m, tile.trimp, tile.zone_s, tile.coverage)
    assert values == (None,) * 7
    assert tile.trace_bpm == [None] * TRACE_S


def test_tile_when_heart_rates_come_then_the_newest_is_shown_with_its_time_and_number(live: AthleteLive) -> None:
    """Rule: a late reading never replaces a newer one."""
    live.take(heart_rates([150, 160]))
    live.take(heart_rates([99], times_ns=[START_NS - NS_PER_S], first=7))
    tile = live.tile()
    assert (tile.hr_bpm, tile.hr_ns, tile.hr_seq, tile.zone) == (160, START_NS + NS_PER_S, 1, 4)


def test_tile_when_the_strap_leaves_the_skin_then_the_last_value_stays_and_contact_is_false(live: AthleteLive) -> None:
    """Rule: off the skin nothing that the strap sends is a heart rate."""
    live.take(heart_rates([150]))
    off = readings("heart_rate", [[40, 0, np.nan]], times_ns=[START_NS + NS_PER_S], quality=int(Quality.NO_CONTACT))
    live.take(off)
    assert (live.tile().hr_bpm, live.tile().contact) == (150, False)
    assert live.fresh_heart_rate(START_NS + NS_PER_S) is None


def test_heart_rate_when_it_is_over_ten_seconds_old_then_rules_and_models_have_none(live: AthleteLive) -> None:
    """Rule: an alert never rests on old data."""
    live.take(heart_rates([150]))
    assert live.fresh_heart_rate(START_NS + HEART_LOST_NS) == 150
    assert live.fresh_heart_rate(START_NS + HEART_LOST_NS + 1) is None


def test_tile_when_a_reading_is_implausible_then_it_is_not_shown(live: AthleteLive) -> None:
    """Rule: flagged readings are stored, not shown."""
    live.take(heart_rates([255], quality=int(Quality.IMPLAUSIBLE)))
    live.take(positions([[5000, 0]], quality=int(Quality.IMPLAUSIBLE)))
    assert (live.tile().hr_bpm, live.tile().position_ns) == (None, None)


def test_tile_when_two_straps_are_worn_then_one_is_shown_until_it_is_silent(live: AthleteLive) -> None:
    """Rule: a strap and a pod that also counts beats do not alternate; the second speaks 5 s after the first."""
    strap, pod = heart_rates([100] * 4), heart_rates([180] * 20, sensor=SensorId("pod"))
    shown = []
    for second in range(20):
        at = slice(second, second + 1)
        if second < 4:
            live.take(select(strap, at))
        live.take(select(pod, at))
        shown.append(live.hr_bpm)
    assert shown == [100.0] * 9 + [180.0] * 11
    assert set(live.trace.values()) == {100.0, 180.0}


def test_speed_when_positions_come_one_by_one_then_it_is_that_of_the_last_half_second(live: AthleteLive) -> None:
    """Rule: the mean over half a second; a jump gives no speed."""
    for i in range(10):
        step = positions([[i * 0.5, 0.0]], times_ns=[START_NS + i * NS_PER_S // 10], first=i)
        live.take(step)
    assert live.tile().speed_mps == pytest.approx(5.0)
    live.take(positions([[500.0, 0.0]], times_ns=[START_NS + NS_PER_S], first=10))
    assert live.tile().speed_mps is None


def test_totals_when_windows_close_then_they_are_the_metrics(live: AthleteLive) -> None:
    """Rule: tiles and uploads show the same numbers; plan is a share of the planned distance."""
    feed(live, heart_rates(np.full(60, 152)))
    feed(live, positions(np.column_stack((np.arange(601) * 0.1, np.zeros(601)))))
    live.refresh_totals(START_NS + 60 * NS_PER_S)
    tile = live.tile()
    assert tile.zone_s == [0, 0, 0, 0, 60, 0]
    assert tile.distance_m == pytest.approx(60.0)
    assert tile.plan_percent == pytest.approx(60.0)
    assert (tile.high_speed_m, tile.sprint_m) == (0.0, 0.0)
    assert tile.coverage == pytest.approx(1.0, abs=0.02)


def test_tile_when_a_block_ends_with_a_strange_reading_then_the_good_one_before_is_shown(
    live: AthleteLive,
) -> None:
    """Rule: a flagged reading hides nothing but itself."""
    live.take(heart_rates([150, 255], quality=[0, int(Quality.IMPLAUSIBLE)]))
    assert (live.tile().hr_bpm, live.tile().hr_seq) == (150, 0)


def test_trace_when_asked_then_it_is_one_value_per_second_oldest_first(live: AthleteLive) -> None:
    """Rule: the last 60 s, null where none came; memory is bounded."""
    for second in [*range(200), *range(203, 210)]:
        live.take(heart_rates([100 + second / 10], times_ns=[START_NS + second * NS_PER_S], first=second))
    trace = live.tile(trace_until_ns=START_NS + 209 * NS_PER_S).trace_bpm
    assert trace is not None
    assert trace[-1] == pytest.approx(120.9)
    assert trace[-11:-6] == [pytest.approx(119.9), None, None, None, pytest.approx(120.3)]
    assert len(trace) == TRACE_S
    assert len(live.trace) <= 2 * TRACE_S


def test_metrics_when_asked_then_every_one_is_there_and_what_is_not_known_is_null(live: AthleteLive) -> None:
    """Rule: missing is null, never zero; a metric whose needs the profile does not meet is absent."""
    feed(live, heart_rates(np.full(60, 152)))
    now = {metric.metric: metric for metric in live.metrics_now(START_NS + 60 * NS_PER_S)}
    assert now["hr_zone_seconds@1"].values == [0, 0, 0, 0, 60, 0]
    assert (now["hr_zone_seconds@1"].coverage, now["hr_zone_seconds@1"].quality) == (1.0, 1.0)
    assert now["hr_recovery_60s@1"].values == [None]
    assert now["hr_recovery_60s@1"].notes
    assert (now["distance@2"].values, now["distance@2"].coverage) == ([None], 0.0)
    assert "w_prime_balance@1" not in now
    assert b"NaN" not in msgspec.json.encode(list(now.values()))


async def test_metrics_page_when_asked_for_an_athlete_then_it_answers_with_the_session_so_far() -> None:
    """Rule: JSON of every metric; an athlete whom the roster does not name is not found."""
    answer = AthleteMetrics(athlete="a01", sent_ns=START_NS, metrics=[])
    app = FastAPI()
    add_athlete_metrics(app, lambda athlete: answer if athlete == "a01" else None)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        found = await client.get("/api/athletes/a01/metrics")
        assert msgspec.json.decode(found.content, type=AthleteMetrics) == answer
        for stranger in ("a99", "a%20b!"):
            assert (await client.get(f"/api/athletes/{stranger}/metrics")).status_code == 404
