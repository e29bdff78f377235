"""Events of runs that MLflow could not take: one file a run, `<started ms>-<key>.jsonl`, and a folder of its artifacts.

Who writes a file holds its lock, so that nobody else takes a run for finished that goes on.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from cloud.training.tracking.events import ArtifactKept, Event, Started, file_of
from shared.errors import StoreError

_SUFFIX = ".jsonl"
_decoder = msgspec.json.Decoder(Event)


class Spool:
    """The file of one run, open until it ends."""

    def __init__(self, root: Path, folder: Path, started: Started) -> None:
        """`root` is where relative paths of events begin.

        Raises: StoreError when the file cannot be written.
        """
        self._root = root
        self._path = folder / f"{started.time_ms}-{started.key}{_SUFFIX}"
        self._kept = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as exc:
            raise StoreError(f"{self._path} cannot be written: {exc.strerror}") from exc
        self.append(started)

    def append(self, event: Event) -> None:
        """Write an event at the end; an artifact is copied first, for its owner may delete it.

        Raises: StoreError.
        """
        try:
            if isinstance(event, ArtifactKept):
                event = ArtifactKept(path=str(self._copy(file_of(self._root, event.path))))
            self._file.write(msgspec.json.encode(event) + b"\n")
            self._file.flush()
        except OSError as exc:
            raise StoreError(f"{self._path} cannot be written: {exc}") from exc

    def close(self) -> None:
        """Leave the file to whoever replays it."""
        self._file.close()

    def _copy(self, path: Path) -> Path:
        # A folder each, so that two artifacts of one name at different times stay two.
        target = _artifacts_of(self._path) / str(self._kept) / path.name
        self._kept += 1
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            shutil.copyfile(path, target)
        return target.relative_to(self._root)


def waiting(folder: Path) -> list[Path]:
    """Return the files of runs that wait, oldest first."""
    return sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: (int(path.name.partition("-")[0]), path.name))


@contextmanager
def claimed(path: Path) -> Iterator[list[Event] | None]:
    """Hold a file's lock for the block and give its events; None when its run goes on, or somebody took it before.

    A last line that was not finished does not count.
    Raises: StoreError when the file cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}") from exc
    with file:
        yield _events(file, path) if _locked(file) and path.exists() else None


def remove(path: Path) -> None:
    """Delete a file and its artifacts.

    Raises: StoreError.
    """
    try:
        shutil.rmtree(_artifacts_of(path), ignore_errors=True)
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise StoreError(f"{path} cannot be deleted: {exc.strerror}") from exc


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _events(file: BinaryIO, path: Path) -> list[Event]:
    lines = file.read().split(b"\n")[:-1]
    try:
        return [_decoder.decode(line) for line in lines]
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise StoreError(f"{path} holds what is no event: {exc}") from exc


def _artifacts_of(path: Path) -> Path:
    return path.with_suffix("")
