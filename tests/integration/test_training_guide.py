"""The guide "train on your own data": every command in it is run, in its order, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("torch")

from cloud.evaluation.report import MODEL, Report
from cloud.registry.release import open_repository
from cloud.settings import Layout
from shared.clock import SystemClock
from shared.model_card import file_sha256
from shared.release import CHANNEL_TARGET, read_channel
from tests.tools import ROOT

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(900)]
GUIDE = ROOT / "docs" / "train-your-own.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks() -> list[str]:
    """Return the guide's commands, block by block."""
    found = BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    assert {language for language, _ in found} == {"bash"}, "a block that no test runs"
    return [commands for _, commands in found]


def run(commands: str, folder: Path) -> str:
    """Run a block in a folder and return what it printed; the first command that fails ends it."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def test_guide_when_followed_then_models_are_trained_measured_and_released(tmp_path: Path) -> None:
    """Rule: whoever copies the guide's commands gets what it promises."""
    said = [run(commands, tmp_path) for commands in blocks()]
    assert "first" in "".join(said)
    assert "second" in "".join(said)
    assert (tmp_path / "validation.html").read_text().lstrip().lower().startswith("<!doctype html")
    report = msgspec.json.decode((tmp_path / "evaluation.json").read_bytes(), type=Report)
    assert (report.data.known, report.data.groups) == (0, 1)
    assert report.model.sha256 == file_sha256(tmp_path / "model.onnx")
    assert report.basis == "baselines fitted on training games"
    errors = report.horizons[1].errors
    assert errors[MODEL].ade.value < errors["constant_velocity"].ade.value
    pictures = {path.name for path in (tmp_path / "plots").iterdir()}
    assert {"error_by_horizon.png", "regions.png", "plays.png", "predicted_and_measured.png"} <= pictures
    kept = {path.name for path in (tmp_path / "cloud-data").glob("mlartifacts/*/artifacts/plots/*")}
    assert {"error_by_horizon.png", "regions.png", "plays.png"} <= kept
    body = open_repository(Layout(tmp_path / "cloud-data"), SystemClock()).read(CHANNEL_TARGET)
    assert body is not None
    assert read_channel(body).models == {"trajectory": "1.0.0", "effort": "1.0.0"}
    assert (tmp_path / "pitch-1" / "token").exists()
