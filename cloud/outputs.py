"""Where a command's output goes: looked at before the work, so that no work is lost for want of a place."""

import os
from pathlib import Path

from shared.errors import ConfigError


def prepare_file(path: Path | None) -> None:
    """Make the folder that a file is to be written in, and leave a file that is there as it is; nothing without one.

    Raises: ConfigError when it cannot be written there.
    """
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(str(path), "is a folder; a file is to be written")
    _prepare(path, path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise ConfigError(str(path), "cannot be written: Permission denied")


def prepare_folder(path: Path | None) -> None:
    """Make a folder that files are to be written in; nothing without one.

    Raises: ConfigError when they cannot be.
    """
    if path is not None:
        _prepare(path, path)


def _prepare(path: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(str(path), f"cannot be written: {exc.strerror}") from exc
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(str(path), "cannot be written: Permission denied")
