"""What of a folder is still there after a power cut: what was synced, and any part of what was not.

A file's bytes are safe once the file was synced after them. Its name (made, removed, changed) is safe once the file or
its folder was synced after it. Of what is not safe, none, the first part or a random part is there, in sectors.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

_SECTOR_BYTES = 512
Mode = Literal["none", "prefix", "subset", "all"]
MODES: tuple[Mode, ...] = ("none", "prefix", "subset", "all")


@dataclass(slots=True, eq=False)
class _Node:
    """A file's bytes, whatever its name: those that are safe, and the later changes `(offset, bytes or None)`.

    None for the bytes means that the file was cut to `offset`.
    """

    safe: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A change of names that is not safe: `path` is gone or stands for `node`; `frees` was the name before."""

    path: str
    node: _Node | None
    frees: str | None = None


class CutDisk:
    """Takes operations in their order, by paths relative to the folder, and makes images of what a cut would leave."""

    def __init__(self) -> None:
        self._now: dict[str, _Node] = {}
        self._safe: dict[str, _Node] = {}
        self._entries: list[_Entry] = []
        self._folders: set[str] = set()

    def make_folder(self, path: str) -> None:
        """A folder was made: what is in it can only be found once its own name is safe."""
        self._folders.add(path)
        self._now[f"{path}/"] = node = _Node()
        self._entries.append(_Entry(f"{path}/", node))

    def create(self, path: str) -> None:
        """A file was made, empty."""
        self._now[path] = node = _Node()
        self._entries.append(_Entry(path, node))

    def write(self, path: str, offset: int, body: bytes) -> None:
        """Bytes were written."""
        self._node(path).pending.append((offset, body))

    def truncate(self, path: str, size: int) -> None:
        """A file was cut, or lengthened by zeros."""
        self._node(path).pending.append((size, None))

    def sync(self, path: str, *, folder: bool = False) -> None:
        """A file was synced: its bytes and its name are safe; with `folder` all names beside it too."""
        node = self._node(path)
        for change in node.pending:
            _apply(node.safe, change)
        node.pending.clear()
        self._settle([entry for entry in self._entries if entry.node is node])
        if folder:
            self.sync_folder(str(PurePosixPath(path).parent))

    def sync_failed(self, path: str) -> None:
        """A sync failed: what was not safe is lost, though the cache still shows it, until it is written anew."""
        self._node(path).pending.clear()

    def delete(self, path: str, *, folder: bool = False) -> None:
        """A file was removed."""
        if self._now.pop(path, None) is not None:
            self._entries.append(_Entry(path, None))
        if folder:
            self.sync_folder(str(PurePosixPath(path).parent))

    def rename(self, path: str, to: str) -> None:
        """A file got another name, in place of what had that name."""
        node = self._now.pop(path)
        self._now[to] = node
        self._entries.append(_Entry(to, node, frees=path))

    def sync_folder(self, folder: str) -> None:
        """A folder was synced: the names in it are safe."""
        self._settle([entry for entry in self._entries if str(PurePosixPath(entry.path).parent) == folder])

    def image(self, mode: Mode, dice: random.Random) -> dict[str, bytes]:
        """Return the files that a power cut now could leave, by path."""
        keep = {"none": 0.0, "all": 1.0}.get(mode, dice.random())
        names = dict(self._safe)
        for index, entry in enumerate(self._entries):
            if index < keep * len(self._entries) if mode == "prefix" else dice.random() < keep:
                _rename(names, entry)
        return {
            path: self._content(node, mode, keep, dice)
            for path, node in names.items()
            if not path.endswith("/") and self._can_be_found(path, names)
        }

    def _content(self, node: _Node, mode: Mode, keep: float, dice: random.Random) -> bytes:
        content = bytearray(node.safe)
        if mode == "none":
            return bytes(content)
        for index, (offset, body) in enumerate(node.pending):
            if mode == "prefix":
                if index >= keep * len(node.pending):
                    break
                _apply(content, (offset, body))
            elif body is None:
                if dice.random() < keep:
                    _apply(content, (offset, None))
            else:
                for start in range(0, len(body), _SECTOR_BYTES):
                    if dice.random() < keep:
                        _apply(content, (offset + start, body[start : start + _SECTOR_BYTES]))
        return bytes(content)

    def _can_be_found(self, path: str, names: dict[str, _Node]) -> bool:
        above = map(str, PurePosixPath(path).parents)
        return all(f"{folder}/" in names for folder in above if folder in self._folders)

    def _node(self, path: str) -> _Node:
        return self._now[path]

    def _settle(self, entries: list[_Entry]) -> None:
        last = {entry.path: index for index, entry in enumerate(self._entries) if entry in entries}
        waiting = []
        for index, entry in enumerate(self._entries):
            if index <= last.get(entry.path, -1):  # what the name stood for before is over too
                _rename(self._safe, entry)
            else:
                waiting.append(entry)
        self._entries = waiting


def write_image(image: dict[str, bytes], folder: Path) -> None:
    """Write an image's files below a folder."""
    for path, content in image.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _rename(names: dict[str, _Node], entry: _Entry) -> None:
    if entry.frees is not None:
        names.pop(entry.frees, None)
    if entry.node is None:
        names.pop(entry.path, None)
    else:
        names[entry.path] = entry.node


def _apply(content: bytearray, change: tuple[int, bytes | None]) -> None:
    offset, body = change
    size = offset if body is None else max(len(content), offset + len(body))
    if len(content) < size:
        content.extend(bytes(size - len(content)))
    if body is None:
        del content[offset:]
    else:
        content[offset : offset + len(body)] = body
