from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from edge.inference.explain import BACKGROUND, KIND, UNIT, explain
from edge.inference.session import load_model
from shared.errors import ModelIncompatible
from shared.features.athlete import ATHLETE_EFFORT
from shared.features.occlusion import contributions, log_odds, occluded
from shared.model_card import file_sha256
from tests.factories import model_card, onnx_bytes
from tests.tools import ROOT

FEATURES = len(ATHLETE_EFFORT.features)


def folder(path: Path, *, slope: float = 2.0, **about: str) -> Path:
    """Write a linear model whose file holds `about` in its metadata."""
    model = onnx.load_model_from_string(onnx_bytes(slope=slope))
    helper.set_model_props(model, about)
    path.mkdir()
    (path / "model.onnx").write_bytes(model.SerializeToString())
    card = model_card(file_sha256(path / "model.onnx"), slope=slope)
    (path / "card.json").write_bytes(msgspec.json.encode(card))
    return path


def background(rows: int = 3) -> list[list[float | None]]:
    return np.arange(rows * FEATURES, dtype=float).reshape(rows, FEATURES).tolist()


def test_explain_when_the_model_is_linear_then_parts_are_weight_times_distance(tmp_path: Path) -> None:
    """Of a sum of features each one's part is its distance from the background's mean, times the weight."""
    about = {BACKGROUND: msgspec.json.encode(background()).decode(), UNIT: "bpm"}
    model = load_model(folder(tmp_path / "m", **about))
    row = np.linspace(0.0, 50.0, FEATURES).astype(np.float32)
    found = explain(model, row)
    assert found.prediction == pytest.approx(2.0 * row.sum(), rel=1e-5)
    assert found.unit == "bpm"
    expected = 2.0 * (row - np.array(background()).mean(axis=0))
    names = [name for name, _ in ATHLETE_EFFORT.features]
    assert dict(found.parts) == pytest.approx(dict(zip(names, expected.tolist(), strict=True)), abs=1e-3)
    sizes = [abs(part) for _, part in found.parts]
    assert sizes == sorted(sizes, reverse=True)


def test_explain_when_the_answer_is_a_probability_then_parts_are_log_odds(tmp_path: Path) -> None:
    """Probabilities do not add up; their log odds do."""
    about = {BACKGROUND: msgspec.json.encode([[0.0] * FEATURES]).decode(), KIND: "probability"}
    found = explain(load_model(folder(tmp_path / "m", slope=0.01, **about)), np.ones(FEATURES, np.float32))
    assert found.unit == "log odds"
    p, less = 0.01 * FEATURES, 0.01 * (FEATURES - 1)
    expected = np.log(p / (1 - p)) - np.log(less / (1 - less))
    assert [part for _, part in found.parts] == pytest.approx([expected] * FEATURES, abs=1e-4)


@pytest.mark.parametrize(
    ("about", "why"),
    [
        ({}, "brings no background rows"),
        ({BACKGROUND: "[[1.0]]"}, "have shape"),
        ({BACKGROUND: "[]"}, "have shape"),
        ({BACKGROUND: str([[1.0] * FEATURES] * 65)}, "have shape"),  # the models' one thread would be busy for long
        ({BACKGROUND: "[[1.0], [1.0, 2.0]]"}, "cannot be read"),
        ({BACKGROUND: "no json"}, "cannot be read"),
    ],
)
def test_explain_when_background_rows_are_missing_or_broken_then_says_so(
    tmp_path: Path, about: dict[str, str], why: str
) -> None:
    """What a file from elsewhere holds is checked before it is used."""
    with pytest.raises(ModelIncompatible, match=why):
        explain(load_model(folder(tmp_path / "m", **about)), np.ones(FEATURES, np.float32))


def test_explain_when_the_answer_is_no_number_then_says_so(tmp_path: Path) -> None:
    """What is not finite is never shown as a contribution."""
    about = {BACKGROUND: msgspec.json.encode(background()).decode()}
    model = load_model(folder(tmp_path / "m", **about))
    with pytest.raises(ModelIncompatible, match="no finite number"):
        explain(model, np.full(FEATURES, np.nan, np.float32))


def test_explain_when_the_shipped_effort_model_is_asked_then_it_answers_as_on_its_card() -> None:
    """The model that a new cloud starts with brings background rows along, and its unit."""
    model = load_model(ROOT / "deployment" / "models" / "effort")
    (golden,) = model.card.golden
    rows, answers = golden.inputs["features"].array(), golden.outputs["prediction"].array()
    for row, answer in zip(rows, answers[:, 0], strict=True):
        found = explain(model, row)
        assert found.prediction == pytest.approx(float(answer), abs=model.card.golden_tolerance)
        assert found.unit == "bpm"
        assert len(found.parts) == FEATURES


def test_occluded_when_made_then_each_feature_is_replaced_alone() -> None:
    """Row 0 is the row itself; every other row differs from it in one feature, by one background row."""
    row, rows = np.array([1.0, 2.0, 3.0], np.float32), np.array([[10.0, 20.0, 30.0], [11.0, 21.0, 31.0]], np.float32)
    batch = occluded(row, rows)
    assert batch.shape == (7, 3)
    assert batch[1:].tolist() == [[10, 2, 3], [11, 2, 3], [1, 20, 3], [1, 21, 3], [1, 2, 30], [1, 2, 31]]
    assert contributions(batch.sum(axis=1), 2).tolist() == [1 - 10.5, 2 - 20.5, 3 - 30.5]


def test_log_odds_when_probability_is_certain_then_it_stays_a_number() -> None:
    """0 and 1 are held just inside."""
    found = log_odds(np.array([0.0, 0.5, 1.0]))
    assert np.isfinite(found).all()
    assert found[1] == 0.0
    assert found[0] == pytest.approx(-found[2])
