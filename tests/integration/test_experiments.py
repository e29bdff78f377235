"""Runs of trainings in a real MLflow database, TensorBoard's files and Weights & Biases, and the commands on them."""

import asyncio
import json
import math
import os
import shutil
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import httpx
import psutil
import pytest
import structlog
from typer.testing import CliRunner

from cloud.__main__ import build
from cloud.registry.release import Released
from cloud.registry.store import RELEASED, mark_released
from cloud.settings import Layout, load_settings
from cloud.training.tracker import ExperimentTracker
from cloud.training.tracking.mlflow_database import CANDIDATE, EXPERIMENT, SAVED_TAG, open_client
from cloud.training.tracking.pages import command, environment
from shared.clock import ManualClock
from shared.errors import ConfigError, StoreError
from shared.model_card import file_sha256
from tests.factories import write_model
from tests.tools import BOUND_S, ROOT, until


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's empty database, which takes seconds to make."""
    layout = Layout(tmp_path_factory.mktemp("mlflow"))
    open_client(layout)
    return layout.mlflow_database


@pytest.fixture
def layout(database: Path, tmp_path: Path) -> Layout:
    """A cloud whose MLflow is ready."""
    layout = Layout(tmp_path / "cloud")
    layout.root.mkdir()
    shutil.copyfile(database, layout.mlflow_database)
    return layout


def put_away(layout: Layout) -> Path:
    """Put a folder where the database was, so that nobody can open it; return where the database is."""
    away = layout.root / "away.sqlite"
    layout.mlflow_database.rename(away)
    layout.mlflow_database.mkdir()
    return away


def put_back(layout: Layout, away: Path) -> None:
    layout.mlflow_database.rmdir()
    away.rename(layout.mlflow_database)


def train(tracker: ExperimentTracker, *, mae_bpm: float = 3.0, name: str = "effort", failed: bool = False) -> str:
    run_id = tracker.start_run(name, {"data_set": "effort@3", "data_digest": "d", "feature_hash": "f", "seed": "1"})
    tracker.log_parameters({"rows": 5, "trees": mae_bpm})
    tracker.log_metrics({"mae_bpm": mae_bpm, "baseline.mae_bpm": 9.0})
    tracker.end_run(failed=failed)
    return run_id


def run_command(layout: Layout, *words: str) -> str:
    result = CliRunner().invoke(
        build(), ["experiments", *words, "--cloud-dir", str(layout.root)], catch_exceptions=False
    )
    return result.stdout


def test_tracker_when_run_ends_then_holds_data_code_and_candidate(layout: Layout, tmp_path: Path) -> None:
    """A run names its data, features, seed, code and libraries; its model is saved, registered, and the candidate."""
    model = write_model(tmp_path / "model")
    with ExperimentTracker(layout, ManualClock()) as tracker:
        run_id = tracker.start_run("effort", {"data_set": "effort@3", "data_digest": "d"})
        tracker.log_parameters({"rows": 5})
        tracker.log_metrics({"mae_bpm": 3.0})
        tracker.log_artifact(model / "card.json")
        tracker.log_artifact(tmp_path / "absent.png")
        folder = tracker.save_model(model, "effort")
    assert folder is not None
    assert {"model.onnx", "model_info.json", "performance_metrics.json"} <= {path.name for path in folder.iterdir()}
    client = open_client(layout)
    run = client.get_run(run_id)
    assert client.get_experiment(run.info.experiment_id).name == EXPERIMENT
    assert (run.info.status, run.data.metrics, run.data.params) == ("FINISHED", {"mae_bpm": 3.0}, {"rows": "5"})
    assert run.data.tags.items() >= {"data_set": "effort@3", "seed": "unknown", "feature_hash": "unknown"}.items()
    assert {"data_digest", "code_version", "package.numpy", "package.python"} <= run.data.tags.keys()
    assert {one.path for one in client.list_artifacts(run_id)} == {"card.json", "model"}
    candidate = client.get_model_version_by_alias("effort", CANDIDATE)
    assert (candidate.run_id, candidate.tags[SAVED_TAG]) == (run_id, folder.name)
    assert mark_released(layout, released(sha256=file_sha256(model / "model.onnx"))) == str(candidate.version)
    assert client.get_model_version_by_alias("effort", RELEASED).tags["released_as"] == "1.0.0"
    assert mark_released(layout, released(sha256="0" * 64)) is None


def released(*, sha256: str) -> Released:
    return Released(
        model="effort", version="1.0.0", previous=None, sha256=sha256, targets_version=2, released_ns=0, changed=True
    )


def test_registry_when_there_is_none_then_release_goes_on(tmp_path: Path) -> None:
    """The signed channel is what counts; without a registry, or with a broken one, nothing is raised."""
    assert mark_released(Layout(tmp_path), released(sha256="0" * 64)) is None
    Layout(tmp_path).mlflow_database.write_bytes(b"no database, but long enough to be looked at" * 50)
    with structlog.testing.capture_logs() as logs:
        assert mark_released(Layout(tmp_path), released(sha256="0" * 64)) is None
    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_tracker_when_mlflow_is_away_then_next_run_brings_what_was_spooled(layout: Layout, tmp_path: Path) -> None:
    """Training goes on with one warning; the next run that reaches MLflow replays the spool, nothing twice."""
    away, model, clock = put_away(layout), write_model(tmp_path / "model"), ManualClock()
    with structlog.testing.capture_logs() as logs, ExperimentTracker(layout, clock) as tracker:
        key = tracker.start_run("effort", {"data_set": "effort@3"})
        tracker.log_metrics({"mae_bpm": 3.0, "loss": math.nan})
        tracker.log_artifact(model / "card.json")
        folder = tracker.save_model(model, "effort")
    assert folder is not None
    assert [entry["log_level"] for entry in logs if entry["log_level"] != "debug"] == ["warning"]
    put_back(layout, away)
    shutil.rmtree(model)
    clock.advance(60.0)
    train(ExperimentTracker(layout, clock))
    client = open_client(layout)
    runs = ExperimentTracker(layout).list_runs()
    assert [(run.name, run.status) for run in runs] == [("effort", "FINISHED")] * 2
    spooled = runs[1]
    assert (spooled.key, spooled.metrics["mae_bpm"], math.isnan(spooled.metrics["loss"])) == (key, 3.0, True)
    assert [one.path for one in client.list_artifacts(spooled.run_id)] == ["card.json", "model"]
    assert client.get_model_version_by_alias("effort", CANDIDATE).tags[SAVED_TAG] == folder.name
    assert len(client.get_metric_history(spooled.run_id, "mae_bpm")) == 1
    assert json.loads(run_command(layout, "replay", "--json")) == {"runs": 0, "left": 0, "refused": 0}


def test_replay_when_asked_again_for_a_copied_spool_then_nothing_is_there_twice(layout: Layout, tmp_path: Path) -> None:
    """A spool file that comes back (a restored backup, a crash before its deletion) changes nothing in MLflow."""
    away, model = put_away(layout), write_model(tmp_path / "model")
    with ExperimentTracker(layout, ManualClock()) as tracker:
        tracker.start_run("effort", {})
        tracker.log_parameters({"rows": 5})
        tracker.log_metrics({"mae_bpm": 3.0})
        tracker.save_model(model, "effort")
    put_back(layout, away)
    shutil.copytree(layout.experiments / "spool", tmp_path / "copy")
    for _ in range(2):
        assert json.loads(run_command(layout, "replay", "--json"))["runs"] == 1
        shutil.copytree(tmp_path / "copy", layout.experiments / "spool", dirs_exist_ok=True)
    client = open_client(layout)
    (run,) = ExperimentTracker(layout).list_runs()
    assert len(client.get_metric_history(run.run_id, "mae_bpm")) == 1
    assert len(client.search_model_versions("name = 'effort'")) == 1


def test_tracker_when_nothing_can_be_written_then_training_goes_on(tmp_path: Path) -> None:
    """No database, no spool, no event file: warnings, and never an error."""
    layout = Layout(tmp_path / "cloud")
    layout.root.mkdir()
    layout.mlflow_database.mkdir()
    layout.experiments.write_text("in the way", encoding="utf-8")
    with structlog.testing.capture_logs() as logs, ExperimentTracker(layout, ManualClock()) as tracker:
        assert tracker.start_run("effort", {})
        tracker.log_metrics({"mae_bpm": 3.0})
        tracker.log_artifact(layout.experiments)
        assert tracker.save_model(b"onnx", "effort") is None
        assert tracker.list_runs() == []
        assert tracker.best_run("mae_bpm") is None
        assert tracker.compare_runs(["one"]).runs == []
    assert {entry["log_level"] for entry in logs} == {"warning", "debug"}


def test_tracker_when_error_leaves_the_block_then_run_has_failed(layout: Layout) -> None:
    """The context ends the open run; a run that is started while one is open ends that one."""
    tracker = ExperimentTracker(layout, ManualClock())

    def training() -> None:
        with tracker:
            tracker.start_run("first", {})
            tracker.start_run("second", {})
            raise StoreError("training broke")

    with pytest.raises(StoreError, match="training broke"):
        training()
    assert {run.name: run.status for run in tracker.list_runs()} == {"first": "FINISHED", "second": "FAILED"}


def test_tracker_when_no_run_is_open_then_nothing_is_recorded(layout: Layout) -> None:
    """A training without tracking makes the same calls."""
    with ExperimentTracker(layout, ManualClock()) as tracker:
        tracker.log_metrics({"mae_bpm": 3.0})
        assert tracker.save_model(b"onnx", "effort") is None
    assert tracker.list_runs() == []
    assert not layout.experiments.exists()


def test_runs_when_asked_about_then_best_and_differences_are_named(layout: Layout) -> None:
    """Best is the lowest number of a finished run; compared are all metrics and what differs otherwise."""
    clock = ManualClock()
    tracker = ExperimentTracker(layout, clock)
    ids = []
    for mae_bpm, failed in ((4.0, False), (2.0, True), (3.0, False), (math.nan, False)):
        ids.append(train(tracker, mae_bpm=mae_bpm, failed=failed))
        clock.advance(1.0)
    best, worst = tracker.best_run("mae_bpm"), tracker.best_run("mae_bpm", highest=True)
    assert best is not None
    assert worst is not None
    assert (best.run_id, worst.run_id) == (ids[2], ids[0])
    assert tracker.best_run("mae_bpm", name="trajectory") is None
    found = tracker.compare_runs([ids[0], ids[2][:12]])
    assert found.metrics == {"mae_bpm": [4.0, 3.0], "baseline.mae_bpm": [9.0, 9.0]}
    assert (found.parameters, found.tags) == ({"trees": ["4.0", "3.0"]}, {})
    with pytest.raises(ConfigError, match="is no run here"):
        tracker.compare_runs(["nothing"])


def test_commands_when_asked_then_people_get_tables_and_machines_json(layout: Layout) -> None:
    """list, show, compare and best say the same in both forms."""
    clock = ManualClock()
    tracker = ExperimentTracker(layout, clock)
    assert "no runs" in run_command(layout, "list")
    ids = []
    for mae_bpm in (4.0, 3.0):
        ids.append(train(tracker, mae_bpm=mae_bpm))
        clock.advance(1.0)
    listed = run_command(layout, "list")
    assert [line.split()[0] for line in listed.splitlines()[1:]] == [ids[1][:8], ids[0][:8]]
    assert "mae_bpm" in listed
    assert [run["run_id"] for run in json.loads(run_command(layout, "list", "--json"))["runs"]] == ids[::-1]
    assert json.loads(run_command(layout, "best", "mae_bpm", "--json"))["run_id"] == ids[1]
    assert "effort@3" in run_command(layout, "show", ids[0][:8])
    assert json.loads(run_command(layout, "compare", *ids, "--json"))["parameters"] == {"trees": ["4.0", "3.0"]}
    assert "trees" in run_command(layout, "compare", *ids)
    with pytest.raises(ConfigError, match="no finished run has 'speed'"):
        run_command(layout, "best", "speed")


def test_event_files_when_run_is_recorded_then_tensorboard_reads_its_steps(layout: Layout) -> None:
    """Scalars by step, and tags and parameters as text, lie beside MLflow also while it is away."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    put_away(layout)
    with ExperimentTracker(layout, ManualClock()) as tracker:
        tracker.start_run("effort", {"data_set": "effort@3"})
        tracker.log_parameters({"rows": 5})
        for step in range(3):
            tracker.log_metrics({"loss": 1.0 / (step + 1)}, step=step)
    (folder,) = (layout.experiments / "tensorboard").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    assert [(one.step, round(one.value, 3)) for one in events.Scalars("loss")] == [(0, 1.0), (1, 0.5), (2, 0.333)]
    (tags,) = events.Tensors("tags")
    assert b"effort@3" in tags.tensor_proto.string_val[0]


WANDB_RUN = """
import sys
from pathlib import Path
from cloud.settings import Layout, TrackingSettings
from cloud.training.tracker import ExperimentTracker
layout = Layout(Path(sys.argv[1]), TrackingSettings(wandb=sys.argv[2]))
layout.mlflow_database.mkdir(parents=True)  # MLflow stays away: this is not about it
with ExperimentTracker(layout) as tracker:
    tracker.start_run("effort", {"data_set": "effort@3"})
    tracker.log_parameters({"rows": 5})
    for step in (5, 0):
        tracker.log_metrics({"loss": 0.25 * step}, step=step)
    assert tracker.save_model(b"onnx", "effort")
print("wandb" in sys.modules)
"""


@pytest.mark.parametrize(("mode", "imported"), [("offline", "True"), ("off", "False")])
def test_wandb_when_set_then_run_is_kept_offline_and_otherwise_never_imported(
    tmp_path: Path, mode: str, imported: str
) -> None:
    """Offline leaves a run for `wandb sync`, without a network; switched off, the library is not even loaded."""
    done = subprocess.run(
        [sys.executable, "-c", WANDB_RUN, str(tmp_path), mode],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "WANDB_API_KEY": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == imported
    assert "does not record" not in done.stdout + done.stderr
    runs = list(tmp_path.glob("experiments/wandb/wandb/offline-run-*/run-*.wandb"))
    assert [path.stat().st_size > 0 for path in runs] == ([True] if mode == "offline" else [])
    if mode == "offline":
        written = runs[0].read_bytes()
        assert all(word in written for word in (b"effort@3", b"loss", b"rows"))


def test_settings_when_wandb_is_set_then_every_tracker_of_that_cloud_knows(tmp_path: Path) -> None:
    """The setting travels with the cloud's folder, which every training is given."""
    path = tmp_path / "cloud.toml"
    path.write_text('[tracking]\nwandb = "offline"\nwandb_project = "squad"\n', encoding="utf-8")
    for folder in (None, tmp_path / "elsewhere"):
        _, layout = load_settings(path, folder)
        assert (layout.tracking.wandb, layout.tracking.wandb_project) == ("offline", "squad")


def test_settings_when_wandb_mode_is_unknown_then_file_and_key_are_named(tmp_path: Path) -> None:
    """A wrong word is found before anything is trained."""
    path = tmp_path / "cloud.toml"
    path.write_text('[tracking]\nwandb = "sometimes"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"cloud\.toml.*tracking"):
        CliRunner().invoke(build(), ["experiments", "list", "--settings", str(path)], catch_exceptions=False)


def test_pages_when_started_then_only_this_machine_reaches_them(layout: Layout) -> None:
    """The server binds the loopback, answers to its own names and sends nothing home."""
    words = command(layout, 5001)
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--allowed-hosts") + 1] == "127.0.0.1:5001,localhost:5001"
    assert environment()["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.slow
async def test_pages_when_command_runs_then_browser_sees_the_runs(layout: Layout) -> None:
    """`experiments ui` alone starts MLflow's pages over this cloud's runs, on the loopback, and SIGTERM ends them."""
    train(ExperimentTracker(layout, ManualClock()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "cloud", "experiments", "ui", "--port", str(port), "--cloud-dir", str(layout.root)]
    process = await asyncio.create_subprocess_exec(sys.executable, *words, cwd=ROOT, stdout=PIPE, stderr=DEVNULL)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=BOUND_S) as browser:
            await until(lambda: process.returncode is not None or _listens(port), bound_s=9 * BOUND_S)
            found = await browser.post("/ajax-api/2.0/mlflow/experiments/search", json={"max_results": 5})
        assert EXPERIMENT in {one["name"] for one in found.json()["experiments"]}
        assert _listeners(process.pid) == {"127.0.0.1"}
    finally:
        process.terminate()
        await process.communicate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _listeners(pid: int) -> set[str]:
    """Return the addresses on which a process and its children listen."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
