"""Durable files below one folder: bytes appear under their key whole and on disk, or not at all."""

import errno
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from shared.errors import StoreError, StoreFull

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Not there, or on a part of the disk that no longer gives back what was written.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EIO)


@dataclass(frozen=True, slots=True)
class Staged:
    """Bytes that are durable under a temporary name; `publish` gives them their key, `discard` removes them."""

    path: Path
    root: Path

    def publish(self, key: str) -> None:
        """Move the bytes to `key`, replacing what nobody was ever told to be stored; durable on return.

        Raises: StoreError, StoreFull.
        """
        target = self.root / key
        try:
            made = _make_folders(target.parent)
            self.path.replace(target)
            for folder in (target.parent, *made):
                _sync_folder(folder)
        except OSError as exc:
            raise _store_error(exc, key) from exc

    def discard(self) -> None:
        """Remove the temporary file, if it is still there."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Objects:
    """A folder of objects named by keys like `bronze/<gateway>/<epoch>/<seq>.<content>.parquet`."""

    root: Path

    def stage(self, body: bytes) -> Staged:
        """Write `body` under a temporary name and wait until the disk has it.

        Raises: StoreError, StoreFull.
        """
        path = self.root / "staging" / secrets.token_hex(12)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            path.unlink(missing_ok=True)
            raise _store_error(exc, "staging") from exc
        return Staged(path, self.root)

    def put(self, key: str, body: bytes) -> None:
        """Store `body` under `key`, durable on return.

        Raises: StoreError, StoreFull.
        """
        self.stage(body).publish(key)

    def read(self, key: str) -> bytes | None:
        """Return the bytes under `key`; None when there are none or the disk cannot give them back.

        Raises: StoreError when the folder itself cannot be read: then nothing is known of any object.
        """
        self._check_root()
        try:
            return (self.root / key).read_bytes()
        except OSError as exc:
            if exc.errno in _GONE:
                return None
            raise _store_error(exc, key) from exc

    def size(self, key: str) -> int | None:
        """Return how many bytes lie under `key`, None when there is nothing.

        Raises: as `read`.
        """
        self._check_root()
        try:
            return (self.root / key).stat().st_size
        except OSError as exc:
            if exc.errno in _GONE:
                return None
            raise _store_error(exc, key) from exc

    def move_aside(self, key: str, to: str) -> None:
        """Give what lies under `key`, if anything does, another key; durable on return.

        Raises: StoreError, StoreFull.
        """
        target = self.root / to
        try:
            made = _make_folders(target.parent)
            (self.root / key).replace(target)
            for folder in (target.parent, (self.root / key).parent, *made):
                _sync_folder(folder)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise _store_error(exc, key) from exc

    def _check_root(self) -> None:
        if not self.root.is_dir():
            raise StoreError(f"{self.root}: the folder of objects is not there")

    def scratch(self) -> BinaryIO:
        """Return a file without a name, gone when it is closed.

        Raises: OSError.
        """
        folder = self.root / "staging"
        folder.mkdir(parents=True, exist_ok=True)
        return TemporaryFile(dir=folder)

    def clear_staging(self) -> int:
        """Remove what a killed process left half-written and return how many files that were; only at start-up."""
        left = list((self.root / "staging").glob("*"))
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def _make_folders(folder: Path) -> list[Path]:
    """Make `folder` and return the parents whose entries changed, so that they can be synced too."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    return [path.parent for path in missing]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _store_error(exc: OSError, key: str) -> StoreError:
    kind = StoreFull if exc.errno in _FULL else StoreError
    return kind(f"object {key}: {exc.strerror or exc}")
