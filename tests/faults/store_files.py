"""Everything that happens to the files of a store: SQLite's operations, and names that Python code makes or removes."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.faults.crash import CutDisk
from tests.faults.sqlite_disk import Operation, Watch, watched_sqlite

_HEARD = {"os.remove": "delete", "os.mkdir": "make_folder", "open": "sync_folder"}


class _Listener:
    """Hears what Python code does to names below a folder: SQLite's file layer does not see that."""

    def __init__(self) -> None:
        self.below = ""
        self.tell: Callable[[Operation], object] = bool
        sys.addaudithook(self._heard)

    def _heard(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.below or event not in _HEARD or not str(given[0]).startswith(self.below):
            return
        path = str(given[0])
        # Python code opens a folder only to sync it; files it opens are no part of the store.
        if event != "open" or Path(path).is_dir():
            self.tell(Operation(_HEARD[event], path))


_listener = _Listener()


@contextlib.contextmanager
def watched_files(folder: Path, watch: Watch, *, syncs: bool = False, reads: bool = False) -> Iterator[None]:
    """Show `watch` what happens below a folder, as `watched_sqlite` does; of names it only hears."""
    _listener.below, _listener.tell = f"{folder}/", watch
    try:
        with watched_sqlite(folder, watch, syncs=syncs, reads=reads):
            yield
    finally:
        _listener.below, _listener.tell = "", bool


def done(disk: CutDisk, operation: Operation, *, path: str | None = None) -> None:
    """Do to a disk what was done to the files; `path` is relative to the folder."""
    name = operation.path if path is None else path
    match operation.kind:
        case "create":
            disk.create(name)
        case "write":
            disk.write(name, operation.offset, operation.body)
        case "truncate":
            disk.truncate(name, operation.offset)
        case "sync":
            # SQLite's own layer syncs the folder of a log with the log's first sync.
            disk.sync(name, folder=name.endswith(("-wal", "-journal")))
        case "delete":
            disk.delete(name, folder=operation.syncs_folder)
        case "make_folder":
            disk.make_folder(name)
        case "sync_folder":
            disk.sync_folder(name)
