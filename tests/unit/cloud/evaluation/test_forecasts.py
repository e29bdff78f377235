import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from cloud.datasets.scenes import MAN, ZONE
from cloud.evaluation import baselines as plain
from cloud.evaluation.artifact import open_artifact
from cloud.evaluation.coverage import coverage_of, man_or_zone
from cloud.evaluation.fitting import split
from cloud.evaluation.forecasts import forecast
from cloud.evaluation.protocols import cases_of, trajectory_windows
from cloud.evaluation.report import MIXTURE, MODEL
from cloud.evaluation.trajectory import Task, measure, pass_task, trajectory_tasks
from shared.errors import ConfigError, ModelIncompatible
from shared.features.base import FeatureSet
from shared.features.field import FIELD_GRAPH
from shared.features.team import TEAM_GRAPH
from tests.unit.cloud.evaluation.made import named, scenes, straight_model, without


@pytest.mark.parametrize("features", [TEAM_GRAPH, FIELD_GRAPH], ids=lambda features: features.set_id)
def test_forecast_when_the_model_goes_straight_on_then_it_is_constant_velocity(
    tmp_path: Path, features: FeatureSet
) -> None:
    """Rule: every case gets its own player's answer, turned back to the field as it was recorded."""
    found = without(scenes(seed=1), 1, 2)
    windows = trajectory_windows(found, 20)
    cases = cases_of(found, windows)
    said = forecast(open_artifact(straight_model(tmp_path / "m.onnx", features)), found, windows, cases)
    assert said.steps == dict(features.outputs)["offset"][0]
    np.testing.assert_allclose(said.offset[:, :20], plain.damped_velocity(cases, 20), atol=1e-3)
    np.testing.assert_allclose(said.sigma[:, 9], 1.0)


def test_tasks_when_a_horizon_is_beyond_the_model_then_it_is_reported_as_such(tmp_path: Path) -> None:
    """Rule: a model is measured at each horizon that it reaches, on that horizon's own windows, and no other."""
    found = scenes(seed=2)
    artifact = open_artifact(straight_model(tmp_path / "m.onnx"))
    parts = split(found, frozenset())
    tasks = list(trajectory_tasks(artifact, parts))
    assert [task.horizon_s if isinstance(task, Task) else task for task in tasks] == [0.5, 1.0, 2.0, 4.0]
    assert tasks[3] == 4.0
    for task in tasks[:3]:
        assert isinstance(task, Task)
        measured = measure(task, parts)
        own, straight = measured.errors[MODEL], measured.errors[plain.CONSTANT_VELOCITY]
        assert (own.ade.value, own.fde.value) == pytest.approx((straight.ade.value, straight.fde.value), rel=1e-3)
        assert measured.skill[plain.CONSTANT_VELOCITY].value == pytest.approx(0.0, abs=1e-3)
        assert measured.forecasts == len(cases_of(found, trajectory_windows(found, round(10 * (task.horizon_s or 0)))))


def test_regions_when_sigma_is_too_small_then_temperature_and_conformal_mend_it(tmp_path: Path) -> None:
    """Rule: stated regions are judged as they are; corrections are fitted on other games."""
    found = scenes(games=40, seed=3)
    parts = split(found, frozenset())
    artifact = open_artifact(straight_model(tmp_path / "m.onnx", sigma_m=0.02))
    task = next(iter(trajectory_tasks(artifact, parts)))
    assert isinstance(task, Task)
    measured = measure(task, parts)
    region = measured.regions["80"]
    assert region.stated.value < 0.5
    assert region.tempered is not None
    assert region.conformal is not None
    assert region.tempered.value == pytest.approx(0.8, abs=0.03)
    assert region.conformal.value == pytest.approx(0.8, abs=0.06)
    assert measured.temperature is not None
    assert measured.temperature > 1.5


def test_paths_when_one_of_six_is_right_then_the_best_of_them_is_measured(tmp_path: Path) -> None:
    """Rule: of a mixture minADE6, minFDE6, its own likelihood and regions are measured beside the one forecast."""
    found = scenes(games=12, seed=9)
    parts = split(found, frozenset())
    paths = straight_model(tmp_path / "m.onnx", FIELD_GRAPH, scale=3.0, factors=(1 / 3, 0.5, 1.0, -1.0), zone_logit=2.0)
    artifact = open_artifact(paths)
    tasks = [task for task in trajectory_tasks(artifact, parts) if isinstance(task, Task)]
    assert [task.horizon_s for task in tasks] == [0.5, 1.0, 2.0, 4.0]
    measured = measure(tasks[1], parts)
    straight, own = measured.errors[plain.CONSTANT_VELOCITY].ade.value, measured.errors[MODEL].ade.value
    assert 0.5 * straight < measured.best_of_6["minADE6"].value <= straight * 1.001 < own
    assert measured.best_of_6["minFDE6"].value <= measured.errors[plain.CONSTANT_VELOCITY].fde.value * 1.001
    assert measured.nll[MIXTURE].value < measured.nll[MODEL].value
    assert measured.mixture_regions["80"].conformal is not None
    assert measured.mixture_regions["80"].conformal.value == pytest.approx(0.8, abs=0.15)
    labelled = dataclasses.replace(found, coverage=np.full(len(found), ZONE, np.int8))
    told = coverage_of(artifact, labelled)
    assert told is not None
    assert (told.accuracy.value, told.ece.value) == (1.0, pytest.approx(1 - 1 / (1 + np.exp(-2.0))))
    assert coverage_of(artifact, found) is None


def test_passes_when_longer_than_the_model_then_left_out_and_counted(tmp_path: Path) -> None:
    """Rule: a pass counts when the model's horizon reaches over all of it."""
    found = scenes(games=12, seed=4)
    found.thrown[:4] = found.first[:4] + 20
    found.arrived[:4] = found.thrown[:4] + np.array([12, 20, 21, 15])
    parts = split(found, frozenset())
    artifact = open_artifact(straight_model(tmp_path / "m.onnx", factors=(0.5, 1.0)))
    measured = measure(pass_task(artifact, parts), parts)
    assert (measured.windows, measured.beyond, measured.forecasts) == (3, 1, 12)
    straight = measured.errors[plain.CONSTANT_VELOCITY]
    assert measured.errors[MODEL].ade.value == pytest.approx(straight.ade.value, rel=1e-3)
    assert measured.best_of_6["minADE6"].value < straight.ade.value * 1.001
    assert np.isfinite([value.value for value in measured.nll.values()]).all()
    with pytest.raises(ConfigError, match="no pass"):
        pass_task(artifact, split(scenes(), frozenset()))


def test_forecast_when_it_is_nan_then_refused(tmp_path: Path) -> None:
    """Rule: NaN is no forecast; which output it is stands in the error."""
    artifact = open_artifact(straight_model(tmp_path / "m.onnx", scale=np.nan))
    found = scenes(seed=5)
    windows = trajectory_windows(found, 5)
    with pytest.raises(ModelIncompatible, match="offset that is NaN"):
        forecast(artifact, found, windows, cases_of(found, windows))
    unsure = open_artifact(straight_model(tmp_path / "u.onnx", sigma_m=-1.0))
    with pytest.raises(ModelIncompatible, match="sigma that is NaN, infinite or below 0"):
        forecast(unsure, found, windows, cases_of(found, windows))


def test_forecast_when_the_model_needs_a_field_and_there_is_none_then_said(tmp_path: Path) -> None:
    """Rule: a model on a known field is not run where nobody states its size."""
    found = scenes(seed=6, field=None)
    windows = trajectory_windows(found, 5)
    with pytest.raises(ModelIncompatible, match="needs the size of the field"):
        forecast(
            open_artifact(straight_model(tmp_path / "m.onnx", FIELD_GRAPH)), found, windows, cases_of(found, windows)
        )


def test_forecast_when_the_model_is_for_another_field_then_said(tmp_path: Path) -> None:
    """Rule: what lies where on one field means nothing on another."""
    found = scenes(seed=6)
    windows = trajectory_windows(found, 5)
    other = named(FIELD_GRAPH, field_m=[105.0, 68.0])
    artifact = open_artifact(straight_model(tmp_path / "m.onnx", FIELD_GRAPH, metadata=other))
    with pytest.raises(ModelIncompatible, match=r"for a field of 105\.0 x 68\.0 m; these recordings are of 109\.7"):
        forecast(artifact, found, windows, cases_of(found, windows))


def test_coverage_when_told_rightly_then_by_moment_and_by_play() -> None:
    """Rule: accuracy, balanced accuracy and ECE at each moment; a play is told by its mean; unknown plays are out."""
    coverage = np.array([MAN] * 2 + [ZONE] * 8 + [-1] * 2, np.int8)
    found = dataclasses.replace(scenes(games=6), coverage=coverage)
    windows = trajectory_windows(found, 1)
    rightly = np.where(coverage == ZONE, 0.9, 0.3)[windows.scene]
    result = man_or_zone(rightly, windows, found)
    assert result is not None
    assert (result.plays, result.accuracy.value, result.play_balanced_accuracy.value) == (10, 1.0, 1.0)
    assert result.majority == 0.8
    assert result.ece.value == pytest.approx(0.8 * 0.1 + 0.2 * 0.3, abs=0.02)
    assert result.ece.low is not None
    assert result.ece.high is not None
    assert result.ece.low < result.ece.value < result.ece.high
    assert {second: value.value for second, value in result.by_second.items()} == dict.fromkeys("1234567", 1.0)
    always = man_or_zone(np.full(len(windows), 0.9), windows, found)
    assert always is not None
    assert (always.play_accuracy.value, always.balanced_accuracy.value) == (0.8, 0.5)
    assert man_or_zone(rightly, windows, scenes(games=6)) is None


def test_artifact_when_it_is_rubbish_then_the_error_says_why(tmp_path: Path) -> None:
    """Rule: no file, no ONNX, no feature set, an unknown one and other outputs each get an error of their own."""
    with pytest.raises(ConfigError, match="cannot be read"):
        open_artifact(tmp_path / "nothing.onnx")
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelIncompatible, match="cannot be loaded"):
        open_artifact(tmp_path / "text.onnx")
    with pytest.raises(ModelIncompatible, match="names no feature set"):
        open_artifact(straight_model(tmp_path / "mute.onnx", metadata={}))
    with pytest.raises(ModelIncompatible, match="crystal_ball@1 is not known"):
        open_artifact(straight_model(tmp_path / "odd.onnx", metadata={"feature_set": "crystal_ball@1"}))
    with pytest.raises(ModelIncompatible, match="has schema"):
        open_artifact(straight_model(tmp_path / "old.onnx", metadata={"feature_set": TEAM_GRAPH.set_id}))
    with pytest.raises(ModelIncompatible, match="not what field_graph@1 promises"):
        open_artifact(straight_model(tmp_path / "other.onnx", TEAM_GRAPH, metadata=named(FIELD_GRAPH)))
    for wrong in ('{"game": 1}', "not json"):
        with pytest.raises(ModelIncompatible, match="training_games"):
            open_artifact(straight_model(tmp_path / "games.onnx", metadata=named(TEAM_GRAPH, training_games=wrong)))


def test_artifact_when_a_card_lies_beside_then_only_that_of_the_very_file_counts(tmp_path: Path) -> None:
    """Rule: a file without metadata is known by a card with its digest, and by no other."""
    shipped = Path(__file__).parents[4] / "deployment" / "models" / "trajectory"
    artifact = open_artifact(shipped / "model.onnx")
    assert (artifact.name, artifact.features) == ("trajectory", TEAM_GRAPH)
    bare = onnx.load(shipped / "model.onnx")
    del bare.metadata_props[:]
    bare.producer_version = "another"
    (tmp_path / "model.onnx").write_bytes(bare.SerializeToString())
    (tmp_path / "card.json").write_bytes((shipped / "card.json").read_bytes())
    with pytest.raises(ModelIncompatible, match="names no feature set"):
        open_artifact(tmp_path / "model.onnx")


def test_artifact_when_it_names_its_games_then_they_are_known(tmp_path: Path) -> None:
    """Rule: the games a model learnt from stand in its metadata, so that nobody measures on them."""
    games = json.dumps(["game1", "game2"])
    artifact = open_artifact(straight_model(tmp_path / "m.onnx", metadata=named(TEAM_GRAPH, training_games=games)))
    assert artifact.training_games == {"game1", "game2"}
