"""Results of games with the Elo ratings before them, as rows of the strategy model.

Read is a CSV in the layout of FiveThirtyEight's NFL tables: date, season, neutral, playoff, team1, team2, elo_prob1,
score1, score2 (home team first).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from cloud.datasets.files import check_columns, dates, numbers, read_frame
from cloud.datasets.task_rows import TaskRows, hold_out_later, make_task_rows
from shared.features.games import GAME_OUTCOME

COLUMNS = ("date", "season", "neutral", "playoff", "team1", "team2", "elo_prob1", "score1", "score2")
HELD_OUT = 0.4
SPLIT = f"held out: the last {HELD_OUT:.0%} of all games, whole seasons; bootstrap by season"
WARM_UP_SEASONS = 15
"""Seasons at the start of a table in which ratings find their level; their games are no rows."""
# Of the rating on points, chosen on the games of 1955-1989 by their Brier score; later seasons had no say.
GAME_SD = 12.0
"""Points by which results scatter around the difference of two strengths."""
CAP = 28.0
"""A larger margin says no more about strength."""
HOME_POINTS = 2.5
_START, _START_VARIANCE = -3.0, 40.0
_DRIFT_GAME, _DRIFT_SEASON, _KEPT = 0.5, 10.0, 0.75
_LONGEST_REST_DAYS = 21
_SEASON_GAMES = 16
_SURE = 1e-4


@dataclass(slots=True)
class _Team:
    """What is known about a team before its next game."""

    strength: float = _START
    variance: float = _START_VARIANCE
    season: int = -1
    last_day: int | None = None
    margin: float = 0.0
    games: int = 0

    def enter(self, season: int) -> None:
        """Begin a season: strength fades towards the mean and is less known."""
        if season == self.season:
            return
        if self.season >= 0:
            self.strength *= _KEPT
            self.variance = min(self.variance * _KEPT**2, _START_VARIANCE) + _DRIFT_SEASON
        self.season, self.last_day, self.margin, self.games = season, None, 0.0, 0

    def rest_days(self, day: int) -> float:
        """Return the days since the last game of this season, NaN before the first."""
        return float("nan") if self.last_day is None else float(min(day - self.last_day, _LONGEST_REST_DAYS))

    def learn(self, day: int, surprise: float, share: float, margin: float) -> None:
        """Take a result: `surprise` in points, of which `share` is put down to this team."""
        self.strength += share * surprise
        self.variance += _DRIFT_GAME - share * self.variance
        self.last_day, self.games = day, self.games + 1
        self.margin += margin / _SEASON_GAMES


def read_games(path: Path) -> TaskRows:
    """Return a row per game that was played: features before it, target 1, 0.5 or 0 for the first team, bar `elo`.

    Raises: ConfigError naming the file and the column.
    """
    frame = read_frame(path)
    check_columns(path, frame, COLUMNS)
    frame = numbers(path, dates(path, frame), ("season", "elo_prob1"), required=True)
    frame = numbers(path, frame, ("score1", "score2")).sort_values("date", kind="stable")
    margin = (frame["score1"] - frame["score2"]).to_numpy(float)
    elo = frame["elo_prob1"].to_numpy(float)
    season = frame["season"].to_numpy(int)
    rows = make_task_rows(
        GAME_OUTCOME,
        group=season.astype(str),
        # A season is one moment: its games are never on both sides of a cut.
        time_ns=pd.to_datetime(frame.groupby("season")["date"].transform("min"))
        .astype("datetime64[ns]")
        .astype(np.int64)
        .to_numpy(),
        features=game_features(frame),
        target=np.where(np.isnan(margin), np.nan, (np.sign(margin) + 1.0) / 2.0),
        bars={"elo": np.where(season >= season.min() + WARM_UP_SEASONS, elo, np.nan)},
    )
    return hold_out_later(rows, share=HELD_OUT)


def game_features(frame: pd.DataFrame) -> NDArray[np.float32]:
    """Return float32[n, F] for games in order of date; a game without a score changes nothing that comes after."""
    teams: dict[str, _Team] = {}
    found = [_play(game, teams) for game in frame[list(COLUMNS)].itertuples(index=False)]
    return np.array(found, np.float32).reshape(len(found), len(GAME_OUTCOME.features))


def _play(game: Any, teams: dict[str, _Team]) -> list[float]:
    first, second = (teams.setdefault(name, _Team()) for name in (game.team1, game.team2))
    for team in (first, second):
        team.enter(int(game.season))
    day = game.date.toordinal()
    home = 0.0 if game.neutral else 1.0
    variance = first.variance + second.variance + GAME_SD**2
    expected = first.strength - second.strength + HOME_POINTS * home
    features = [
        _log_odds(game.elo_prob1),
        _log_odds(float(norm.cdf(expected / variance**0.5))),
        variance**0.5,
        home,
        0.0 if pd.isna(game.playoff) or game.playoff in (0, "0") else 1.0,
        first.rest_days(day),
        second.rest_days(day),
        first.margin,
        second.margin,
        float(first.games),
    ]
    margin = float(game.score1) - float(game.score2)
    if not np.isnan(margin):
        margin = float(np.clip(margin, -CAP, CAP))
        surprise = margin - expected
        shares = first.variance / variance, second.variance / variance
        first.learn(day, surprise, shares[0], margin)
        second.learn(day, -surprise, shares[1], -margin)
    return features


def _log_odds(probability: float) -> float:
    bounded = min(1.0 - _SURE, max(_SURE, probability))
    return float(np.log(bounded / (1.0 - bounded)))
