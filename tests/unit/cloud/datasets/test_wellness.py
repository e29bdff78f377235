from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloud.datasets.wellness import LOOK_AHEAD_DAYS, injury_rows, readiness_rows
from shared.clock import NS_PER_S
from shared.errors import ConfigError

Daily = Callable[..., pd.DataFrame]
DAY_NS = 86_400 * NS_PER_S


def test_readiness_when_a_report_changes_then_no_earlier_row_does(daily: Daily, tmp_path: Path) -> None:
    """A row holds what was known before its day, of the athlete and of the others."""
    frame, path = daily(athletes=3, days=40), tmp_path / "daily.parquet"
    frame.to_parquet(path)
    before = readiness_rows(path)
    day = pd.Timestamp("2021-01-25")
    hit = (frame["date"] == day) & (frame["player_id"] == "p1")
    frame.loc[hit, "readiness"] = 1.0
    frame.loc[hit, "daily_load"] = 9000.0
    frame.to_parquet(path)
    after = readiness_rows(path)
    early = before.time_ns <= day.value
    assert np.array_equal(before.features[early], after.features[early], equal_nan=True)
    late = ~early & (before.group == "p1")
    assert not np.array_equal(before.features[late], after.features[late], equal_nan=True)
    others = ~early & (before.group == "p0")
    assert not np.array_equal(before.features[others], after.features[others], equal_nan=True)


def test_readiness_when_read_then_bars_are_the_last_report_and_the_mean_so_far(tmp_path: Path, daily: Daily) -> None:
    """What one would expect without a model is computed by hand from the athlete's reports."""
    frame, path = daily(athletes=2, days=30), tmp_path / "daily.parquet"
    frame.to_parquet(path)
    rows = readiness_rows(path)
    own = frame[frame["player_id"] == "p0"].dropna(subset=["readiness"])["readiness"].to_numpy()
    mine = rows.where(rows.group == "p0")
    assert np.allclose(mine.target, own[5:])
    assert np.allclose(mine.bars["last_report"], own[4:-1])
    assert np.allclose(mine.bars["own_mean"], [own[:k].mean() for k in range(5, len(own))], atol=1e-5)


def test_injuries_when_reported_then_only_the_week_before_is_marked(tmp_path: Path, daily: Daily) -> None:
    """A row's target is a report on its day or the six after; days within a week after a report are no rows."""
    daily(athletes=2, days=60).to_parquet(tmp_path / "daily.parquet")
    report = pd.Timestamp("2021-01-20")
    pd.DataFrame({"date": [report.date()], "player_id": ["p1"]}).to_csv(
        tmp_path / "injury_reports_relinked.csv", index=False
    )
    rows = injury_rows(tmp_path)
    marked = (rows.target == 1.0).nonzero()[0]
    assert set(rows.group[marked]) == {"p1"}
    days = sorted((report.value - rows.time_ns[marked]) // DAY_NS)
    assert days == list(range(LOOK_AHEAD_DAYS))
    after = rows.time_ns[rows.group == "p1"] - report.value
    assert not ((after > 0) & (after <= LOOK_AHEAD_DAYS * DAY_NS)).any()
    cut = rows.time_ns[rows.held_out].min()
    assert rows.time_ns[~rows.held_out].max() < cut - LOOK_AHEAD_DAYS * DAY_NS


def test_daily_when_a_day_is_there_twice_then_refused(tmp_path: Path, daily: Daily) -> None:
    """Two answers for one day are not silently joined."""
    frame = daily(athletes=1, days=10)
    pd.concat([frame, frame.head(1)]).to_parquet(tmp_path / "daily.parquet")
    with pytest.raises(ConfigError, match="twice"):
        readiness_rows(tmp_path)
