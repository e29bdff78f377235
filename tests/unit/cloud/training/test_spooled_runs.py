"""Runs on their way to MLflow: spooled when it is away, replayed in order, never there twice."""

from collections import Counter
from pathlib import Path

import pytest
import structlog

from cloud.settings import Layout
from cloud.training.tracking.events import ArtifactKept, Ended, Event, Metrics, Parameters, Started, file_of
from cloud.training.tracking.spool import Spool, waiting
from cloud.training.tracking.spooled import Replayed, SpooledRun, replay, spool_folder
from shared.errors import ConfigError, StoreError

STARTED = Started(key="ab" * 16, name="effort", tags={"seed": "1"}, time_ms=1000)
EVENTS: list[Event] = [
    Parameters(values={"rows": "5"}),
    Metrics(values={"loss": "nan"}, step=1, time_ms=1500),
    Ended(failed=False, time_ms=2000),
]


class MemoryDatabase:
    """Runs in memory, as MLflow's database keeps them; away after `until` calls, or for good."""

    def __init__(self, *, until: int | None = None, refuses: type[Event] | None = None) -> None:
        self.runs: dict[str, list[Event]] = {}
        self.calls: Counter[str] = Counter()
        self.until = until
        self.refuses = refuses

    def start(self, event: Started) -> str:
        """Make the run once."""
        self._reach("start")
        self.runs.setdefault(event.key, [])
        return f"mlflow-{event.key}"

    def write(self, run_id: str, event: Event) -> None:
        """Keep each event once."""
        self._reach("write")
        if self.refuses is not None and isinstance(event, self.refuses):
            raise ConfigError("MLflow", "not such a value")
        run = self.runs[run_id.removeprefix("mlflow-")]
        if event not in run:
            run.append(event)

    def _reach(self, call: str) -> None:
        if self.until is not None and self.calls.total() >= self.until:
            raise StoreError("away")
        self.calls[call] += 1


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def run_all(layout: Layout, database: MemoryDatabase, events: list[Event] = EVENTS) -> SpooledRun:
    run = SpooledRun(layout, database)
    for event in (STARTED, *events):
        run.record(event)
    return run


def test_run_when_database_is_there_then_nothing_is_spooled(layout: Layout) -> None:
    """What MLflow takes leaves no file behind, and the run has MLflow's id."""
    database = MemoryDatabase()
    assert run_all(layout, database).run_id == f"mlflow-{STARTED.key}"
    assert database.runs == {STARTED.key: EVENTS}
    assert waiting(spool_folder(layout)) == []


@pytest.mark.parametrize("until", range(4))
def test_run_when_database_goes_away_at_any_event_then_replay_completes_it(layout: Layout, until: int) -> None:
    """From the failed event on all are spooled; a replay brings them once and a second one does nothing."""
    database = MemoryDatabase(until=until)
    with structlog.testing.capture_logs() as logs:
        run = run_all(layout, database)
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert run.run_id == (STARTED.key if until == 0 else f"mlflow-{STARTED.key}")
    database.until = None
    assert replay(layout, database) == Replayed(runs=1, left=0, refused=0)
    assert database.runs == {STARTED.key: EVENTS}
    assert replay(layout, database) == Replayed(runs=0, left=0, refused=0)
    assert list(spool_folder(layout).iterdir()) == []


@pytest.mark.parametrize("until", range(4))
def test_replay_when_database_goes_away_in_it_then_next_one_brings_the_rest(layout: Layout, until: int) -> None:
    """A replay that breaks off leaves the run in the spool, and nothing is there twice after the next."""
    run_all(layout, MemoryDatabase(until=0))
    database = MemoryDatabase(until=until)
    with pytest.raises(StoreError):
        replay(layout, database)
    database.until = None
    assert replay(layout, database).runs == 1
    assert database.runs == {STARTED.key: EVENTS}


def test_replay_when_process_died_in_its_run_then_run_has_failed(layout: Layout) -> None:
    """A spool without an end, and with half a line at its end, belongs to a process that is gone."""
    spool = Spool(layout.root, spool_folder(layout), STARTED)
    spool.append(EVENTS[1])
    spool.close()
    (path,) = waiting(spool_folder(layout))
    with path.open("ab") as file:
        file.write(b'{"type":"para')
    database = MemoryDatabase()
    assert replay(layout, database).runs == 1
    assert database.runs == {STARTED.key: [EVENTS[1], Ended(failed=True, time_ms=1500)]}


def test_replay_when_run_goes_on_then_it_is_left_alone(layout: Layout) -> None:
    """The lock of the process that writes keeps others from taking its run for finished."""
    run = SpooledRun(layout, MemoryDatabase(until=0))
    run.record(STARTED)
    database = MemoryDatabase()
    assert replay(layout, database) == Replayed(runs=0, left=1, refused=0)
    for event in EVENTS:
        run.record(event)
    assert replay(layout, database) == Replayed(runs=1, left=0, refused=0)
    assert database.runs == {STARTED.key: EVENTS}


def test_replay_when_event_is_refused_then_the_others_arrive(layout: Layout) -> None:
    """One value that MLflow does not take costs itself only."""
    run_all(layout, MemoryDatabase(until=0))
    database = MemoryDatabase(refuses=Parameters)
    assert replay(layout, database) == Replayed(runs=1, left=0, refused=1)
    assert database.runs == {STARTED.key: EVENTS[1:]}


def test_spool_when_artifact_is_deleted_then_its_copy_is_replayed(layout: Layout, tmp_path: Path) -> None:
    """A plot in a temporary folder is kept until MLflow has it."""
    plot = tmp_path / "plot.png"
    plot.write_bytes(b"png")
    kept: list[bytes] = []

    class Reading(MemoryDatabase):
        def write(self, run_id: str, event: Event) -> None:
            super().write(run_id, event)
            if isinstance(event, ArtifactKept):
                kept.append(file_of(layout.root, event.path).read_bytes())

    run_all(layout, MemoryDatabase(until=0), [ArtifactKept(path=str(plot)), EVENTS[-1]])
    plot.unlink()
    assert replay(layout, Reading()).runs == 1
    assert kept == [b"png"]
    assert list(spool_folder(layout).iterdir()) == []


def test_replay_when_file_holds_no_run_then_it_stays_and_others_come(layout: Layout) -> None:
    """An empty file of a process that died at once is left, the runs after it are replayed."""
    run_all(layout, MemoryDatabase(until=0))
    (spool_folder(layout) / "1-empty.jsonl").touch()
    assert replay(layout, MemoryDatabase()) == Replayed(runs=1, left=1, refused=0)
