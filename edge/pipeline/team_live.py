"""Both teams now: their metrics and outlines, from the newest positions of everybody."""

import math

import numpy as np

from edge.messages import MetricNow, TeamNow
from shared.features.team import TeamGraph
from shared.metrics.base import MetricValue
from shared.metrics.pitch_control import Pitch
from shared.metrics.team import TEAM_METRICS, TEAMS, TeamFrame, TeamMetric, hull, on_pitch
from shared.metrics.team_grid import frame_of


def teams_now(graph: TeamGraph, pitch: Pitch) -> list[TeamNow]:
    """Return each team that has anybody on the pitch; a metric that too few players allow is null."""
    frame = on_pitch(frame_of(graph), pitch)
    return [_team_now(frame, team, pitch) for team in TEAMS if len(frame.of(team))]


def _team_now(frame: TeamFrame, team: int, pitch: Pitch) -> TeamNow:
    corners = hull(frame.of(team))
    return TeamNow(
        team=team,
        metrics=[_metric_now(metric, metric.now(frame, team, pitch)) for metric in TEAM_METRICS],
        hull=np.round(corners, 2).tolist() if len(corners) > 2 else [],
    )


def _metric_now(metric: TeamMetric, value: MetricValue) -> MetricNow:
    digits = metric.decimals + 1
    return MetricNow(
        metric=metric.metric_id,
        values=[None if math.isnan(number) else round(number, digits) for number in value.values],
        coverage=value.coverage,
        quality=round(value.quality, 3),
        notes=list(value.notes),
    )
