"""Both teams on the tablet: from readings to the message."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.app import shown_metrics
from edge.inference.runner import Runner
from edge.lanes import Lane, Policy
from edge.messages import TeamNow, TilePatch
from edge.pipeline.live import Live
from edge.pipeline.roster import Wearers
from edge.settings import SessionSettings
from edge.store.journal import Journal
from edge.ui.broadcast import Broadcast
from edge.ui.hub import Hub
from shared.clock import NS_PER_S, ManualClock
from shared.ids import AthleteId, SensorId
from shared.metrics.registry import METRICS
from shared.metrics.team import TEAM_METRICS
from shared.readings import Readings
from shared.roster import Assignment, Roster
from tests.factories import START_NS, positions, roster_athlete
from tests.fakes.tablet import TabletConnection
from tests.tools import settled, until

# Home stands in a square of 20 m with one in the middle, away in a triangle; the last of away sits beside the pitch.
PLACES = [(10, 10), (30, 10), (30, 30), (10, 30), (20, 20), (60, 20), (70, 20), (60, 40), (50, -8)]
NAMES = [AthleteId(f"a{i:02d}") for i in range(len(PLACES))]
TEAMS = [0] * 5 + [1] * 4


def squad() -> Roster:
    """Return both teams, each with a tag."""
    return Roster(
        athletes=[roster_athlete(n, number=i, team=TEAMS[i]) for i, n in enumerate(NAMES)],
        assignments=[Assignment(sensor=f"tag-{name}", athlete=name) for name in NAMES],
    )


def standing(seconds: int = 3) -> list[Readings]:
    """Return everybody standing still at 10 Hz until now."""
    times = START_NS - np.arange(seconds * 10, dtype=np.int64)[::-1] * (NS_PER_S // 10)
    return [
        positions(np.tile(place, (len(times), 1)), times_ns=times, athlete=name, sensor=SensorId(f"tag-{name}"))
        for name, place in zip(NAMES, PLACES, strict=True)
    ]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(utc_ns=START_NS)


@pytest.fixture
def live(clock: ManualClock) -> Iterator[Live]:
    runner = Runner(clock)
    yield Live(Wearers(squad()), SessionSettings(), [], runner, clock)
    runner.close()


def by_metric(team: TeamNow) -> dict[str, list[float | None]]:
    """Return a team's values by metric."""
    return {now.metric: now.values for now in team.metrics}


def test_teams_when_everybody_stands_then_shapes_are_as_drawn(live: Live) -> None:
    """Rule: every team metric of those on the pitch, and the outline in order; the bench does not count."""
    live.take(standing())
    home, away = live.teams()
    assert [metric.metric_id for metric in TEAM_METRICS] == list(by_metric(home))
    values = by_metric(home)
    assert values["team_centroid@1"] == [20, 20]
    assert values["stretch_index@1"] == [round(4 / 5 * np.hypot(10, 10), 2)]
    assert values["team_extent@1"] == [20, 20]
    assert values["hull_area@1"] == [400]
    assert values["nearest_opponent@1"][1] == pytest.approx(np.hypot(30, 10), abs=0.01)
    assert home.hull == [[10, 10], [30, 10], [30, 30], [10, 30]]
    assert by_metric(away)["hull_area@1"] == [100]
    assert by_metric(away)["nearest_opponent@1"][1] == pytest.approx(np.hypot(30, 10), abs=0.01)
    shares = [by_metric(team)["pitch_control@1"][0] for team in (home, away)]
    assert sum(share for share in shares if share) == pytest.approx(100, abs=0.2)
    assert home.metrics[0].quality == 1.0
    assert away.metrics[0].quality == 0.75


def test_teams_when_too_few_have_positions_then_null(live: Live) -> None:
    """Rule: two players have a centre for nobody to show; without anybody a team is absent."""
    live.take(standing()[:2])
    (home,) = live.teams()
    assert home.team == 0
    assert home.hull == []
    assert all(now.values == [None] * len(now.values) and now.coverage == 0 for now in home.metrics)


def test_teams_when_positions_stop_then_nothing_is_shown_as_now(live: Live, clock: ManualClock) -> None:
    """Rule: an outline of the past is not shown as the present."""
    assert live.teams() == []
    live.take(standing())
    assert len(live.teams()) == 2
    clock.advance(4.0)
    assert live.teams() == []


def test_tablet_when_it_starts_then_it_is_told_of_every_metric_that_it_shows() -> None:
    """Rule: each number on a tile or map opens its formula; team metrics are marked."""
    told = shown_metrics()
    assert [one.metric for one in told if not one.team] == [metric.metric_id for metric in METRICS]
    assert [one.metric for one in told if one.team] == [metric.metric_id for metric in TEAM_METRICS]
    assert all(one.title and one.formula and one.rules and one.source and one.labels for one in told)


async def test_tablet_when_a_second_passes_then_it_gets_both_teams(
    live: Live, clock: ManualClock, tmp_path: Path
) -> None:
    """Rule: once a second one message of both teams, the newest only, while positions come."""
    journal = Journal.open(tmp_path / "gateway.sqlite", clock, max_bytes=64 * 1024 * 1024)
    hub, tablet = Hub(clock), TabletConnection()
    lane: Lane[list[Readings]] = Lane("live", capacity=16, policy=Policy.DROP_OLDEST)
    broadcast = Broadcast(live, lane, hub, journal, clock)
    live.take(standing())
    tablet.pause()
    serving = asyncio.create_task(hub.serve(tablet, TilePatch(sent_ns=0, tiles=[])))
    passing = asyncio.create_task(broadcast.each_second())
    await until(lambda: hub.clients == 1)
    for _ in range(2):
        await settled()
        clock.advance(1.0)
    await settled()
    tablet.resume()
    await until(lambda: any(json.loads(text)["type"] == "teams" for text in tablet.arrived))
    for task in (serving, passing):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    journal.close()
    sent = [json.loads(text) for text in tablet.arrived]
    teams = [message for message in sent if message["type"] == "teams"]
    assert len(teams) == 1
    assert [team["team"] for team in teams[0]["teams"]] == [0, 1]
    assert teams[0]["sent_ns"] >= START_NS + 2 * NS_PER_S
