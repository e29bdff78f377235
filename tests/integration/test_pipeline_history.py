"""Team metrics and load history in the tables, through the whole pipeline."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud.pipeline.history import LOADS
from cloud.pipeline.tables import TABLES
from cloud.pipeline.team import team_values
from cloud.settings import Layout
from cloud.setup import make_layout
from shared.batch import ProfileSummary
from shared.clock import NS_PER_S
from shared.ids import BALL, AthleteId, SensorId
from shared.metrics.motion import SpeedBandDistance
from shared.metrics.registry import METRICS
from shared.metrics.team import TEAM_METRICS
from shared.metrics.team_grid import sample
from shared.parquet_codec import decode_parquet, encode_parquet
from shared.readings import Readings
from tests.factories import heart_rates
from tests.factories import positions as places
from tests.integration.test_pipeline_tables import START_NS, Cloud

DAY_NS = 86_400 * NS_PER_S
SQUAD = [f"b{i}" for i in range(8)]
PROFILES = [
    ProfileSummary(athlete=name, team=i % 2, sex="m", hr_rest_bpm=55, hr_max_bpm=195) for i, name in enumerate(SQUAD)
]


def walk(name: str, *, seconds: int = 60, rate_hz: int = 10, start_ns: int = START_NS) -> Readings:
    """Return somebody who walks about; the same for the same name and start."""
    rng = np.random.default_rng([*name.encode(), start_ns % 1_000_003])
    count = seconds * rate_hz
    xy = rng.uniform((20, 15), (85, 53)) + np.cumsum(rng.normal(0, 1.0 / rate_hz, (count, 2)), axis=0)
    times = start_ns + np.arange(count) * (NS_PER_S // rate_hz)
    return places(
        xy, times_ns=times, athlete=AthleteId(name), sensor=SensorId(f"tag-{name}"), origin=f"boot-{start_ns}"
    )


def beats(name: str, start_ns: int, seconds: int, bpm: float) -> Readings:
    """Return a steady heart."""
    times = start_ns + np.arange(seconds) * NS_PER_S
    return heart_rates(
        np.full(seconds, bpm), times_ns=times, athlete=AthleteId(name), sensor=SensorId(f"hr-{name}"),
        origin=f"boot-{start_ns}",
    )  # fmt: skip


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    made = Layout(tmp_path)
    make_layout(made)
    return Cloud(made)


def test_team_metrics_when_a_session_is_derived_then_they_equal_the_shared_code(cloud: Cloud) -> None:
    """Rule: one formula; the ball's tag counts as the ball, and not as an athlete."""
    cloud.summary(1, profiles=PROFILES)
    blocks = [walk(name) for name in (*SQUAD, BALL)]
    # In two batches that overlap, as after a lost receipt.
    cloud.readings(*(_rows(block, 0, 400) for block in blocks))
    cloud.readings(*(_rows(block, 300, 600) for block in blocks))
    cloud.run()
    stored = [decoded for block in blocks for decoded in decode_parquet(encode_parquet([block]))]
    samples = {b.athlete: sample(b.time_ns, b.values[:, :2], b.quality) for b in stored if b.athlete is not None}
    wanted = team_values(samples, {AthleteId(p.athlete): p.team for p in PROFILES} | {BALL: -1})
    rows = cloud.table("metrics_team").sort_by([("team", "ascending")]).to_pylist()
    assert len(rows) == 2 * sum(len(metric.labels) for metric in TEAM_METRICS)
    for team, values in wanted.items():
        for metric, value in zip(TEAM_METRICS, values, strict=True):
            found = [row for row in rows if row["team"] == team and row["metric"] == metric.metric_id]
            assert [row["value"] for row in found] == pytest.approx(list(value.values), rel=1e-12)
            assert {(row["coverage"], row["quality"]) for row in found} == {(1.0, 1.0)}
    assert BALL not in cloud.table("metrics")["athlete"].to_pylist()


def _rows(block: Readings, start: int, end: int) -> Readings:
    chosen = slice(start, end)
    return replace(
        block,
        sequence=block.sequence[chosen],
        time_ns=block.time_ns[chosen],
        values=block.values[chosen],
        quality=block.quality[chosen],
    )


def test_team_metrics_when_teams_are_not_known_yet_then_they_follow_the_profiles(cloud: Cloud) -> None:
    """Rule: nobody's team is guessed."""
    cloud.readings(*(walk(name) for name in SQUAD))
    assert cloud.run().rows["metrics_team"] == 0
    cloud.summary(5, profiles=PROFILES)
    assert cloud.run().rows["metrics_team"] == 2 * sum(len(metric.labels) for metric in TEAM_METRICS)


def test_load_history_when_sessions_come_over_days_then_each_day_is_known_or_not(cloud: Cloud) -> None:
    """Rule: the squad's day off is rest, an absence from its training is not; a later run adds to the history."""
    cloud.summary(1, profiles=PROFILES)
    for day, names in ((0, ("b0", "b1")), (1, ("b1",)), (3, ("b0", "b1"))):
        start_ns = START_NS + day * DAY_NS
        cloud.readings(*(beats(name, start_ns, 90, 150.0) for name in names))
        cloud.readings(*(walk(name, seconds=90, start_ns=start_ns) for name in names))
        cloud.run()
    rows = _history(cloud, "b0", "trimp_banister@1", "days_since@1")
    assert [row["day"] for row in rows] == ["2026-09-21", "2026-09-22", "2026-09-23", "2026-09-24"]
    loads = [row["load"] for row in rows]
    assert loads[0] == pytest.approx(loads[3])
    assert (loads[0] > 0, loads[1], loads[2]) == (True, None, 0)
    assert [row["value"] for row in rows] == [0, 1, 2, 0]
    assert rows[-1]["coverage"] == pytest.approx(3 / 28)
    week = _history(cloud, "b1", "trimp_banister@1", "training_load@1")
    assert {row["label"] for row in week} == {"ctl", "atl", "tsb"}
    assert _history(cloud, "b0", "session_rpe@1", "monotony@1") == []
    assert _history(cloud, "b0", SpeedBandDistance.metric_id, "days_since@1")
    assert {
        row["value"] for row in _history(cloud, "b1", "trimp_banister@1", "acwr_ewma@1") if row["label"] == "ratio"
    } == {None}


def test_load_history_when_a_session_is_derived_again_then_it_counts_once(cloud: Cloud) -> None:
    """Rule: what comes late replaces the session's load, it does not add to it."""
    cloud.summary(1, profiles=PROFILES)
    cloud.readings(beats("b0", START_NS, 90, 150.0))
    cloud.run()
    (before,) = {row["load"] for row in _history(cloud, "b0", "trimp_banister@1", "strain@1")}
    late = replace(beats("b0", START_NS + 90 * NS_PER_S, 30, 150.0), sequence=np.arange(90, 120))
    cloud.readings(replace(late, origin=f"boot-{START_NS}"))
    cloud.run()
    (after,) = {row["load"] for row in _history(cloud, "b0", "trimp_banister@1", "strain@1")}
    assert after == pytest.approx(before * 120 / 90, rel=1e-6)


def _history(cloud: Cloud, athlete: str, quantity: str, metric: str) -> list[dict[str, Any]]:
    """Return an athlete's rows of one metric in order of day."""
    chosen = {"athlete": athlete, "quantity": quantity, "metric": metric}
    rows: list[dict[str, Any]] = cloud.table("load_history").sort_by([("day", "ascending")]).to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in chosen.items())]


def test_loads_when_listed_then_they_are_values_of_session_metrics() -> None:
    """Rule: a load that no metric gives would leave every day unknown."""
    labels = {metric.metric_id: metric.labels for metric in METRICS}
    assert all(label in labels[metric] for metric, label in LOADS)


def test_tables_when_listed_then_objects_is_the_last() -> None:
    """Rule: an object counts as processed only once everything else is in."""
    assert list(TABLES)[-1] == "objects"
