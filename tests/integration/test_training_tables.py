"""Models on tables through the command line: from a file to a model, or to a refusal in words."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cloud.__main__ import build
from cloud.datasets.games import read_games
from cloud.datasets.wellness import readiness_rows
from cloud.evaluation.tabular import brier, log_loss
from cloud.training.artifacts import read_artifact
from shared.errors import ConfigError, ModelIncompatible
from shared.features.wellness import ANSWERS
from tests.tools import OPEN_DATA, missing


def run(*words: object) -> str:
    """Run a command and return what it printed."""
    result = CliRunner().invoke(build(), [str(word) for word in words], catch_exceptions=False)
    return result.stdout


@pytest.fixture
def squad(tmp_path: Path) -> Path:
    """Return a folder with a squad's reports, which follow the load of the day before, and chance injuries."""
    rng, parts = np.random.default_rng(7), []
    days = pd.date_range("2022-01-01", periods=120)
    for athlete in range(6):
        load = rng.choice([0.0, 300.0, 600.0], len(days))
        table = {name: np.clip(np.round(3 + rng.normal(0, 0.7, len(days))), 1, 5) for name in ANSWERS}
        tired = np.concatenate([[0.0], load[:-1]]) / 300.0
        table["readiness"] = np.clip(rng.uniform(6, 8) - tired + rng.normal(0, 0.4, len(days)), 1, 10)
        parts.append(pd.DataFrame({"date": days, "player_id": f"p{athlete}", "team": "A", "daily_load": load, **table}))
    frame = pd.concat(parts)
    frame.to_parquet(tmp_path / "daily.parquet")
    hurt = frame.iloc[rng.choice(len(frame), 25, replace=False)][["date", "player_id"]]
    hurt.to_csv(tmp_path / "injury_reports_relinked.csv", index=False)
    return tmp_path


def test_train_readiness_when_load_decides_then_the_model_lies_ready(squad: Path, tmp_path: Path) -> None:
    """The command prints the model's metrics beside those of the bars, and keeps model and card."""
    where = tmp_path / "cloud"
    found = json.loads(
        run("train", "readiness", "--data", squad, "--no-track", "--no-explain", "--cloud-dir", where, "--json")
    )
    assert found["metrics"]["mae_points"] < found["baseline"]["last_report_mae_points"]
    assert found["metrics"]["new.gain_low"] > 0
    card = read_artifact(Path(found["folder"]))
    assert (card.name, card.version, card.data_digest) == ("readiness", "1.0.0", found["data_digest"])
    assert "Not a medical assessment" in card.intended_use
    events = [json.loads(line) for line in (where / "lineage" / "events.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    assert events[-1]["inputs"][0]["name"] == str(squad)
    assert found["data_digest"] in json.dumps(events[-1]["outputs"])


def test_train_injury_when_reports_are_chance_then_refused_in_words(squad: Path, tmp_path: Path) -> None:
    """The gate says out of which view the model failed; nothing is released."""
    with pytest.raises(ModelIncompatible, match=r"injury 1\.0\.0 is not better than its baseline"):
        run("train", "injury", "--data", squad, "--no-track", "--cloud-dir", tmp_path / "cloud")


def test_train_strategy_when_the_file_is_no_table_of_games_then_says_what_it_lacks(tmp_path: Path) -> None:
    """A wrong file is named with the columns it lacks."""
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=r"other\.csv.*elo_prob1"):
        run("train", "strategy", "--data", tmp_path / "other.csv", "--no-track", "--cloud-dir", tmp_path / "cloud")


def test_games_when_real_then_the_bar_is_the_published_one() -> None:
    """Since 1970 the Elo probability of NFL games has a Brier score of 0.216 and a log loss of 0.624."""
    path = OPEN_DATA / "nfl_elo_games" / "nfl_games.csv"
    if not path.exists():
        missing(str(path))
    rows = read_games(path)
    since = rows.where(rows.group.astype(int) >= 1970)
    assert brier(since.bars["elo"], since.target) == pytest.approx(0.216, abs=5e-4)
    assert log_loss(since.bars["elo"], since.target) == pytest.approx(0.624, abs=5e-4)


def test_readiness_when_real_then_every_report_with_a_past_is_a_row() -> None:
    """Of 20 athletes' 8,143 reports those with five before them are rows."""
    folder = OPEN_DATA / "soccermon"
    if not folder.exists():
        missing(str(folder))
    rows = readiness_rows(folder)
    assert len(rows) == 8043
    assert len(np.unique(rows.group)) == 20
    assert np.isfinite(rows.feature("last_readiness")).all()


def test_train_effort_when_data_are_actigraphs_then_trains_the_model_of_activities(tmp_path: Path) -> None:
    """Folders of activities go to the model of activities; the feature set of gateways stays theirs alone."""
    rng = np.random.default_rng(5)
    for athlete in range(5):
        counts = np.repeat(rng.choice([0.0, 150.0, 300.0], 8), 60)
        heart = 60.0 + 0.2 * np.convolve(counts, np.exp(-np.arange(120) / 40.0) / 40.0)[: len(counts)]
        clock = pd.Timestamp("2020-01-01 10:00:00") + pd.to_timedelta(np.arange(len(counts)), unit="s")
        folder = tmp_path / "days" / f"user_{athlete:02d}"
        folder.mkdir(parents=True)
        pd.DataFrame(
            {
                "Vector Magnitude": counts, "Steps": (counts > 0).astype(int), "day": 1, "time": clock.strftime("%X"),
                "HR": heart + rng.normal(0.0, 0.3, len(heart)),
            }
        ).to_parquet(folder / "Actigraph.parquet")  # fmt: skip
    words = ("train", "effort", "--data", tmp_path / "days", "--no-track", "--cloud-dir", tmp_path / "cloud", "--json")
    found = json.loads(run(*words))
    assert found["model"] == "activity_effort"
    for horizon in (30, 60):
        assert found["metrics"][f"{horizon}s.mae_bpm"] < found["baseline"][f"{horizon}s.persistence_mae_bpm"]
