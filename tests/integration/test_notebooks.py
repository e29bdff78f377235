"""The notebooks, run from first to last cell on an example cloud folder; and how they are kept."""

import os
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pyarrow as pa
import pytest
from nbclient import NotebookClient
from rich.console import Console
from traitlets.config import Config

from cloud.datasets.positions import read_recordings
from cloud.datasets.recorded_scenes import scenes_from_table
from cloud.notebooks.example import make_example
from cloud.notebooks.lake import open_lake
from cloud.pipeline.tables import TABLES
from cloud.settings import Layout
from cloud.training.tracker import ExperimentTracker
from firmware_sim.export import export_positions
from firmware_sim.squad import SimulatedSession
from shared.clock import SystemClock
from shared.errors import ConfigError
from shared.features.team import TEAM_GRAPH
from tests.tools import ROOT
from tests.unit.cloud.evaluation.made import named, straight_model

NOTEBOOKS = ROOT / "cloud" / "notebooks"
NAMES = ("exploration", "evaluation", "load_and_readiness")
WEEKS = 6
CLAIMS = re.compile(r"\b(risk|injur|diagnos|predict|safe\b|fit to play|because|caus|due to)", re.IGNORECASE)
"""What no word on load and readiness may say: nothing of bodies' futures, nothing of causes."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Return a cloud folder with six weeks of a squad of four, and one model in its tracker."""
    folder = tmp_path_factory.mktemp("notebooks")
    session = SimulatedSession(athletes=4, seed=7)
    export_positions(session, folder / "squad.parquet", seconds=100, name="sim-7", console=Console(quiet=True))
    layout = Layout(folder / "cloud")
    (recording,) = read_recordings(folder / "squad.parquet")
    assert make_example(layout, SystemClock(), recording, session.roster, weeks=WEEKS, seed=7) == 3 * WEEKS
    scenes = scenes_from_table(layout)
    with ExperimentTracker(layout) as tracker:
        tracker.start_run("straight", {"data_set": "example"})
        tracker.log_metrics({"ade_1s_m": 0.5})
        model = straight_model(
            folder / "model.onnx", metadata=named(TEAM_GRAPH, training_games=scenes.game.tolist()[:6])
        )
        assert tracker.save_model(model.read_bytes(), "trajectory") is not None
    return layout


@pytest.fixture(scope="module")
def run(example: Layout) -> Callable[[str], nbformat.NotebookNode]:
    """Return what runs a notebook on the example, once."""
    return cache(lambda name: executed(name, example.root))


@pytest.mark.parametrize("name", NAMES)
def test_notebook_when_run_on_the_example_then_every_cell_answers(
    name: str, run: Callable[[str], nbformat.NotebookNode]
) -> None:
    """Rule: whoever opens a notebook on a cloud folder sees tables and pictures, and no error."""
    notebook = run(name)
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(pictures) == {"exploration": 4, "evaluation": 3, "load_and_readiness": 4}[name]
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]


def test_evaluation_when_run_then_sessions_that_the_model_learnt_from_are_left_out(
    run: Callable[[str], nbformat.NotebookNode],
) -> None:
    """Rule: nothing is measured on what a model learnt from; the tracker's runs are listed."""
    said = text(run("evaluation"))
    assert f"measured on {3 * WEEKS - 6} games, baselines fitted on training games" in said
    assert "straight" in said
    assert "constant_velocity" in said


def test_load_when_run_then_each_athlete_is_beside_their_own_past_in_the_agreed_words(
    run: Callable[[str], nbformat.NotebookNode],
) -> None:
    """Rule: what, beside what, how sure; no claims about bodies or causes."""
    said = text(run("load_and_readiness"))
    assert re.search(r"High-speed running \S+ m this week, (above|within|below) their usual", said)
    assert "Not a medical assessment." in said
    assert re.search(r"a01: reported \d+, own mean", said)
    assert CLAIMS.search(said) is None


def test_load_when_there_are_no_reports_then_says_so(example: Layout) -> None:
    """Rule: reports are optional; where there are none, nothing is said of readiness."""
    said = text(executed("load_and_readiness", example.root, SIDELINE_REPORTS=str(example.root / "none.parquet")))
    assert "none.parquet: data too sparse to say" in said
    assert "own mean" not in said


@pytest.mark.parametrize("name", NAMES)
def test_notebook_when_kept_then_without_outputs_and_with_its_parameters_first(name: str) -> None:
    """Rule: a notebook in the repository differs only where somebody wrote, and says where it reads from."""
    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert code[0].metadata.tags == ["parameters"]
    assert "SIDELINE_CLOUD_DIR" in code[0].source
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(NAMES)


def test_load_when_read_then_its_words_claim_nothing(example: Layout) -> None:
    """Rule: the same words in the notebook's own text, before anything is run."""
    notebook = nbformat.read(NOTEBOOKS / "load_and_readiness.ipynb", nbformat.NO_CONVERT)
    assert CLAIMS.search("\n".join(cell.source for cell in notebook.cells)) is None


def test_lake_when_opened_then_every_table_is_there_as_it_is(example: Layout) -> None:
    """Rule: one view a table, with the table's own rows."""
    with open_lake(example) as lake:
        assert {
            row[0] for row in lake.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        } >= set(TABLES)
        [(sessions,)] = lake.sql("SELECT count(*) FROM sessions").fetchall()
        last: pa.Table = lake.sql(
            "SELECT * FROM readings_position WHERE athlete = 'a01' ORDER BY time_ns"
        ).to_arrow_table()
    assert sessions == 3 * WEEKS
    assert np.all(np.diff(last["time_ns"].to_numpy()) > 0)


def test_lake_when_the_pipeline_never_ran_then_says_so(tmp_path: Path) -> None:
    """Rule: an empty folder is named with what to do."""
    with pytest.raises(ConfigError, match="no tables yet"):
        open_lake(Layout(tmp_path))


def executed(name: str, cloud_dir: Path, **more: str) -> nbformat.NotebookNode:
    """Run a notebook in a kernel of its own, which ends with it."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", nbformat.NO_CONVERT)
    quiet = Config({"KernelManager": {"transport": "ipc"}})
    client = NotebookClient(notebook, kernel_name="python3", timeout=120, config=quiet)
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT), "SIDELINE_CLOUD_DIR": str(cloud_dir), **more})
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> Iterator[dict[str, Any]]:
    """Yield what the cells answered, in order."""
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def text(notebook: nbformat.NotebookNode) -> str:
    """Return all text that the cells answered."""
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs(notebook))
