"""Man or zone by the road that users take: simulated plays, `train trajectory --coverage`, `evaluate`, small."""

import sys
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("torch")

from cloud.__main__ import main
from cloud.evaluation.report import ManOrZone, Report
from firmware_sim.plays.season import write_season
from shared.model_card import read_card

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(300)]
TINY = "width: 16\nlayers: 1\nheads: 2\nedge_width: 8\nedge_values: 2\nbatch: 32\nsteps: 20\ninputs: field_graph@1\n"


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run the command as the shell does and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["sideline-cloud", *map(str, words)])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Return a configuration that trains in a second."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path / "tiny.yaml"


def test_coverage_when_switched_on_then_the_evaluation_of_the_file_tells_man_from_zone(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: one flag puts the answer into the model; its evaluation has every figure, with intervals over games."""
    learnt, other, model, report = (tmp_path / name for name in ("learnt", "other", "model.onnx", "report.json"))
    write_season(learnt, games=12, plays=2, seed=1)
    write_season(other, games=3, plays=3, seed=2)
    words = ("--config", tiny, "--coverage", "--no-track", "--export-onnx", model, "--cloud-dir", tmp_path / "cloud")
    # So few steps may or may not beat constant velocity, which is what the exit status says.
    assert call(monkeypatch, "train", "trajectory", "--data-dir", learnt, *words) in {0, 1}
    card = read_card(tmp_path / "cloud" / "models" / "field_trajectory" / "1.0.0" / "card.json")
    assert card.outputs == ["offset", "sigma", "coverage_logit"]
    capsys.readouterr()
    words = ("--model", model, "--data", other, "--protocol", "trajectory", "--report", report)
    assert call(monkeypatch, "evaluate", *words) == 0
    assert "man or zone: " in capsys.readouterr().out
    found = msgspec.json.decode(report.read_bytes(), type=Report).man_or_zone
    assert isinstance(found, ManOrZone)
    assert found.plays == 9
    assert {"0", "1", "2"} <= found.by_second.keys()
    for value in (found.accuracy, found.balanced_accuracy, found.ece, found.play_balanced_accuracy):
        assert value.low is not None
        assert value.high is not None
        assert 0.0 <= value.low <= value.high <= 1.0


def test_coverage_when_no_play_states_it_then_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: an answer that nothing can be learnt for is not put into a model."""
    plays = write_unlabelled(tmp_path / "plays")
    words = ("--data-dir", plays, "--config", tiny, "--no-track", "--cloud-dir", tmp_path / "cloud")
    assert call(monkeypatch, "train", "trajectory", *words, "--coverage") == 2
    assert "no play to learn from states man or zone" in capsys.readouterr().err


def write_unlabelled(folder: Path) -> Path:
    """Return plays whose list says nothing of coverage."""
    write_season(folder, games=12, plays=1, seed=3)
    listed = (folder / "plays.csv").read_text()
    (folder / "plays.csv").write_text(listed.replace('"Man"', '""').replace('"Zone"', '""'))
    return folder
