"""Options of `python -m cloud train trajectory` through the command line, on twelve tiny games."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from cloud.__main__ import main  # noqa: E402
from cloud.training.artifacts import read_artifact  # noqa: E402
from cloud.training.export import OnnxModel  # noqa: E402
from cloud.training.trajectory.settings import TrajectorySettings  # noqa: E402
from shared.model_card import ModelCard  # noqa: E402
from tests import tracking_files as files  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(300)]
_CONFIG = """
width: 8
heads: 2
layers: 1
edge_width: 4
edge_values: 2
modes: 2
batch: 4
steps: 6
validate_every: 3
"""


Train = Callable[..., "Said"]


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    code: int | str | None
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The report of a training as JSON."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def card(self) -> ModelCard:
        """The card of the model that was trained."""
        return read_artifact(Path(str(self.report["folder"])))


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return twelve games in which everybody runs in circles: constant velocity is easily beaten."""
    table = files.rows()
    for row in table:
        if row["nflId"] == "NA":
            continue
        angle = 0.15 * row["frameId"] + row["nflId"]
        row["x"], row["y"] = 60.0 + row["nflId"] % 22 + 3 * math.cos(angle), 26.0 + 3 * math.sin(angle)
    return files.big_data_bowl(tmp_path_factory.mktemp("season"), weeks=range(1, 13), tracking=table)


@pytest.fixture
def train(season: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Train:
    """Return a function that runs the command with options and returns what it said."""
    (tmp_path / "small.yaml").write_text(_CONFIG)
    torch.set_num_threads(1)

    def run(*options: object, folder: Path = season) -> Said:
        words = ("--data-dir", folder, "--config", tmp_path / "small.yaml", "--cloud-dir", tmp_path / "cloud")
        given = ["sideline-cloud", "train", "trajectory", "--no-track", *words, *options]
        monkeypatch.setattr(sys, "argv", list(map(str, given)))
        code: int | str | None = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        return Said(code, *capsys.readouterr())

    return run


def test_train_when_every_format_is_asked_for_then_each_lies_beside_the_card(train: Train, tmp_path: Path) -> None:
    """Rule: ONNX, its copy, int8, TorchScript and .pt2 come of one command, with the mixture that was asked for."""
    said = train(
        "--probabilistic", "--export-pt2", "--export-torchscript", "--export-int8", "--export-onnx",
        tmp_path / "new" / "copy.onnx", "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert said.err == ""
    folder = Path(str(said.report["folder"]))
    assert {path.name for path in folder.iterdir()} == {
        "card.json", "model.onnx", "model.int8.onnx", "model.torchscript.pt", "model.pt2",
    }  # fmt: skip
    assert (tmp_path / "new" / "copy.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    outputs = ["offset", "sigma", "modes", "mode_sigma", "mode_logit"]
    for name in ("model.onnx", "model.int8.onnx"):
        assert OnnxModel((folder / name).read_bytes()).outputs == outputs
    inputs = [torch.from_numpy(value.array()) for value in said.card.golden[0].inputs.values()]
    assert len(torch.jit.load(folder / "model.torchscript.pt")(*inputs)) == len(outputs)
    assert said.report["parameters"]["decoder"] == "gmm"


def test_train_when_trials_and_a_learning_rate_are_asked_for_then_the_model_has_theirs(train: Train) -> None:
    """Rule: what was found is what the model is fitted with; whoever waits is told of each look, on stderr alone."""
    said = train("--find-learning-rate", "--tune", 2)
    assert said.code == 0, said.err
    looks = [line for line in said.err.splitlines() if line.startswith("step ")]
    assert [line.split(",")[0] for line in looks] == ["step 3", "step 6"]
    assert all("min: error in shares of the linear forecast's: 1 s " in line for line in looks)
    first, *_ = said.out.splitlines()
    assert first.startswith("trajectory 1.0.0 from trajectory_scenes@files")
    model = OnnxModel((Path(first.rpartition(": ")[2]) / "model.onnx").read_bytes())
    assert json.loads(model.metadata["settings"])["learning_rate"] != TrajectorySettings().learning_rate


def test_train_when_rows_are_bad_then_only_no_validation_keeps_them(train: Train, tmp_path: Path) -> None:
    """Rule: bad rows are told by --validate-data, left out by a training, and in it by --no-validation."""
    table = files.rows()
    table[11]["y"] = 99.0
    bad = files.big_data_bowl(tmp_path / "bad", tracking=table)
    told = train("--validate-data", folder=bad)
    assert told.code == 1
    assert "row 12: range: y_m 90.5256" in told.out
    assert not (tmp_path / "cloud").exists()
    for options, rows in (((), 1839), (("--no-validation",), 1840)):
        assert train(*options, folder=bad).code == 2  # one game is too little to train on; the data set is made
        cards = (tmp_path / "cloud" / "datasets").rglob("card.json")
        assert rows in {json.loads(card.read_text())["rows"] for card in cards}
