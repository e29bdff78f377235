"""Plays of the NFL's Next Gen Stats: one TSV a play, or all in `tracking.parquet` beside `plays.parquet`."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cloud.datasets.public import football
from cloud.datasets.public.columns import ROW, codes, floats, integers, read_csv, read_parquet, texts_by
from cloud.datasets.public.tracks import Tracks, number

PARQUET, PLAYS = "tracking.parquet", "plays.parquet"
_TRACKING = (
    "gameId",
    "playId",
    "frame",
    "nflId",
    "positionGroup",
    "possessionFlag",
    "x",
    "y",
    "s",
    "o",
    "dir",
    "event",
)
_PLAY = ("gameId", "playId", "week", "playDirection")
_TSV = tuple(dict.fromkeys((*_TRACKING, *_PLAY)))


def recognises(path: Path) -> bool:
    """Tell whether this folder or file is in one of the two layouts."""
    if path.is_dir():
        return ((path / PARQUET).exists() and (path / PLAYS).exists()) or any(path.glob("*.tsv"))
    return path.suffix == ".tsv"


def sources(path: Path, weeks: Sequence[int] | None = None) -> list[Path]:  # noqa: ARG001  names do not tell the week
    """Return the files to read."""
    if path.is_file():
        return [path]
    return [path / PARQUET] if (path / PARQUET).exists() else sorted(path.glob("*.tsv"), key=_numbers)


def read(source: Path, weeks: Sequence[int] | None = None) -> Tracks:
    """Return the plays of these weeks (all without).

    Raises: ConfigError naming the file and the columns it lacks.
    """
    if source.suffix == ".parquet":
        return _parquet(source.parent, weeks)
    table = read_csv(source, _TSV, delimiter="\t")
    if weeks is not None:
        table = table.filter(pc.is_in(table["week"], pa.array(list(weeks), table["week"].type)))
    return _tracks(table, table, source)


def _numbers(file: Path) -> list[int]:
    """Return what a name says of season, game and play: plays are in the order of their numbers, not of their text."""
    return [int(number) for number in re.findall(r"\d+", file.stem)]


def _parquet(folder: Path, weeks: Sequence[int] | None) -> Tracks:
    plays = read_parquet(folder / PLAYS, _PLAY)
    tracking = read_parquet(folder / PARQUET, _TRACKING)
    if weeks is not None:
        plays = plays.filter(pc.is_in(plays["week"], pa.array(list(weeks), plays["week"].type)))
        keys = plays.select(["gameId", "playId"])
        tracking = tracking.join(keys, ["gameId", "playId"], join_type="left semi")
    return _tracks(tracking, plays, folder / PARQUET)


def _tracks(table: pa.Table, plays: pa.Table, file: Path) -> Tracks:
    play, [games, numbers] = number(integers(table, "gameId", absent=-1), integers(table, "playId", absent=-1))
    team, sides = codes(table, "possessionFlag")
    role, groups = codes(table, "positionGroup")
    event, events = codes(table, "event")
    rows = football.Named(
        files=(str(file),),
        source=np.zeros(table.num_rows, np.int32),
        row=table[ROW].to_numpy(),
        play=play,
        games=games,
        numbers=numbers,
        who=integers(table, "nflId", absent=football.BALL_ID),
        frame=integers(table, "frame", absent=-1),
        offence=np.isin(np.array([side or "" for side in sides]), ("1", "1.0"))[team],
        role=football.role_codes(groups)[role],
        values=partial(floats, table),
    )
    return football.to_tracks(
        rows,
        events=events,
        event=event,
        leftwards=_leftwards(plays, games, numbers),
        torn=np.zeros(len(games), np.bool_),
        coverage=football.no_coverage(len(games)),
    )


def _leftwards(plays: pa.Table, games: NDArray[np.generic], numbers: NDArray[np.generic]) -> NDArray[np.bool_]:
    direction = texts_by(plays, ("gameId", "playId"), "playDirection")
    keys = zip(games.tolist(), numbers.tolist(), strict=True)
    return np.array([direction.get(key) == "left" for key in keys], np.bool_)
