"""Small files that outlast a power cut: whole as they were, or whole as they became, and for good once it is said so.

A name may reach the disk before the bytes that it stands for: bytes are synced first, then the name, then the folder.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """The few things done to files here, so that a test can cut the power between any two of them."""

    def write(self, path: Path, body: bytes) -> None:
        """Make or replace a file; a power cut may leave any part of it."""

    def sync(self, path: Path) -> None:
        """Make a file's bytes outlast a power cut."""

    def rename(self, path: Path, to: Path) -> None:
        """Let a file take another's place, at once."""

    def make_folder(self, path: Path) -> None:
        """Make one folder."""

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder outlast a power cut."""

    def remove(self, path: Path) -> None:
        """Remove a file if it is there."""


class LocalDisk:
    """The machine's file system."""

    def write(self, path: Path, body: bytes) -> None:
        """Make or replace a file."""
        path.write_bytes(body)

    def sync(self, path: Path) -> None:
        """Have the kernel write a file out."""
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def rename(self, path: Path, to: Path) -> None:
        """Rename over what is there."""
        path.replace(to)

    def make_folder(self, path: Path) -> None:
        """Make one folder, if it is not there."""
        path.mkdir(exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Have the kernel write a folder out, where folders can be synced."""
        if os.name != "posix":
            return
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove(self, path: Path) -> None:
        """Remove a file if it is there."""
        path.unlink(missing_ok=True)


LOCAL_DISK = LocalDisk()


def keep_file(path: Path, body: bytes, disk: Disk = LOCAL_DISK) -> None:
    """Write a file as a whole or not at all; when this returns, it outlasts a power cut.

    Raises: OSError when it cannot be written; the file is then as it was.
    """
    draft = path.with_name(f"{path.name}.new")
    with _removed_on_error(draft, disk):
        disk.write(draft, body)
        disk.sync(draft)
        disk.rename(draft, path)
    disk.sync_folder(path.parent)


def keep_folder(path: Path, disk: Disk = LOCAL_DISK) -> None:
    """Make a folder, and those above it that are missing; when this returns, they outlast a power cut.

    Raises: OSError when one cannot be made.
    """
    if not path.is_dir():
        keep_folder(path.parent, disk)
        disk.make_folder(path)
        disk.sync_folder(path.parent)


@contextlib.contextmanager
def _removed_on_error(draft: Path, disk: Disk) -> Iterator[None]:
    try:
        yield
    except OSError:
        with contextlib.suppress(OSError):
            disk.remove(draft)
        raise
