"""Sideline's own recordings as scenes: a session is a game of one play, on ground whose size nobody states."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloud.datasets.positions import STEP_NS, Recording, check_teams, table_recordings
from cloud.datasets.public.columns import ROW, codes, floats, heading, integers, read_parquet
from cloud.datasets.public.tracks import BALL_ROLE, UNKNOWN_ROLE, Tracks, number, unstated
from cloud.datasets.scenes import NO_FRAME, UNKNOWN_COVERAGE, Scenes, join
from cloud.settings import Layout
from shared.errors import ConfigError
from shared.features.team import BALL_TEAM, RATE_HZ

SPORT = "any"
LONGEST_GAP_S = 0.5
"""The same rule as the gateway's graphs."""
_COLUMNS = ("session", "time_ns", "athlete", "team", "x_m", "y_m")


def recognises(path: Path) -> bool:
    """Tell whether this is a recorded session, or a folder with some (see `read_recordings`)."""
    files = _files(path)
    return bool(files) and all(set(_COLUMNS) <= set(heading(file)) for file in files)


def sources(path: Path, weeks: Sequence[int] | None = None) -> list[Path]:  # noqa: ARG001  it has no weeks
    """Return the files to read."""
    return _files(path)


def read(source: Path, weeks: Sequence[int] | None = None) -> Tracks:  # noqa: ARG001  it has no weeks
    """Return a file's sessions as they were recorded, not yet on a grid.

    Raises: ConfigError naming the file and the columns it lacks, or the row whose team is none.
    """
    table = read_parquet(source, _COLUMNS)
    session, sessions = codes(table, "session")
    athlete, athletes = codes(table, "athlete")
    play, [names] = number(np.array([name or "" for name in sessions], np.str_)[session])
    players, player = np.unique(np.array([name or "" for name in athletes], np.str_), return_inverse=True)
    time_ns = integers(table, "time_ns", absent=-1)
    if table["team"].null_count:
        raise ConfigError(str(source), f"column team is empty in {table['team'].null_count} rows")
    sides = integers(table, "team", absent=0)
    check_teams(source, sides, table["team"])
    team = sides.astype(np.int8)
    return Tracks(
        sport=SPORT,
        field=None,
        rate_hz=RATE_HZ,
        files=(str(source),),
        games=names.astype(np.str_),
        plays=np.full(len(names), "1"),
        players=players,
        row=table[ROW].to_numpy(),
        play=play,
        frame=np.floor_divide(time_ns + STEP_NS // 2, STEP_NS),
        time_ns=time_ns,
        player=player[athlete].astype(np.int64),
        team=team,
        xy_m=np.stack([floats(table, "x_m"), floats(table, "y_m")], axis=-1),
        **unstated(team, len(names)),
    )


def scenes_from_table(layout: Layout) -> Scenes:
    """Return the sessions that gateways sent.

    Raises: ConfigError when there are none yet; StoreError when the tables cannot be read.
    """
    return recorded_scenes(table_recordings(layout))


def recorded_scenes(recordings: Sequence[Recording]) -> Scenes:
    """Return recordings as scenes in their order.

    Raises: ValueError without any.
    """
    return join([_scene(recording) for recording in recordings])


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path] if path.suffix == ".parquet" else []


def _scene(recording: Recording) -> Scenes:
    steps, players = recording.xy_m.shape[:2]
    role = np.where(recording.team == BALL_TEAM, BALL_ROLE, UNKNOWN_ROLE)
    return Scenes(
        field=None,
        game=np.array([recording.session]),
        play=np.array(["1"]),
        first=np.array([0, steps]),
        xy_m=recording.xy_m,
        velocity_mps=np.full((steps, players, 2), np.nan, np.float32),
        facing_rad=np.full((steps, players), np.nan, np.float32),
        team=recording.team[None].astype(np.int8),
        role=role[None].astype(np.int8),
        player=np.array([recording.athletes], np.str_),
        begin=np.array([0]),
        end=np.array([steps - 1]),
        thrown=np.array([NO_FRAME]),
        arrived=np.array([NO_FRAME]),
        leftwards=np.zeros(1, np.bool_),
        coverage=np.full(1, UNKNOWN_COVERAGE, np.int8),
    )
