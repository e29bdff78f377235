from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from shared.features.wellness import ANSWERS


@pytest.fixture
def league() -> Callable[..., pd.DataFrame]:
    """Make a league in which strength decides, and an Elo probability that knows only part of it."""

    def make(*, seasons: int, teams: int = 12, weeks: int = 14, seed: int = 1, elo_noise: float = 8.0) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        strength, found = rng.normal(0.0, 7.0, teams), []
        for season in range(1990, 1990 + seasons):
            strength = 0.8 * strength + rng.normal(0.0, 3.0, teams)
            for week in range(weeks):
                order = rng.permutation(teams)
                for first, second in zip(order[::2], order[1::2], strict=True):
                    edge = strength[first] - strength[second] + 2.5
                    known = edge + rng.normal(0.0, elo_noise)
                    margin = round(edge + rng.normal(0.0, 12.0))
                    found.append(
                        {
                            "date": pd.Timestamp(f"{season}-09-05") + pd.Timedelta(days=7 * week),
                            "season": season,
                            "neutral": 0,
                            "playoff": 0,
                            "team1": f"T{first}",
                            "team2": f"T{second}",
                            "elo_prob1": 1.0 / (1.0 + np.exp(-known / 7.0)),
                            "score1": 20 + margin,
                            "score2": 20,
                        }
                    )
        return pd.DataFrame(found)

    return make


@pytest.fixture
def daily() -> Callable[..., pd.DataFrame]:
    """Make a squad's reports: each athlete around an own mean, lower after a hard day; `hard` 0 leaves only noise."""

    def make(*, athletes: int = 6, days: int = 120, hard: float = 2.0, seed: int = 1) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        parts = []
        for athlete in range(athletes):
            load = rng.choice([0.0, 300.0, 600.0], days)
            usual = rng.uniform(5.0, 8.0)
            readiness = usual - hard * np.concatenate([[0.0], load[:-1]]) / 600.0 + rng.normal(0.0, 0.4, days)
            table = {name: np.clip(np.round(3 + rng.normal(0.0, 0.7, days)), 1, 5) for name in ANSWERS}
            table |= {"readiness": np.clip(np.round(readiness, 1), 1, 10), "daily_load": load}
            frame = pd.DataFrame({"date": pd.date_range("2021-01-01", periods=days), **table})
            frame.loc[rng.random(days) < 0.2, list(ANSWERS)] = np.nan
            parts.append(frame.assign(player_id=f"p{athlete}", team="A"))
        return pd.concat(parts, ignore_index=True)

    return make
