"""Weeks of the NFL Big Data Bowl, 2021-2025: `tracking_week_1.csv` (or `week1.csv`) beside `plays.csv`.

2021 names teams home and away, which `games.csv` resolves; positions stand in the rows or in `players.csv`.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cloud.datasets.public import football
from cloud.datasets.public.columns import ROW, codes, floats, heading, integers, read_csv, texts_by
from cloud.datasets.public.tracks import Tracks, number
from cloud.datasets.scenes import MAN, UNKNOWN_COVERAGE, ZONE
from shared.errors import ConfigError

_WEEK = re.compile(r"(?:tracking_)?week_?(\d+)\.csv")
_COLUMNS = ("gameId", "playId", "nflId", "frameId", "playDirection", "x", "y", "s", "dir")
_OPTIONAL = ("a", "o", "event", "position")
_KEY = ("gameId", "playId")
_HOME = "homeTeamAbbr"
_TEAM = ("club", "team")
_COVERAGE = ("pff_manZone", "pff_passCoverageType")
_POSITION = ("position", "officialPosition")
_LABELS = {"Man": MAN, "Zone": ZONE}


def recognises(path: Path) -> bool:
    """Tell whether this is a week's tracking or a folder with some."""
    return bool(_weeks(path))


def sources(path: Path, weeks: Sequence[int] | None = None) -> list[Path]:
    """Return the files of these weeks (all without)."""
    return [file for week, file in sorted(_weeks(path).items()) if weeks is None or week in weeks]


def _weeks(path: Path) -> dict[int, Path]:
    files = path.glob("*week*.csv") if path.is_dir() else [path]
    return {int(match[1]): file for file in files if (match := _WEEK.fullmatch(file.name))}


def read(source: Path, weeks: Sequence[int] | None = None) -> Tracks:  # noqa: ARG001  a file is a week
    """Return the plays of a week.

    Raises: ConfigError naming the file and what it lacks.
    """
    team_column = next((name for name in _TEAM if name in heading(source)), _TEAM[0])
    table = read_csv(source, (*_COLUMNS, team_column), optional=_OPTIONAL)
    play, [games, numbers] = number(integers(table, "gameId", absent=-1), integers(table, "playId", absent=-1))
    who = integers(table, "nflId", absent=football.BALL_ID)
    plays = _Plays(source.parent, games, numbers)
    way, ways = codes(table, "playDirection")
    left = np.array([name is not None and name.lower() == "left" for name in ways], np.bool_)[way]
    leftwards, torn = football.directions(play, left, len(games))
    event, events = codes(table, "event")
    rows = football.Named(
        files=(str(source),),
        source=np.zeros(table.num_rows, np.int32),
        row=table[ROW].to_numpy(),
        play=play,
        games=games,
        numbers=numbers,
        who=who,
        frame=integers(table, "frameId", absent=-1),
        offence=plays.offence(table, team_column, play),
        role=_roles(source.parent, table, who),
        values=partial(floats, table),
    )
    return football.to_tracks(
        rows, events=events, event=event, leftwards=leftwards, torn=torn, coverage=plays.coverage()
    )


class _Plays:
    """What `plays.csv` says about the plays of a week."""

    def __init__(self, folder: Path, games: NDArray[np.generic], numbers: NDArray[np.generic]) -> None:
        self._folder = folder
        self._keys = list(zip(games.tolist(), numbers.tolist(), strict=True))
        self._table = read_csv(folder / "plays.csv", (*_KEY, "possessionTeam"), optional=_COVERAGE)

    def offence(self, table: pa.Table, column: str, play: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each row whether its player's team had the ball when the play began."""
        team_of = texts_by(self._table, _KEY, "possessionTeam")
        possession = [team_of.get(key) for key in self._keys]
        club, clubs = codes(table, column)
        if {"home", "away"} & set(clubs):
            homes = texts_by(read_csv(self._folder / "games.csv", ("gameId", _HOME)), ("gameId",), _HOME)
            sides = [
                "home" if homes.get((game,)) == team else "away"
                for (game, _), team in zip(self._keys, possession, strict=True)
            ]
            possession = [side if team else None for side, team in zip(sides, possession, strict=True)]
        known = {name: code for code, name in enumerate(clubs) if name is not None}
        wanted = np.array([known.get(team or "", -1) for team in possession], np.int64)
        return np.asarray(club == wanted[play])

    def coverage(self) -> NDArray[np.int8]:
        """Return the label of each play's coverage, UNKNOWN_COVERAGE where there is none or it is another."""
        column = next((name for name in _COVERAGE if name in self._table.column_names), None)
        if column is None:
            return football.no_coverage(len(self._keys))
        label_of = texts_by(self._table, _KEY, column)
        return np.array([_LABELS.get(label_of.get(key) or "", UNKNOWN_COVERAGE) for key in self._keys], np.int8)


def _roles(folder: Path, table: pa.Table, who: NDArray[np.int64]) -> NDArray[np.int8]:
    if "position" in table.column_names:
        position, positions = codes(table, "position")
        return football.role_codes(positions)[position]
    file = folder / "players.csv"
    column = next((name for name in _POSITION if name in heading(file)), None)
    if column is None:
        raise ConfigError(str(file), f"lacks the columns {' or '.join(_POSITION)}")
    players = read_csv(file, ("nflId", column))
    position_of = texts_by(players, ("nflId",), column)
    ids, player = np.unique(who, return_inverse=True)
    return football.role_codes([position_of.get((name,)) for name in ids.tolist()])[player]
