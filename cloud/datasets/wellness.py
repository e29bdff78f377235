"""Daily reports and session loads as rows of the readiness model, and with reported injuries as rows of that model.

Read is a table of one row per athlete and day: date, player_id, team, daily_load (session RPE, AU) and the answers in
`ANSWERS`, empty where nobody answered. Reported injuries are a table of date and player_id.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cloud.datasets.files import check_columns, dates, numbers, read_frame
from cloud.datasets.task_rows import TaskRows, hold_out_later, make_task_rows
from shared.clock import NS_PER_S
from shared.errors import ConfigError
from shared.features.base import FeatureSet
from shared.features.wellness import ANSWERS, LOAD_DAYS, RECENT, REPORT_HISTORY, WELLNESS

COLUMNS = ("date", "player_id", "team", "daily_load", *ANSWERS)
DAILY_FILE = "daily.parquet"
INJURIES_FILE = "injury_reports_relinked.csv"
HELD_OUT = 0.35
LOOK_AHEAD_DAYS = 7
MIN_REPORTS = 5
"""Before that many reports an athlete's own mean says nothing."""
SPLIT = f"held out: the last {HELD_OUT:.0%} of all rows by date; besides, each athlete in turn by five folds"
INJURY_SPLIT = f"{SPLIT}; rows of the {LOOK_AHEAD_DAYS} days before the cut are left out"
_DAY_NS = 86_400 * NS_PER_S
_SQUAD_DAYS, _SQUAD_USUAL_DAYS = 3, 28
_LONGEST_SILENCE_DAYS = 30


def readiness_rows(path: Path) -> TaskRows:
    """Return a row per report; bars: the last report, the athlete's mean so far, and the recent mean.

    `path` is the table or a folder that holds daily.parquet. Raises: ConfigError naming the file and the column.
    """
    daily = read_daily(path)
    history = _history(daily, asked=daily["readiness"].notna())
    return hold_out_later(_rows(WELLNESS, history, history["readiness"], personal_bars(history)), share=HELD_OUT)


def injury_rows(path: Path) -> TaskRows:
    """Return a row per athlete and day without a report of an injury in the week before; target: one within a week.

    `path` is a folder with both tables. Raises: ConfigError naming the file and the column.
    """
    daily, reports = read_daily(path), read_frame(path / INJURIES_FILE)
    check_columns(path / INJURIES_FILE, reports, ("date", "player_id"))
    injured = _days_of(daily, dates(path / INJURIES_FILE, reports))
    span = range(LOOK_AHEAD_DAYS)
    by_athlete = injured.groupby(daily["player_id"])
    soon = np.any([by_athlete.shift(-day, fill_value=False) for day in span], axis=0)
    before = np.any([by_athlete.shift(day + 1, fill_value=False) for day in span], axis=0)
    last_day = daily["date"].max() - pd.Timedelta(days=LOOK_AHEAD_DAYS - 1)
    history = _history(daily, asked=pd.Series(~before, daily.index) & (daily["date"] <= last_day))
    target = pd.Series(soon, daily.index).loc[history.index].astype(float)
    rows = _rows(REPORT_HISTORY, history, target, {})
    return hold_out_later(rows, share=HELD_OUT, embargo_ns=LOOK_AHEAD_DAYS * _DAY_NS)


def read_daily(path: Path) -> pd.DataFrame:
    """Return the daily table with every day of every athlete once, in order of athlete and date.

    Raises: ConfigError naming the file and what is wrong with it.
    """
    path = path / DAILY_FILE if path.is_dir() else path
    frame = read_frame(path)
    check_columns(path, frame, COLUMNS)
    frame = numbers(path, dates(path, frame[list(COLUMNS)]), ("daily_load", *ANSWERS))
    if frame.duplicated(["player_id", "date"]).any():
        raise ConfigError(str(path), "has an athlete's day twice")
    whole = [
        days.set_index("date").asfreq("D").assign(player_id=name).reset_index()
        for name, days in frame.sort_values("date").groupby("player_id")
    ]
    return pd.concat(whole, ignore_index=True)


def personal_bars(history: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return what one would expect without a model; empty until an athlete has reported often enough."""
    known = (history["reports"] >= MIN_REPORTS).to_numpy()
    return {
        name: np.where(known, history[f"{column}_readiness"].to_numpy(float), np.nan)
        for name, column in (("last_report", "last"), ("own_mean", "mean"), ("recent_mean", "recent"))
    }


def _rows(
    features: FeatureSet, history: pd.DataFrame, target: pd.Series, bars: dict[str, NDArray[np.float64]]
) -> TaskRows:
    return make_task_rows(
        features,
        group=history["player_id"].to_numpy(str),
        time_ns=history["date"].astype("datetime64[ns]").astype(np.int64).to_numpy(),
        features=history[[name for name, _ in features.features]].to_numpy(np.float32),
        target=target.to_numpy(float),
        bars=bars,
    )


def _history(daily: pd.DataFrame, *, asked: pd.Series) -> pd.DataFrame:
    """Return the features of the `asked` rows, from earlier days only, beside the day's own columns."""
    squad = _squad_change(daily)
    parts = [_athlete_history(days, squad) for _, days in daily.groupby("player_id")]
    return pd.concat(parts).loc[lambda frame: asked.reindex(frame.index)]


def _athlete_history(days: pd.DataFrame, squad: pd.Series) -> pd.DataFrame:
    """Return one athlete's features, a row a day."""
    found = days.copy()
    reports = days.dropna(subset=["readiness"])
    for name in ANSWERS:
        answers = reports[name]
        means = {"last": answers, "recent": answers.ewm(span=RECENT).mean(), "mean": answers.expanding().mean()}
        for kind, series in means.items():
            found[f"{kind}_{name}"] = _before(series, days.index)
    found["readiness_sd"] = _before(reports["readiness"].expanding().std(), days.index)
    found["reports"] = days["readiness"].notna().cumsum().shift(1, fill_value=0).astype(float)
    silent = days["date"] - _before(reports["date"], days.index)
    found["days_since_report"] = silent.dt.days.clip(upper=_LONGEST_SILENCE_DAYS)
    load = days["daily_load"].shift(1)
    for count in LOAD_DAYS:
        found[f"load_{count}d"] = load.rolling(count, min_periods=1).mean()
    found["squad_readiness_change"] = squad.reindex(days.index)
    found["weekday"] = days["date"].dt.dayofweek.astype(float)
    return found


def _before(series: pd.Series, days: pd.Index) -> pd.Series:
    """Return the newest value that was known before each day."""
    return series.reindex(days).ffill().shift(1)


def _squad_change(daily: pd.DataFrame) -> pd.Series:
    """Return by row the other team members' mean readiness of the last days against their usual one."""
    grid = daily.pivot_table(index="date", columns="player_id", values="readiness", dropna=False).asfreq("D")
    filled = grid.shift(1)
    change = filled.rolling(_SQUAD_DAYS, min_periods=1).mean() - filled.rolling(_SQUAD_USUAL_DAYS, min_periods=3).mean()
    team = daily.groupby("player_id")["team"].first()
    others = pd.DataFrame(index=change.index, columns=change.columns, dtype=float)
    for name in change.columns:
        mates = [other for other in change.columns if other != name and team[other] == team[name]]
        others[name] = change[mates].mean(axis=1)
    day, athlete = others.index.get_indexer(daily["date"]), others.columns.get_indexer(daily["player_id"])
    return pd.Series(others.to_numpy(float)[day, athlete], daily.index)


def _days_of(daily: pd.DataFrame, reports: pd.DataFrame) -> pd.Series:
    """Return which rows of `daily` are days on which an injury was reported."""
    reported = pd.MultiIndex.from_arrays([reports["date"], reports["player_id"]])
    keys = pd.MultiIndex.from_arrays([daily["date"], daily["player_id"]])
    return pd.Series(keys.isin(reported), daily.index)
