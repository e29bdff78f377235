"""A model as a run leaves it: a folder named by the time, with what made it and how well it did beside it."""

import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from shared.clock import NS_PER_MS
from shared.errors import ConfigError, StoreError
from shared.model_card import file_sha256

MODEL_FILE = "model.onnx"
INFO_FILE = "model_info.json"
METRICS_FILE = "performance_metrics.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Serialisable(Protocol):
    """What knows its own bytes: an `onnx.ModelProto`."""

    def SerializeToString(self) -> bytes:  # noqa: N802  protobuf's name
        """Return the bytes."""
        ...


Model = Path | bytes | Serialisable
"""A folder with a model and its card, one file (an ONNX file, a checkpoint), or an ONNX model in memory."""


class SavedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a saved model."""

    sha256: str
    bytes: int


class SavedModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `model_info.json` says; `tags` name data set, its digest, feature hash, seed, code and libraries."""

    name: str
    version: str
    run_id: str
    run_name: str
    saved: str
    model_file: str
    files: dict[str, SavedFile]
    tags: dict[str, str]
    parameters: dict[str, str]


class Performance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `performance_metrics.json` says: the newest value of every metric of the run, null for no number."""

    name: str
    version: str
    run_id: str
    metrics: dict[str, float | None]


def write_model(
    folder: Path,
    model: Model,
    name: str,
    *,
    time_ns: int,
    run_id: str,
    run_name: str,
    tags: dict[str, str],
    parameters: dict[str, str],
    metrics: dict[str, float],
) -> tuple[Path, SavedModel]:
    """Write a model as `folder/name/version/`, whole or not at all; the version is the time, to the millisecond.

    Raises: ConfigError when there is no model at the path; StoreError when it cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError("model", f"{name!r} is not a model name (letters, digits, . _ -)")
    part = folder / name / f".{run_id}.part"
    try:
        part.mkdir(parents=True, exist_ok=True)
        main = _copy(model, part)
        time_ms = time_ns // NS_PER_MS
        while (target := folder / name / _version(time_ms)).exists():
            time_ms += 1
        saved = SavedModel(
            name=name,
            version=target.name,
            run_id=run_id,
            run_name=run_name,
            saved=datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds"),
            model_file=main,
            files=_files(part),
            tags=tags,
            parameters=parameters,
        )
        performance = Performance(name=name, version=saved.version, run_id=run_id, metrics=dict(metrics))
        for file, content in ((INFO_FILE, saved), (METRICS_FILE, performance)):
            (part / file).write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
        os.rename(part, target)  # noqa: PTH104  fails where the target was made meanwhile
    except OSError as exc:
        raise StoreError(f"the model {name} cannot be saved: {exc}") from exc
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target, saved


def _copy(model: Model, folder: Path) -> str:
    """Put the model's files into `folder` and return the name of its main one."""
    if isinstance(model, Path):
        if model.is_dir():
            shutil.copytree(model, folder, dirs_exist_ok=True)
            names = sorted(path.name for path in folder.iterdir() if path.is_file())
            if not names:
                raise ConfigError(str(model), "holds no file, so no model")
            return MODEL_FILE if MODEL_FILE in names else names[0]
        if not model.is_file():
            raise ConfigError(str(model), "is no model: there is no such file or folder")
        shutil.copyfile(model, folder / model.name)
        return model.name
    (folder / MODEL_FILE).write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return MODEL_FILE


def _files(folder: Path) -> dict[str, SavedFile]:
    return {
        path.relative_to(folder).as_posix(): SavedFile(sha256=file_sha256(path), bytes=path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _version(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S") + f"{time_ms % 1000:03d}Z"
