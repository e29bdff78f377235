"""The effort model from recordings and tables to a release, through the command line's own functions."""

import asyncio
import json
from pathlib import Path

import pyarrow as pa
import pytest
import structlog
from deltalake import write_deltalake
from rich.console import Console
from typer.testing import CliRunner

from cloud.__main__ import build
from cloud.datasets.build import EFFORT_TABLE, effort_from_files
from cloud.pipeline.tables import TABLES, ensure_tables
from cloud.registry.release import open_repository, rollback, setup_releases
from cloud.registry.retrain import Retrained, retrain_every, retrain_once
from cloud.settings import CloudSettings, Layout
from firmware_sim.export import export_positions
from firmware_sim.squad import SimulatedSession
from shared.clock import ManualClock, SystemClock
from shared.errors import ConfigError, ModelIncompatible
from shared.features.athlete import ATHLETE_EFFORT
from shared.release import CHANNEL_TARGET, read_channel
from shared.roster import write_roster

SECONDS = 110


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return some two minutes of a simulated squad of 12 with its roster beside it."""
    path = tmp_path_factory.mktemp("squad") / "squad.parquet"
    session = SimulatedSession(athletes=12, seed=5)
    export_positions(session, path, seconds=SECONDS, name="sim-5", console=Console(quiet=True))
    write_roster(session.roster, path.with_suffix(".roster.json"))
    return path


def command(*words: object) -> dict[str, object]:
    """Run a command with --json and return what it printed."""
    result = CliRunner().invoke(build(), [*(str(word) for word in words), "--json"], catch_exceptions=False)
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def test_train_when_squad_is_recorded_then_model_is_released_and_rolled_back(squad: Path, tmp_path: Path) -> None:
    """dataset, train, release, train, release, rollback: the channel follows."""
    where = ("--cloud-dir", tmp_path)
    card = command("dataset", "effort", "--data", squad, *where)
    CliRunner().invoke(build(), ["release-setup", *map(str, where)], catch_exceptions=False)
    for version in ("1.0.0", "1.0.1"):
        trained = command("train", "effort", "--data", squad, "--no-track", *where)
        assert (trained["version"], trained["data_digest"]) == (version, card["digest"])
        assert command("release", "effort", *where)["version"] == version
    assert command("rollback", "effort", "--to", "1.0.0", *where)["previous"] == "1.0.1"
    body = open_repository(Layout(tmp_path), SystemClock()).read(CHANNEL_TARGET)
    assert body is not None
    assert read_channel(body).models == {"effort": "1.0.0"}


def fill_table(squad: Path, layout: Layout) -> None:
    """Write the squad's rows to the features table as the pipeline does."""
    rows, _ = effort_from_files([squad])
    columns = {
        "session": pa.array(rows.session.tolist()),
        "athlete": pa.array(rows.athlete.tolist()),
        "time_ns": rows.time_ns,
        "coverage": [1.0] * len(rows),
        **{name: rows.feature(name) for name, _ in ATHLETE_EFFORT.features},
        "hr_bpm": rows.hr_bpm.astype(float),
        "feature_hash": [ATHLETE_EFFORT.schema_hash] * len(rows),
    }
    ensure_tables(str(layout.tables))
    table = pa.table(columns).cast(TABLES[EFFORT_TABLE].schema)
    write_deltalake(layout.tables / EFFORT_TABLE, table, mode="append", partition_by=["session"])


def test_dataset_when_table_is_the_pipelines_then_rows_equal_the_replayed_ones(squad: Path, tmp_path: Path) -> None:
    """Rows that went through the pipeline's table and rows replayed from a recording are the same data set."""
    fill_table(squad, Layout(tmp_path))
    replayed = command("dataset", "effort", "--data", squad, "--cloud-dir", tmp_path)
    table = command("dataset", "effort", "--cloud-dir", tmp_path)
    assert table["digest"] == replayed["digest"]
    assert table["version"] == "1"


def test_retrain_when_table_has_rows_then_releases_once_per_data_set(squad: Path, tmp_path: Path) -> None:
    """Pipeline, data set, training and release in one go; the same data set is not trained on twice."""
    layout, clock = Layout(tmp_path), SystemClock()
    setup_releases(layout, clock)
    fill_table(squad, layout)
    done = retrain_once(CloudSettings(), layout, clock, seed=0, track=False)
    assert (done.version, done.data_set_version) == ("1.0.0", "1")
    assert done.metrics["mae_bpm"] < done.baseline["mae_bpm"]
    body = open_repository(layout, clock).read(CHANNEL_TARGET)
    assert body is not None
    assert read_channel(body).models == {"effort": "1.0.0"}
    again = retrain_once(CloudSettings(), layout, clock, seed=0, track=False)
    assert again.version is None
    assert "nothing new" in again.sentence()


def test_retrain_when_operators_rolled_back_then_same_data_does_not_bring_it_back(squad: Path, tmp_path: Path) -> None:
    """Only new data makes a new model; what was rolled back stays so."""
    layout, clock = Layout(tmp_path), SystemClock()
    setup_releases(layout, clock)
    fill_table(squad, layout)
    for seed in (0, 1):
        retrain_once(CloudSettings(), layout, clock, seed=seed, track=False)
    rollback(layout, clock, "effort", "1.0.0")
    assert retrain_once(CloudSettings(), layout, clock, seed=1, track=False).version is None
    body = open_repository(layout, clock).read(CHANNEL_TARGET)
    assert body is not None
    assert read_channel(body).models == {"effort": "1.0.0"}


async def test_retrain_when_run_again_and_again_then_failures_do_not_end_it(tmp_path: Path) -> None:
    """Without data a round fails with a warning, and the next one comes after the wait."""
    setup_releases(Layout(tmp_path), SystemClock())
    rounds = 0

    class _Waiting(ManualClock):
        async def sleep(self, seconds: float) -> None:
            nonlocal rounds
            rounds += 1
            assert seconds == 60.0
            if rounds == 2:
                raise asyncio.CancelledError

    done: list[Retrained] = []
    retraining = retrain_every(
        CloudSettings(), Layout(tmp_path), _Waiting(), seconds=60.0, seed=0, track=False, say=done.append
    )
    with structlog.testing.capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await retraining
    assert done == []
    assert [entry["log_level"] for entry in logs if entry["event"] == "retraining failed"] == ["warning", "debug"]


def test_retrain_when_asked_for_another_model_then_refuses(tmp_path: Path) -> None:
    """Only effort is retrained from what gateways send."""
    with pytest.raises(ConfigError, match="only effort"):
        CliRunner().invoke(build(), ["retrain", "trajectory", "--cloud-dir", str(tmp_path)], catch_exceptions=False)


def test_train_when_recording_is_short_then_refuses_and_saves_nothing(tmp_path: Path) -> None:
    """Seconds of a few athletes are too little, and the message says what is needed."""
    path = tmp_path / "short.parquet"
    session = SimulatedSession(athletes=3, seed=5)
    export_positions(session, path, seconds=70, name="sim-5", console=Console(quiet=True))
    write_roster(session.roster, path.with_suffix(".roster.json"))
    with pytest.raises(ModelIncompatible, match="needed are 200 rows and 4 athletes"):
        CliRunner().invoke(
            build(),
            ["train", "effort", "--data", str(path), "--no-track", "--cloud-dir", str(tmp_path / "cloud")],
            catch_exceptions=False,
        )
    assert not list((tmp_path / "cloud").rglob("model.onnx"))
