"""ExperimentTracker: a thin layer over MLflow on SQLite that always says which data, code and libraries a run used.

Tracking serves people who compare runs; a run that trains well must not be lost because the tracker failed. Failures
are logged once and the run goes on.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from cloud.settings import Layout
from cloud.training.provenance import code_version, package_versions
from shared.errors import StoreError
from shared.log import FailureLog, get_logger
from shared.model_card import file_sha256

# Nothing about a team's runs goes to the library's makers. Read at import.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

P = ParamSpec("P")
R = TypeVar("R")
EXPERIMENT = "sideline"
CANDIDATE = "candidate"
SHA256_TAG = "sha256"


class ExperimentTracker:
    """Runs of one cloud. As a context manager it ends the run that is open, as failed when an error leaves it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._client: Any = None
        self._run_id: str | None = None
        self._failures = FailureLog(get_logger("tracking"), "experiment tracking failed; training goes on")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run_id is not None:
            self.end_run(failed=kind is not None)

    def start_run(self, run_name: str, tags: Mapping[str, str]) -> str:
        """Open a run and return its id, "" when it could not be opened.

        `tags` should hold data_set, data_digest, feature_hash and seed; code and library versions are added.
        """
        versions = {f"package.{name}": text for name, text in package_versions().items()}
        everything = {**tags, "code_version": code_version(), **versions}
        self._run_id = self._attempt(self._open, run_name, everything)
        return self._run_id or ""

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Record the settings of the run."""
        self._in_run(lambda run: [self._client.log_param(run, name, value) for name, value in parameters.items()])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record numbers; `step` orders those that are measured again and again."""
        self._in_run(
            lambda run: [self._client.log_metric(run, name, value, step=step) for name, value in metrics.items()]
        )

    def log_artifact(self, path: Path) -> None:
        """Keep a copy of a file with the run."""
        self._in_run(lambda run: self._client.log_artifact(run, str(path)))

    def save_model(self, path: Path, name: str) -> str | None:
        """Keep a model's folder with the run, register it and call it the candidate; return its registered version."""
        return self._in_run(lambda run: self._register(run, path, name))

    def end_run(self, *, failed: bool = False) -> None:
        """Close the run."""
        self._in_run(lambda run: self._client.set_terminated(run, "FAILED" if failed else "FINISHED"))
        self._run_id = None

    def _in_run(self, call: Callable[[str], R]) -> R | None:
        """Make a call for the open run; without one (its start failed) there is nothing to record."""
        return None if self._run_id is None else self._attempt(call, self._run_id)

    def _attempt(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            result = _translated(call, *args, **kwargs)
        except StoreError as exc:
            self._failures.failed(str(exc))
            return None
        self._failures.recovered()
        return result

    def _open(self, run_name: str, tags: Mapping[str, str]) -> str:
        if self._client is None:
            self._client = open_client(self._layout)
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            location = self._layout.mlflow_artifacts.as_uri()
            experiment_id = self._client.create_experiment(EXPERIMENT, artifact_location=location)
        else:
            experiment_id = experiment.experiment_id
        return str(self._client.create_run(experiment_id, tags=dict(tags), run_name=run_name).info.run_id)

    def _register(self, run: str, path: Path, name: str) -> str:
        self._client.log_artifacts(run, str(path), artifact_path="model")
        source = f"{self._client.get_run(run).info.artifact_uri}/model"
        if not any(model.name == name for model in self._client.search_registered_models()):
            self._client.create_registered_model(name)
        tags = {SHA256_TAG: file_sha256(path / "model.onnx")}
        version = str(self._client.create_model_version(name, source, run_id=run, tags=tags).version)
        self._client.set_registered_model_alias(name, CANDIDATE, version)
        return version


def open_client(layout: Layout) -> Any:
    """Return MLflow's client on this cloud's database; the first call makes the database, which takes seconds.

    Raises: StoreError when the database cannot be opened.
    """
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    layout.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    _check_database(layout.mlflow_database)
    from mlflow.tracking import MlflowClient  # noqa: PLC0415  over a second of import, only when a run is recorded

    return MlflowClient(f"sqlite:///{layout.mlflow_database}")


def _check_database(path: Path) -> None:
    """Fail at once where MLflow would try again for minutes.

    Raises: StoreError when the database cannot be opened or is none.
    """
    try:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as exc:
        raise StoreError(f"{path.name} cannot be opened: {exc}") from exc


def _translated(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  as above
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  as above

    try:
        return call(*args, **kwargs)
    except (MlflowException, SQLAlchemyError, OSError) as exc:
        raise StoreError(f"experiment tracking: {exc}") from exc
