"""What a run tells those who record it: MLflow, TensorBoard's files, Weights & Biases, and the spool between them.

Every event carries its own time and the run its own key, so that recording one a second time changes nothing.
"""

from pathlib import Path
from typing import Protocol

import msgspec


class Started(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="started"):
    """A run began; `key` is its own name for itself, hexadecimal and random, wherever it is recorded."""

    key: str
    name: str
    tags: dict[str, str]
    time_ms: int


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="parameters"):
    """Settings of the run."""

    values: dict[str, str]


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="metrics"):
    """Numbers at one step, as text: JSON has no NaN and no infinity."""

    values: dict[str, str]
    step: int
    time_ms: int

    def numbers(self) -> dict[str, float]:
        """Return the numbers."""
        return {name: float(text) for name, text in self.values.items()}


class ArtifactKept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="artifact"):
    """A file or folder to keep with the run under its own name; a relative path begins at the cloud's folder."""

    path: str


class ModelSaved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="model"):
    """A version of a model was saved in `folder`; `sha256` is that of its model file."""

    name: str
    version: str
    folder: str
    sha256: str


class Ended(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ended"):
    """The run is over."""

    failed: bool
    time_ms: int


Event = Started | Parameters | Metrics | ArtifactKept | ModelSaved | Ended


class Sink(Protocol):
    """Records the events of one run, in their order, the first being Started and the last Ended."""

    def record(self, event: Event) -> None:
        """Record one event.

        Raises: StoreError when that is not possible now; ConfigError when it never will be.
        """
        ...


def file_of(root: Path, path: str) -> Path:
    """Return where a path of an event lies."""
    return root / path
