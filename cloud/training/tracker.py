"""ExperimentTracker: what a training did, in MLflow, in TensorBoard's files, and where set at Weights & Biases.

Tracking serves people who compare runs; a run that trains well must not be lost because the tracker failed. Failures
are logged once and the run goes on; what MLflow could not take is replayed when the next run starts.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from cloud.settings import Layout
from cloud.training.provenance import code_version, package_versions
from cloud.training.tracking import queries
from cloud.training.tracking.event_files import EventFiles
from cloud.training.tracking.events import (
    ArtifactKept,
    Ended,
    Event,
    Metrics,
    ModelSaved,
    Parameters,
    Sink,
    Started,
)
from cloud.training.tracking.mlflow_database import MlflowDatabase
from cloud.training.tracking.queries import Comparison, RunSummary
from cloud.training.tracking.saved_models import Model, write_model
from cloud.training.tracking.spooled import Replayed, SpooledRun, replay
from cloud.training.tracking.wandb_run import WandbRun
from shared.clock import NS_PER_MS, Clock, SystemClock
from shared.errors import ConfigError, StoreError
from shared.log import FailureLog, get_logger

T = TypeVar("T")
REQUIRED_TAGS = ("data_set", "data_digest", "feature_hash", "seed")
"""What must be known of every run; what the caller does not say is tagged `unknown`."""


@dataclass(slots=True, kw_only=True)
class _Run:
    """The run that is open: who records it, and what it said so far."""

    started: Started
    mlflow: SpooledRun
    sinks: dict[str, Sink]
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


class ExperimentTracker:
    """Runs of one cloud, one at a time. As a context manager it ends the open run, as failed when an error leaves it.

    What records (start_run to end_run) never raises; outside a run it does nothing.
    """

    def __init__(self, layout: Layout, clock: Clock | None = None) -> None:
        self._layout = layout
        self._clock = clock or SystemClock()
        self._database = MlflowDatabase(layout)
        self._run: _Run | None = None
        self._failures: dict[str, FailureLog] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_run(failed=kind is not None)

    def start_run(self, run_name: str, tags: Mapping[str, str] | None = None) -> str:
        """Open a run, ending one that is open, and return its id: MLflow's, or its own key while MLflow is away.

        `tags` should hold data_set, data_digest, feature_hash and seed; code and library versions are added.
        """
        self.end_run()
        self.replay()
        key = secrets.token_hex(16)
        mlflow = SpooledRun(self._layout, self._database)
        sinks: dict[str, Sink] = {
            "MLflow": mlflow,
            "TensorBoard": EventFiles(self._layout.experiments / "tensorboard"),
        }
        if self._layout.tracking.wandb != "off":
            folder = self._layout.experiments / "wandb"
            sinks["Weights & Biases"] = WandbRun(self._layout.tracking, self._layout.root, folder)
        versions = {f"package.{name}": text for name, text in package_versions().items()}
        known = {**dict.fromkeys(REQUIRED_TAGS, "unknown"), **(tags or {}), "code_version": code_version(), **versions}
        started = Started(key=key, name=run_name, tags=known, time_ms=self._now_ms())
        self._run = _Run(started=started, mlflow=mlflow, sinks=sinks)
        self._record(started)
        return mlflow.run_id

    def log_parameters(self, parameters: Mapping[str, object]) -> None:
        """Record the settings of the run."""
        if self._run is not None and parameters:
            values = {name: str(value) for name, value in parameters.items()}
            self._run.parameters |= values
            self._record(Parameters(values=values))

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record numbers; `step` orders those that are measured again and again."""
        if self._run is not None and metrics:
            numbers = {name: float(value) for name, value in metrics.items()}
            self._run.metrics |= numbers
            values = {name: repr(value) for name, value in numbers.items()}
            self._record(Metrics(values=values, step=step, time_ms=self._now_ms()))

    def log_artifact(self, path: Path) -> None:
        """Keep a copy of a file, or of a folder, with the run."""
        if self._run is None:
            return
        if path.exists():
            self._record(ArtifactKept(path=str(path.resolve())))
        else:
            get_logger("tracking").warning("no such artifact", path=str(path))

    def save_model(self, model: Model, name: str) -> Path | None:
        """Save a model under a version named by the time and register it as the candidate; return its folder.

        `model` is a folder with model and card, one file, or an ONNX model; the folder gets `model_info.json` and
        `performance_metrics.json` beside it. None outside a run, or when it cannot be saved.
        """
        run = self._run
        if run is None:
            return None
        try:
            folder, saved = write_model(
                self._layout.experiments / "models",
                model,
                name,
                time_ns=self._clock.utc_ns(),
                run_id=run.mlflow.run_id,
                run_name=run.started.name,
                tags=run.started.tags,
                parameters=run.parameters,
                metrics=run.metrics,
            )
        except (StoreError, ConfigError) as exc:
            get_logger("tracking").warning("a model was not saved", problem=str(exc))
            return None
        where = folder.relative_to(self._layout.root).as_posix()
        sha256 = saved.files[saved.model_file].sha256
        self._record(ModelSaved(name=name, version=saved.version, folder=where, sha256=sha256))
        return folder

    def end_run(self, *, failed: bool = False) -> None:
        """Close the run that is open, if one is."""
        if self._run is not None:
            self._record(Ended(failed=failed, time_ms=self._now_ms()))
            self._run = None

    def replay(self) -> Replayed | None:
        """Bring spooled runs to MLflow; None when it cannot be reached."""
        try:
            return replay(self._layout, self._database)
        except StoreError as exc:
            get_logger("tracking").debug("spooled runs wait", problem=str(exc))
            return None

    def list_runs(self, *, name: str | None = None, limit: int | None = None) -> list[RunSummary]:
        """Return runs, newest first, of one name if given; none, and a warning, while MLflow cannot be reached."""
        try:
            return queries.list_runs(self._layout, name=name, limit=limit)
        except StoreError as exc:
            return _unanswered(exc, [])

    def compare_runs(self, run_ids: Sequence[str]) -> Comparison:
        """Return runs side by side; of no run, and with a warning, while MLflow cannot be reached.

        Raises: ConfigError when there is no such run.
        """
        try:
            return queries.compare_runs(self._layout, list(run_ids))
        except StoreError as exc:
            return _unanswered(exc, Comparison(runs=[], metrics={}, parameters={}, tags={}))

    def best_run(self, metric: str, *, name: str | None = None, highest: bool = False) -> RunSummary | None:
        """Return the finished run with the lowest (or highest) value of a metric; None when there is none.

        None, too, and a warning, while MLflow cannot be reached.
        """
        try:
            return queries.best_run(self._layout, metric, name=name, highest=highest)
        except StoreError as exc:
            return _unanswered(exc, None)

    def _record(self, event: Event) -> None:
        if self._run is None:
            return
        for name, sink in self._run.sinks.items():
            log = self._failures.setdefault(
                name, FailureLog(get_logger("tracking"), f"{name} does not record; training goes on")
            )
            try:
                sink.record(event)
            except (StoreError, ConfigError) as exc:
                log.failed(str(exc))
            else:
                log.recovered()

    def _now_ms(self) -> int:
        return self._clock.utc_ns() // NS_PER_MS


def _unanswered(exc: StoreError, answer: T) -> T:
    get_logger("tracking").warning("MLflow cannot be asked", problem=str(exc))
    return answer
