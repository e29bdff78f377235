from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloud.datasets.games import WARM_UP_SEASONS, game_features, read_games
from shared.errors import ConfigError
from shared.features.games import GAME_OUTCOME

Games = Callable[..., pd.DataFrame]
NAMES = [name for name, _ in GAME_OUTCOME.features]


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[:, NAMES.index(name)]


def test_features_when_a_result_changes_then_nothing_before_it_does(league: Games) -> None:
    """A row holds what was known before its game: its own and later scores have no part in it."""
    frame = league(seasons=3).assign(date=lambda g: pd.to_datetime(g["date"])).sort_values("date", kind="stable")
    before = game_features(frame)
    at = len(frame) // 2
    changed = frame.copy()
    changed.iloc[at, changed.columns.get_loc("score1")] += 40
    after = game_features(changed)
    assert np.array_equal(before[: at + 1], after[: at + 1], equal_nan=True)
    assert not np.array_equal(before[at + 1 :], after[at + 1 :], equal_nan=True)


def test_features_when_a_team_wins_again_and_again_then_its_rating_rises() -> None:
    """The rating on points follows results, and its uncertainty falls as they come in."""
    days = pd.date_range("2020-09-06", periods=8, freq="7D")
    frame = pd.DataFrame(
        {
            "date": days, "season": 2020, "neutral": 1, "playoff": 0, "team1": "A", "team2": "B",
            "elo_prob1": 0.5, "score1": 24.0, "score2": 10.0,
        }
    )  # fmt: skip
    found = game_features(frame)
    assert (np.diff(column(found, "points_log_odds")) > 0).all()
    assert (np.diff(column(found, "points_sd")) < 0).all()
    assert column(found, "points_log_odds")[0] == pytest.approx(0.0, abs=1e-6)
    assert np.isnan(column(found, "rest_days")[0])
    assert (column(found, "rest_days")[1:] == 7).all()
    assert column(found, "season_margin")[-1] == pytest.approx(7 * 14 / 16)


def test_games_when_read_then_whole_later_seasons_are_held_out(league: Games, tmp_path: Path) -> None:
    """No season lies on both sides of the cut, and the first seasons only set the ratings."""
    frame = league(seasons=WARM_UP_SEASONS + 6)
    frame.to_csv(tmp_path / "games.csv", index=False)
    rows = read_games(tmp_path / "games.csv")
    assert len(np.unique(rows.group)) == 6
    assert set(rows.group[rows.held_out]) & set(rows.group[~rows.held_out]) == set()
    assert rows.time_ns[~rows.held_out].max() < rows.time_ns[rows.held_out].min()
    assert set(np.unique(rows.target)) <= {0.0, 0.5, 1.0}


def test_games_when_a_column_is_missing_then_says_which(league: Games, tmp_path: Path) -> None:
    """The message names file and column."""
    league(seasons=2).drop(columns="elo_prob1").to_csv(tmp_path / "games.csv", index=False)
    with pytest.raises(ConfigError, match=r"games\.csv.*elo_prob1"):
        read_games(tmp_path / "games.csv")
