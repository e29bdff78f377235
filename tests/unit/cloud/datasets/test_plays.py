from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloud.datasets.plays import is_play_folder, read_plays
from shared.errors import ConfigError
from shared.features.plays import FORMATIONS

GAMES = pd.DataFrame(
    {"gameId": [1, 2], "gameDate": ["09/10/2017", "09/17/2017"], "homeTeamAbbr": ["DET", "ARI"], "week": [1, 2]}
)


def plays(count: int = 10) -> pd.DataFrame:
    """Return plays of two games, all first and ten at the offence's own 25."""
    return pd.DataFrame(
        {
            "gameId": np.repeat([1, 2], count // 2), "playId": np.arange(count), "quarter": 1, "GameClock": "14:05:00",
            "down": 1, "yardsToGo": 10, "possessionTeam": "DET", "yardlineSide": "DET", "yardlineNumber": 25.0,
            "offenseFormation": "SHOTGUN", "personnel.offense": "1 RB, 2 TE, 2 WR", "defendersInTheBox": 6.0,
            "personnel.defense": "4 DL, 2 LB, 5 DB", "HomeScoreBeforePlay": 7, "VisitorScoreBeforePlay": 3,
            "isPenalty": False, "isSTPlay": False, "PlayResult": 4,
        }
    )  # fmt: skip


def write(folder: Path, frame: pd.DataFrame) -> Path:
    frame.to_parquet(folder / "plays.parquet")
    GAMES.to_csv(folder / "games.csv", index=False)
    return folder


def test_plays_when_read_then_features_are_those_before_the_snap(tmp_path: Path) -> None:
    """Down, distance, clock, lead of the team with the ball, and who is on the field."""
    rows = read_plays(write(tmp_path, plays()))
    first = {name: rows.feature(name)[0] for name, _ in rows.feature_set.features}
    assert first == {
        "down": 1, "yards_to_go": 10, "yards_to_goal": 75, "quarter": 1, "clock": 845, "lead": 4, "defenders_in_box": 6,
        "running_backs": 1, "tight_ends": 2, "receivers": 2, "defensive_linemen": 4, "linebackers": 2,
        "defensive_backs": 5, "formation": FORMATIONS.index("SHOTGUN"),
    }  # fmt: skip
    assert rows.feature("lead")[-1] == -4
    assert rows.group[~rows.held_out].tolist() == ["1"] * 5
    assert rows.group[rows.held_out].tolist() == ["2"] * 5


@pytest.mark.parametrize(
    ("down", "gained", "success"),
    [(1, 4, 1.0), (1, 3, 0.0), (2, 6, 1.0), (2, 5, 0.0), (3, 10, 1.0), (3, 9, 0.0), (4, 10, 1.0), (4, 9, 0.0)],
)
def test_plays_when_a_play_gains_what_its_down_needs_then_it_is_a_success(
    tmp_path: Path, down: int, gained: int, success: float
) -> None:
    """40 % of ten on first down, 60 % on second, everything on third and fourth."""
    rows = read_plays(write(tmp_path, plays().assign(down=down, PlayResult=gained)))
    assert set(rows.target.tolist()) == {success}


def test_plays_when_kicked_or_penalised_or_unknown_then_left_out_or_unknown(tmp_path: Path) -> None:
    """Kicks and penalties are no plays from scrimmage; an unknown formation is none of those known."""
    frame = plays()
    frame.loc[0, "isSTPlay"] = True
    frame.loc[1, "isPenalty"] = True
    frame.loc[2, "down"] = 0
    frame.loc[3, "offenseFormation"] = "NEW"
    frame.loc[3, "personnel.offense"] = None
    rows = read_plays(write(tmp_path, frame))
    assert len(rows) == 7
    assert rows.feature("formation")[0] == -1.0
    assert np.isnan(rows.feature("receivers")[0])


def test_plays_when_a_column_is_missing_then_says_which(tmp_path: Path) -> None:
    """The message names file and column, and a folder without both tables is no such folder."""
    with pytest.raises(ConfigError, match=r"plays\.parquet.*PlayResult"):
        read_plays(write(tmp_path, plays().drop(columns="PlayResult")))
    assert is_play_folder(tmp_path)
    (tmp_path / "games.csv").unlink()
    assert not is_play_folder(tmp_path)
