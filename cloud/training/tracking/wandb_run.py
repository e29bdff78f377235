"""Weights & Biases, for those who set it: `offline` keeps the run in a folder for `wandb sync`, `online` sends it."""

from pathlib import Path
from typing import Any

from cloud.settings import TrackingSettings
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

_STEP = "step"


class WandbRun:
    """One run at Weights & Biases. The library is imported when the run starts, and never by anybody else."""

    def __init__(self, settings: TrackingSettings, root: Path, folder: Path) -> None:
        """`root` is where relative paths of events begin; `folder` is where the library keeps its files."""
        self._settings = settings
        self._root = root
        self._folder = folder
        self._run: Any = None

    def record(self, event: Event) -> None:
        """Hand an event to the library.

        Raises: StoreError when the service or the library's own process fails; ConfigError when it is not installed.
        """
        try:
            import wandb  # noqa: PLC0415  only where it is set
        except ModuleNotFoundError as exc:
            raise ConfigError("tracking.wandb", "wandb is not installed; run pip install 'sideline[wandb]'") from exc
        try:
            self._hand_over(wandb, event)
        except (wandb.Error, OSError) as exc:
            raise StoreError(f"Weights & Biases: {exc}") from exc

    def _hand_over(self, wandb: Any, event: Event) -> None:
        if isinstance(event, Started):
            self._start(wandb, event)
        elif self._run is None:
            raise StoreError("Weights & Biases: the run could not be started")
        match event:
            case Parameters():
                self._run.config.update(event.values, allow_val_change=True)
            case Metrics():
                self._run.log({**event.numbers(), _STEP: event.step})
            case ArtifactKept():
                self._keep(wandb, file_of(self._root, event.path), "file")
            case ModelSaved():
                self._keep(wandb, file_of(self._root, event.folder), "model", name=event.name, version=event.version)
            case Ended():
                self._run.finish(exit_code=int(event.failed))
                self._run = None
            case Started():
                pass

    def _start(self, wandb: Any, event: Started) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Without the watch over the console, the code and the machine: what a run is, its events say.
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True)
        self._run = wandb.init(
            project=self._settings.wandb_project,
            entity=self._settings.wandb_entity or None,
            dir=str(self._folder),
            id=event.key,
            name=event.name,
            config=dict(event.tags),
            mode=self._settings.wandb,
            settings=quiet,
        )
        # Steps may begin again, for every fold say; the library's own count must only grow.
        self._run.define_metric("*", step_metric=_STEP)

    def _keep(self, wandb: Any, path: Path, kind: str, *, name: str = "", version: str = "") -> None:
        artifact = wandb.Artifact(name or path.name, type=kind, metadata={"version": version} if version else None)
        for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
            artifact.add_file(str(file), name=str(file.relative_to(path.parent if path.is_file() else path)))
        self._run.log_artifact(artifact)
