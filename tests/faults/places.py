"""Where a row's files lie when only processes and links fail: in memory, because a kill -9 does not ask the disk."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108  a folder of our own below it


@contextmanager
def in_memory(folder: Path) -> Iterator[Path]:
    """Give a folder in memory, or `folder` where the system has none."""
    if not _MEMORY.is_dir():
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="faults-", dir=_MEMORY) as place:
        yield Path(place)
