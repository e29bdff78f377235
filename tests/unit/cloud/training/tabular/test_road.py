from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from cloud.datasets.activity_rows import activity_rows
from cloud.datasets.exertions import Exertion
from cloud.datasets.games import read_games
from cloud.datasets.task_rows import TaskRows, task_card
from cloud.datasets.wellness import injury_rows, readiness_rows
from cloud.registry.release import check_releasable
from cloud.settings import Layout
from cloud.training.artifacts import MODEL_FILE, Artifacts, Trained
from cloud.training.export import OnnxModel
from cloud.training.tabular.activity import ACTIVITY
from cloud.training.tabular.explain import Explanation
from cloud.training.tabular.export import INPUT, OUTPUT
from cloud.training.tabular.injury import INJURY
from cloud.training.tabular.readiness import READINESS
from cloud.training.tabular.road import BACKGROUND_ROWS, EXPLANATION_FILE, train
from cloud.training.tabular.strategy import STRATEGY
from cloud.training.tabular.task import Task
from shared.clock import ManualClock
from shared.errors import ModelIncompatible
from shared.features.registry import feature_set

Daily = Callable[..., pd.DataFrame]
Games = Callable[..., pd.DataFrame]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def trained(task: Task, rows: TaskRows, folder: Path, *, explain: bool = False) -> Trained:
    card = task_card(rows, name=task.name, version="files", query="made up", split="")
    artifacts = Artifacts(Layout(folder))
    return train(task, rows, card, artifacts=artifacts, clock=ManualClock(utc_ns=5), seed=0, explain=explain)


def only(task: Task, candidate: str) -> Task:
    """Return the task with one of its candidates."""
    return replace(task, candidates={candidate: task.candidates[candidate]})


def check(model: Trained) -> None:
    check_releasable(model.card, (model.folder / MODEL_FILE).read_bytes())


def readiness(daily: Daily, folder: Path, **made: float) -> TaskRows:
    daily(**made).to_parquet(folder / "daily.parquet")
    return readiness_rows(folder)


def test_readiness_when_load_decides_then_beats_the_athletes_own_past(daily: Daily, tmp_path: Path) -> None:
    """The model is better than every bar on later days and on athletes it never saw, by more than chance."""
    made = trained(only(READINESS, "gradient_boosting"), readiness(daily, tmp_path), tmp_path)
    metrics, baseline = made.card.metrics, made.card.baseline
    for view in ("", "new."):
        assert metrics[f"{view}mae_points"] < baseline[f"{view}mae_points"]
        assert metrics[f"{view}gain_low"] > 0.0
        bars = {name: baseline[f"{view}{name}_mae_points"] for name in ("last_report", "own_mean", "recent_mean")}
        assert baseline[f"{view}mae_points"] == min(bars.values())
    assert made.card.thresholds == {"residual_sd_points": metrics["residual_sd_points"]}
    check(made)


def test_readiness_when_answers_are_noise_then_refused(daily: Daily, tmp_path: Path) -> None:
    """Where there is nothing to learn beyond an athlete's own mean, nothing is released, and the bars are named."""
    made = trained(only(READINESS, "ridge"), readiness(daily, tmp_path, hard=0.0), tmp_path)
    with pytest.raises(ModelIncompatible, match=r"not better than its baseline on .*mae_points"):
        check(made)


def test_injury_when_reports_are_chance_then_the_gate_says_where_it_fails(daily: Daily, tmp_path: Path) -> None:
    """The model is trained, saved and refused, in words, out of time and out of player."""
    frame = daily(athletes=8, days=160)
    frame.to_parquet(tmp_path / "daily.parquet")
    reports = frame.iloc[np.random.default_rng(2).choice(len(frame), 30, replace=False)]
    reports[["date", "player_id"]].to_csv(tmp_path / "injury_reports_relinked.csv", index=False)
    made = trained(only(INJURY, "logistic"), injury_rows(tmp_path), tmp_path)
    assert (made.folder / MODEL_FILE).exists()
    assert "not to be shown" in made.card.intended_use
    with pytest.raises(ModelIncompatible) as caught:
        check(made)
    assert "on groups it never saw" in caught.value.reason
    assert "95 % interval of the gain" in caught.value.reason


def test_strategy_when_elo_knows_little_then_beats_it_and_explains_itself(league: Games, tmp_path: Path) -> None:
    """Results teach what a poor Elo probability lacks; explanation and background rows come along."""
    league(seasons=30, teams=8, elo_noise=30.0).to_csv(tmp_path / "games.csv", index=False)
    rows = read_games(tmp_path / "games.csv")
    made = trained(only(STRATEGY, "logistic"), rows, tmp_path, explain=True)
    assert made.card.metrics["brier"] < made.card.baseline["elo_brier"]
    assert {"log_loss", "ece"} <= made.card.metrics.keys()
    check(made)
    explanation = msgspec.json.decode((made.folder / EXPLANATION_FILE).read_bytes(), type=Explanation)
    assert explanation.unit == "log odds"
    assert next(iter(explanation.importance)) == next(iter(explanation.mean_shap)) == "points_log_odds"
    about = OnnxModel((made.folder / MODEL_FILE).read_bytes()).metadata
    assert feature_set(about["feature_set"], about["feature_hash"]) is STRATEGY.feature_set
    assert len(msgspec.json.decode(about["background"])) == BACKGROUND_ROWS
    assert int(about["trained_until_ns"]) == rows.time_ns[~rows.held_out].max()


def test_activity_when_a_device_measures_little_then_the_file_still_answers(tmp_path: Path) -> None:
    """Recordings without power or cadence are learnt from, each horizon is measured apart, unknown values pass."""
    rng, runs = np.random.default_rng(3), []
    for athlete in range(5):
        speed = np.repeat(rng.uniform(1.0, 5.0, 10), 60)
        heart = rng.uniform(55, 70) + 20.0 * np.convolve(speed, np.exp(-np.arange(200) / 60.0) / 60.0)[: len(speed)]
        runs.append(
            Exertion(
                athlete=f"a{athlete}", start_ns=0, hr_bpm=heart + rng.normal(0, 0.5, len(heart)),
                movement={"speed": speed},
            )
        )  # fmt: skip
    rows = activity_rows(runs)
    made = trained(only(ACTIVITY, "ridge"), rows, tmp_path)
    for part in ("", "30s.", "60s.", "new."):
        assert made.card.metrics[f"{part}mae_bpm"] < made.card.baseline[f"{part}persistence_mae_bpm"]
    model = OnnxModel((made.folder / MODEL_FILE).read_bytes())
    assert np.isfinite(model.run({INPUT: rows.features[:50]})[OUTPUT]).all()


def test_train_when_every_outcome_is_the_same_then_refuses(daily: Daily, tmp_path: Path) -> None:
    """Without a single report there is nothing to tell apart."""
    daily().to_parquet(tmp_path / "daily.parquet")
    pd.DataFrame({"date": ["2030-01-01"], "player_id": ["p0"]}).to_csv(
        tmp_path / "injury_reports_relinked.csv", index=False
    )
    with pytest.raises(ModelIncompatible, match="same outcome"):
        trained(INJURY, injury_rows(tmp_path), tmp_path)
