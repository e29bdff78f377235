"""A session's team metrics from all athletes' positions, by the same code as on the tablet.

Of each athlete one place a second is kept: two hours of a squad are a few megabytes, whatever its tags' rate. Pitches
are not uploaded; the metric that needs one takes a pitch of 105 by 68 metres.
"""

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa

from cloud.pipeline.blobs import pack, to_readings, unpack, unpack_all
from cloud.pipeline.tables import METRICS_TEAM, TABLES
from shared.batch import ProfileSummary
from shared.clock import NS_PER_S
from shared.features.team import BALL_TEAM
from shared.ids import BALL, AthleteId
from shared.metrics.base import MetricValue
from shared.metrics.pitch_control import Pitch
from shared.metrics.team import TEAM_METRICS, TEAMS, on_pitch
from shared.metrics.team_grid import Samples, frames, sample
from shared.windows import merge

_PITCH = Pitch()
_COLUMNS = ("x_m", "y_m", "vx_mps", "vy_mps")

SessionKey = tuple[str, str]


def sample_positions(
    keyed: tuple[tuple[str, str, str], Iterable[tuple[str, bytes]]],
) -> Iterator[tuple[SessionKey, tuple[str, bytes]]]:
    """Yield an athlete's places on whole seconds by (gateway, session)."""
    (gateway, session, athlete), blobs = keyed
    packed = [blob for stream, blob in blobs if stream == "position"]
    if not packed:
        return
    block = merge(to_readings(unpack_all(packed), "position"))
    found = sample(block.time_ns, block.values[:, :2], block.quality)
    if len(found.seconds):
        moves = np.hstack((found.xy_m, found.velocity_mps))
        columns = {name: moves[:, i] for i, name in enumerate(_COLUMNS)}
        yield (gateway, session), (athlete, pack(pa.table({"second": found.seconds, **columns})))


def team_rows(
    keyed: tuple[SessionKey, Iterable[tuple[str, bytes]]], profiles: Mapping[str, list[ProfileSummary]]
) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Yield a session's team metrics by (table, session); nothing before it is known who plays in which team."""
    (gateway, session), packed = keyed
    teams = {AthleteId(profile.athlete): profile.team for profile in profiles.get(gateway, [])} | {BALL: BALL_TEAM}
    samples = {AthleteId(athlete): _samples(blob) for athlete, blob in packed if AthleteId(athlete) in teams}
    values = team_values(samples, teams)
    if not values:
        return
    seconds = np.concatenate([found.seconds for found in samples.values()])
    rows = [
        {
            "session": session,
            "gateway": gateway,
            "team": team,
            "metric": metric.metric_id,
            "label": label,
            "value": None if math.isnan(number) else number,
            "unit": metric.unit,
            "coverage": value.coverage,
            "quality": value.quality,
            "start_ns": int(seconds.min()) * NS_PER_S,
            "end_ns": int(seconds.max()) * NS_PER_S,
        }
        for team in sorted(values)
        for metric, value in zip(TEAM_METRICS, values[team], strict=True)
        for label, number in zip(metric.labels, value.values, strict=True)
    ]
    yield (METRICS_TEAM, session), pack(pa.Table.from_pylist(rows, schema=TABLES[METRICS_TEAM].schema))


def team_values(samples: Mapping[AthleteId, Samples], teams: Mapping[AthleteId, int]) -> dict[int, list[MetricValue]]:
    """Return the values of TEAM_METRICS over a session, by team that has anybody in it."""
    present = [team for team in TEAMS if any(teams[athlete] == team for athlete in samples)]
    states = {team: [metric.start(team, _PITCH) for metric in TEAM_METRICS] for team in present}
    for frame in frames(samples, {athlete: teams[athlete] for athlete in sorted(samples)}) if present else ():
        inside = on_pitch(frame, _PITCH)
        for team, before in states.items():
            states[team] = [metric.update(state, inside) for metric, state in zip(TEAM_METRICS, before, strict=True)]
    return {
        team: [metric.value(state) for metric, state in zip(TEAM_METRICS, after, strict=True)]
        for team, after in states.items()
    }


def _samples(blob: bytes) -> Samples:
    table = unpack(blob)
    moves = np.column_stack([table[name].to_numpy() for name in _COLUMNS])
    return Samples(seconds=table["second"].to_numpy(), xy_m=moves[:, :2], velocity_mps=moves[:, 2:])
