"""Training by the command line with two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.tools import ROOT
from tests.tracking_files import big_data_bowl

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(300)]
_CONFIG = """
inputs: field_graph@1
width: 8
heads: 2
layers: 1
edge_width: 4
edge_values: 2
batch: 4
validate_every: 2
"""


def test_train_when_two_processes_then_one_model_is_written(tmp_path: Path) -> None:
    """By DDP on two CPU processes: each takes batches of its own, one of them exports, and the model is checked."""
    (tmp_path / "small.yaml").write_text(_CONFIG)
    season = big_data_bowl(tmp_path / "season", weeks=range(1, 13))
    words = [
        "train", "trajectory", "--config", str(tmp_path / "small.yaml"), "--data-dir", str(season), "--devices", "2",
        "--max-minutes", "5", "--max-epochs", "1", "--cloud-dir", str(tmp_path / "cloud"), "--no-track", "--json",
        "--weeks", "1-6", "7", "8", "9", "10", "11", "12",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "cloud", *words], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    reports = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    # Straight runs are forecast to the millimetre by any velocity, so that the gate may refuse the model: 0 or 1.
    assert done.returncode in {0, 1}, done.stderr
    assert len(reports) == 1, done.stderr
    assert reports[0]["model"] == "field_trajectory"
    assert reports[0]["parameters"]["steps_taken"] >= 1
    assert [path.name for path in (tmp_path / "cloud" / "models" / "field_trajectory").iterdir()] == ["1.0.0"]
