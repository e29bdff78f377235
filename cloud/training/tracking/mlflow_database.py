"""MLflow on SQLite: the client, and events turned into runs, metrics, artifacts and registered models."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, assert_never

from cloud.settings import Layout
from cloud.training.tracking.events import (
    ArtifactKept,
    Ended,
    Event,
    Metrics,
    ModelSaved,
    Parameters,
    Started,
    file_of,
)
from shared.errors import ConfigError, StoreError

# Nothing about a team's runs goes to the library's makers. Read at import.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

EXPERIMENT = "sideline"
CANDIDATE = "candidate"
SHA256_TAG = "sha256"
KEY_TAG = "run_key"
SAVED_TAG = "saved_as"
# MLflow takes at most a hundred parameters in one call.
_PER_BATCH = 100
# What MLflow answers when an event is at fault and not the database.
_REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}


def open_client(layout: Layout) -> Any:
    """Return MLflow's client on this cloud's database; the first call makes the database, which takes seconds.

    Raises: StoreError when the database cannot be opened.
    """
    with translated():
        layout.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
        _check_database(layout.mlflow_database)
        from mlflow.tracking import MlflowClient  # noqa: PLC0415  over a second of import, only when it is needed

        # After the import, which sets them; their errors reach us as exceptions.
        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return MlflowClient(f"sqlite:///{layout.mlflow_database}")


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of MLflow, its database and its disk into ours.

    Raises: ConfigError when what was asked for is wrong; StoreError for everything else.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  as above
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  as above

    try:
        yield
    except MlflowException as exc:
        if exc.error_code in _REFUSALS:
            raise ConfigError("MLflow", _first_line(exc)) from exc
        raise StoreError(f"MLflow: {_first_line(exc)}") from exc
    except (SQLAlchemyError, OSError) as exc:
        raise StoreError(f"MLflow: {_first_line(exc)}") from exc


def _first_line(exc: Exception) -> str:
    """Return what happened, without the statement and its parameters that follow."""
    return str(exc).partition("\n")[0]


def _check_database(path: Path) -> None:
    """Fail at once where MLflow would try again for minutes.

    Raises: StoreError when the database cannot be opened or is none.
    """
    try:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as exc:
        raise StoreError(f"{path.name} cannot be opened: {exc}") from exc


class MlflowDatabase:
    """Writes events; each may be written twice and is there once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._client: Any = None

    def start(self, event: Started) -> str:
        """Return MLflow's id of the run, which is made unless it is there.

        Raises: StoreError; ConfigError when MLflow takes no such run.
        """
        client = self._opened()
        with translated():
            experiment = self._experiment()
            found = client.search_runs([experiment], f"tags.{KEY_TAG} = '{event.key}'", max_results=1)
            if found:
                return str(found[0].info.run_id)
            tags = {**event.tags, KEY_TAG: event.key}
            run = client.create_run(experiment, start_time=event.time_ms, tags=tags, run_name=event.name)
            return str(run.info.run_id)

    def write(self, run_id: str, event: Event) -> None:
        """Write an event that followed the start of a run.

        Raises: StoreError; ConfigError when MLflow does not take this event.
        """
        client = self._opened()
        with translated():
            match event:
                case Parameters() | Metrics():
                    _log(client, run_id, event)
                case ArtifactKept():
                    path = file_of(self._layout.root, event.path)
                    if path.is_dir():
                        client.log_artifacts(run_id, str(path), artifact_path=path.name)
                    else:
                        client.log_artifact(run_id, str(path))
                case ModelSaved():
                    self._register(run_id, event)
                case Ended():
                    status = "FAILED" if event.failed else "FINISHED"
                    client.set_terminated(run_id, status, end_time=event.time_ms)
                case Started():
                    raise AssertionError("a run starts once")
                case _:
                    assert_never(event)

    def _opened(self) -> Any:
        if self._client is None:
            self._client = open_client(self._layout)
        return self._client

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=self._layout.mlflow_artifacts.as_uri()))

    def _register(self, run_id: str, event: ModelSaved) -> None:
        """Keep the model with the run, register it, and call it the candidate unless a newer one is."""
        client = self._client
        client.log_artifacts(run_id, str(file_of(self._layout.root, event.folder)), artifact_path="model")
        if not any(model.name == event.name for model in client.search_registered_models()):
            client.create_registered_model(event.name)
        known = list(client.search_model_versions(f"name = '{event.name}'"))
        if any(entry.tags.get(SAVED_TAG) == event.version for entry in known):
            return
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        tags = {SHA256_TAG: event.sha256, SAVED_TAG: event.version}
        version = str(client.create_model_version(event.name, source, run_id=run_id, tags=tags).version)
        if all(entry.tags.get(SAVED_TAG, "") < event.version for entry in known):
            client.set_registered_model_alias(event.name, CANDIDATE, version)


def _log(client: Any, run_id: str, event: Parameters | Metrics) -> None:
    from mlflow.entities import Metric, Param  # noqa: PLC0415  as above

    rows: list[Any]
    if isinstance(event, Metrics):
        kind, rows = "metrics", [Metric(name, x, event.time_ms, event.step) for name, x in event.numbers().items()]
    else:
        kind, rows = "params", [Param(name, text) for name, text in event.values.items()]
    for first in range(0, len(rows), _PER_BATCH):
        client.log_batch(run_id, **{kind: rows[first : first + _PER_BATCH]}, synchronous=True)
