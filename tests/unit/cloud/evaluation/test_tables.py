import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloud.datasets.games import read_games
from cloud.datasets.task_rows import task_digest
from cloud.evaluation.artifact import open_artifact
from cloud.evaluation.report import MODEL
from cloud.evaluation.tables import measurable, scores
from shared.errors import ConfigError, ModelIncompatible
from shared.features.games import GAME_OUTCOME
from shared.features.wellness import WELLNESS
from tests.unit.cloud.evaluation.made import elo_model, named, straight_model


@pytest.fixture
def games(league: Callable[..., pd.DataFrame], tmp_path: Path) -> Path:
    """Return 24 seasons of results."""
    league(seasons=24, teams=8, weeks=10).to_csv(tmp_path / "games.csv", index=False)
    return tmp_path / "games.csv"


def test_outcome_when_the_model_is_the_bar_then_no_gain(games: Path, tmp_path: Path) -> None:
    """Rule: scores of model and bars stand side by side, with the gain between them on the same draws."""
    found = measurable(open_artifact(elo_model(tmp_path / "m.onnx")), "outcome", games)
    result = scores(found)
    rows = read_games(games)
    assert result.rows == len(rows)
    assert result.scores["elo"]["brier"].value == pytest.approx(np.mean((rows.bars["elo"] - rows.target) ** 2))
    assert result.scores[MODEL]["brier"].value == pytest.approx(result.scores["elo"]["brier"].value, abs=1e-6)
    gain = result.gain["elo"]
    assert gain.value == pytest.approx(0.0, abs=1e-6)
    assert sum(part.rows for part in result.reliability) == result.rows
    assert found.which == "all rows of a data set it was not trained on"


def test_outcome_when_the_model_learnt_from_this_data_then_only_held_out_rows_count(
    games: Path, tmp_path: Path
) -> None:
    """Rule: on its own data set a model is measured on what was held out, on a longer one on what is later."""
    rows = read_games(games)
    own = elo_model(tmp_path / "own.onnx", metadata=named(GAME_OUTCOME, data_digest=task_digest(rows)))
    assert len(measurable(open_artifact(own), "outcome", games).rows) == int(rows.held_out.sum())
    middle = int(np.median(rows.time_ns))
    later = elo_model(tmp_path / "later.onnx", metadata=named(GAME_OUTCOME, trained_until_ns=str(middle)))
    found = measurable(open_artifact(later), "outcome", games)
    assert found.rows.time_ns.min() > middle
    assert found.known == len(np.unique(rows.group)) - len(np.unique(found.rows.group)) > 0


def test_tables_when_the_model_is_another_protocols_then_refused(games: Path, tmp_path: Path) -> None:
    """Rule: the error names what the protocol takes; a file that lacks columns is named by the reader."""
    model = open_artifact(elo_model(tmp_path / "m.onnx"))
    with pytest.raises(ModelIncompatible, match=f"readiness takes models of {WELLNESS.set_id}"):
        measurable(model, "readiness", games)
    with pytest.raises(ModelIncompatible, match="not of team_graph@1"):
        measurable(open_artifact(straight_model(tmp_path / "t.onnx")), "effort", games)
    other = tmp_path / "other.csv"
    other.write_text(json.dumps({"not": "games"}))
    with pytest.raises(ConfigError, match=r"other\.csv"):
        measurable(model, "outcome", other)
    until = elo_model(tmp_path / "bad.onnx", metadata=named(GAME_OUTCOME, trained_until_ns="yesterday"))
    with pytest.raises(ModelIncompatible, match="'yesterday' is no whole number"):
        open_artifact(until)
