"""Play tables in the layout of the NFL's Big Data Bowl 2019 (plays and games) as rows: was this play a success?"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cloud.datasets.files import check_columns, dates, numbers, read_frame
from cloud.datasets.task_rows import TaskRows, hold_out_later, make_task_rows
from shared.errors import ConfigError
from shared.features.plays import FORMATIONS, PLAY_SUCCESS_ROWS

PLAY_COLUMNS = (
    "gameId", "playId", "quarter", "GameClock", "down", "yardsToGo", "possessionTeam", "yardlineSide", "yardlineNumber",
    "offenseFormation", "personnel.offense", "defendersInTheBox", "personnel.defense", "HomeScoreBeforePlay",
    "VisitorScoreBeforePlay", "isPenalty", "isSTPlay", "PlayResult",
)  # fmt: skip
_NUMBERS = (
    *("quarter", "down", "yardsToGo", "yardlineNumber", "defendersInTheBox"),
    *("HomeScoreBeforePlay", "VisitorScoreBeforePlay", "PlayResult"),
)
GAME_COLUMNS = ("gameId", "gameDate", "homeTeamAbbr")
HELD_OUT = 0.35
SPLIT = f"held out: the last {HELD_OUT:.0%} of all plays, whole days; bootstrap by game"
_SHARE_NEEDED = {1: 0.4, 2: 0.6, 3: 1.0, 4: 1.0}
_OFFENCE, _DEFENCE = ("RB", "TE", "WR"), ("DL", "LB", "DB")
_FIELD_YD = 100.0


def is_play_folder(path: Path) -> bool:
    """Return whether a folder holds plays and games."""
    return path.is_dir() and _table(path, "plays") is not None and _table(path, "games") is not None


def read_plays(folder: Path) -> TaskRows:
    """Return a row per play from scrimmage without a penalty; target 1 where it was a success.

    Raises: ConfigError naming the file and the column.
    """
    plays_file, games_file = _table(folder, "plays"), _table(folder, "games")
    if plays_file is None or games_file is None:
        raise ConfigError(str(folder), "holds no plays and games (CSV or Parquet)")
    plays, games = read_frame(plays_file), read_frame(games_file)
    check_columns(plays_file, plays, PLAY_COLUMNS)
    check_columns(games_file, games, GAME_COLUMNS)
    plays, games = numbers(plays_file, plays, _NUMBERS), dates(games_file, games, "gameDate")
    frame = plays.merge(games[list(GAME_COLUMNS)], on="gameId")
    scrimmage = frame["down"].isin(_SHARE_NEEDED) & ~frame["isSTPlay"].astype(bool) & ~frame["isPenalty"].astype(bool)
    frame = frame[scrimmage].sort_values(["gameId", "playId"])
    needed = frame["yardsToGo"] * frame["down"].map(_SHARE_NEEDED)
    rows = make_task_rows(
        PLAY_SUCCESS_ROWS,
        group=frame["gameId"].astype(str).to_numpy(),
        time_ns=frame["gameDate"].astype("datetime64[ns]").astype(np.int64).to_numpy(),
        features=play_features(frame),
        target=(frame["PlayResult"] >= needed).to_numpy(float),
        bars={},
    )
    return hold_out_later(rows, share=HELD_OUT)


def play_features(frame: pd.DataFrame) -> NDArray[np.float32]:
    """Return float32[n, F] of plays joined with their games."""
    own_half = (frame["yardlineSide"] == frame["possessionTeam"]).to_numpy()
    line = frame["yardlineNumber"].to_numpy(float)
    at_home = np.where(frame["possessionTeam"] == frame["homeTeamAbbr"], 1.0, -1.0)
    ahead = (frame["HomeScoreBeforePlay"] - frame["VisitorScoreBeforePlay"]).to_numpy(float)
    codes = {name: float(code) for code, name in enumerate(FORMATIONS)}
    columns = [
        frame["down"],
        frame["yardsToGo"],
        np.where(own_half, _FIELD_YD - line, line),
        frame["quarter"],
        _seconds(frame["GameClock"]),
        at_home * ahead,
        frame["defendersInTheBox"],
        *(_players(frame["personnel.offense"], position) for position in _OFFENCE),
        *(_players(frame["personnel.defense"], position) for position in _DEFENCE),
        frame["offenseFormation"].map(codes).fillna(-1.0),
    ]
    return np.column_stack([np.asarray(column, np.float32) for column in columns])


def _players(personnel: pd.Series, position: str) -> NDArray[np.float64]:
    """Return how many of a position a text such as `1 RB, 2 TE, 2 WR` names, NaN where there is none."""
    count = personnel.astype("string").str.extract(rf"(\d+) {re.escape(position)}", expand=False)
    return np.asarray(pd.to_numeric(count, errors="coerce").to_numpy(float, na_value=np.nan), np.float64)


def _seconds(clock: pd.Series) -> NDArray[np.float64]:
    """Return a clock `mm:ss` or `mm:ss:00` in seconds."""
    parts = clock.astype("string").str.extract(r"^(\d+):(\d+)")
    minutes, seconds = (pd.to_numeric(parts[column]).to_numpy(float, na_value=np.nan) for column in (0, 1))
    return np.asarray(60.0 * minutes + seconds, np.float64)


def _table(folder: Path, stem: str) -> Path | None:
    return next((file for suffix in (".parquet", ".csv") if (file := folder / f"{stem}{suffix}").exists()), None)
