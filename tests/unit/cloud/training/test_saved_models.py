"""Folders of saved models: named by the time, whole or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest

from cloud.training.tracking.saved_models import Model, write_model
from shared.clock import NS_PER_S
from shared.errors import ConfigError, StoreError
from tests.factories import onnx_bytes
from tests.factories import write_model as write_effort

TIME_NS = 1_790_000_000 * NS_PER_S + 7_000_000


def saved(folder: Path, model: Model, **given: Any) -> Path:
    values: dict[str, Any] = {"run_id": "r1", "run_name": "effort", "tags": {"seed": "1"}, "parameters": {"rows": "5"}}
    values |= {"time_ns": TIME_NS, "metrics": {"mae_bpm": 3.0, "loss": float("nan")}}
    return write_model(folder, model, given.pop("name", "effort"), **(values | given))[0]


def test_model_when_saved_then_folder_says_what_made_it_and_how_good_it_is(tmp_path: Path) -> None:
    """The version is the time; model_info.json and performance_metrics.json lie beside model and card."""
    source = write_effort(tmp_path / "source")
    folder = saved(tmp_path / "models", source)
    assert folder == tmp_path / "models" / "effort" / "20260921T141320007Z"
    found = json.loads((folder / "model_info.json").read_text(encoding="utf-8"))
    assert (found["version"], found["run_id"], found["tags"]) == (folder.name, "r1", {"seed": "1"})
    assert found["files"].keys() == {"model.onnx", "card.json"}
    card = json.loads((source / "card.json").read_text(encoding="utf-8"))
    assert found["files"][found["model_file"]]["sha256"] == card["sha256"]
    performance = json.loads((folder / "performance_metrics.json").read_text(encoding="utf-8"))
    assert performance["metrics"] == {"mae_bpm": 3.0, "loss": None}


def test_model_when_saved_twice_in_a_millisecond_then_both_are_kept(tmp_path: Path) -> None:
    """The second takes the next millisecond."""
    versions = [saved(tmp_path, onnx_bytes(slope=slope)).name for slope in (1.0, 2.0)]
    assert versions == ["20260921T141320007Z", "20260921T141320008Z"]


def test_model_when_it_is_one_file_or_bytes_then_it_is_kept(tmp_path: Path) -> None:
    """A checkpoint keeps its name; an ONNX model in memory becomes model.onnx."""
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes(b"weights")
    assert (saved(tmp_path / "models", checkpoint) / "last.ckpt").read_bytes() == b"weights"
    assert (saved(tmp_path / "models", b"onnx") / "model.onnx").read_bytes() == b"onnx"


@pytest.mark.parametrize("name", ["", "../effort", ".hidden", "a/b", "x" * 65])
def test_model_when_name_could_leave_the_folder_then_it_is_refused(tmp_path: Path, name: str) -> None:
    """A name is one part of a path."""
    with pytest.raises(ConfigError, match="is not a model name"):
        saved(tmp_path / "models", b"onnx", name=name)


def test_model_when_it_cannot_be_saved_then_nothing_is_left(tmp_path: Path) -> None:
    """No half folder stands for a model that is not there, or that the disk did not take."""
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "absent", tmp_path / "empty"):
        with pytest.raises(ConfigError, match=r"no model|no file"):
            saved(tmp_path / "models", nothing)
    assert list((tmp_path / "models" / "effort").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be saved"):
        saved(tmp_path / "file", b"onnx")
