"""Stands between SQLite and its files: sees every write, truncation, sync and deletion, and may spoil it.

The standard library's `sqlite3` is used as it is, and so is the store: a copy of SQLite's own file layer ("VFS") with
four functions replaced becomes the process's default for as long as the `with` lasts. Reading, locking and shared
memory stay native. Only files below one folder are seen.
"""

import _sqlite3
import contextlib
import ctypes
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

_IOERR_READ = 266
_IOERR_WRITE = 778
_IOERR_FSYNC = 1034
_IOERR_TRUNCATE = 1546
_FULL = 13
_OPEN_CREATE = 0x4
_NAME = b"watched"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of SQLite on a file: `create`, `write`, `truncate`, `sync`, `delete` or `read`."""

    kind: str
    path: str
    offset: int = 0
    body: bytes = b""
    syncs_folder: bool = False


class Answer(Enum):
    """What becomes of an operation."""

    DONE = auto()
    FAILED = auto()
    """Not done, and an I/O error is returned."""
    HALF_DONE = auto()
    """Half of the bytes are written, then an I/O error is returned."""
    DROPPED = auto()
    """Not done, and success is returned: what a lying disk, or a sloppy file layer, does."""
    NO_SPACE = auto()
    """Not done, the disk is full."""


Watch = Callable[[Operation], Answer]


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("iVersion", ctypes.c_int), ("szOsFile", ctypes.c_int), ("mxPathname", ctypes.c_int),
        ("pNext", ctypes.c_void_p), ("zName", ctypes.c_char_p), ("pAppData", ctypes.c_void_p),
        ("xOpen", ctypes.c_void_p), ("xDelete", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 14),
    ]  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = [
        ("iVersion", ctypes.c_int), ("xClose", ctypes.c_void_p), ("xRead", ctypes.c_void_p),
        ("xWrite", ctypes.c_void_p), ("xTruncate", ctypes.c_void_p), ("xSync", ctypes.c_void_p),
        ("others", ctypes.c_void_p * 13),
    ]  # fmt: skip


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


_FILE = ctypes.POINTER(_File)
_VFS = ctypes.POINTER(_Vfs)
_OPEN = ctypes.CFUNCTYPE(ctypes.c_int, _VFS, ctypes.c_void_p, _FILE, ctypes.c_int, ctypes.c_void_p)
_DELETE = ctypes.CFUNCTYPE(ctypes.c_int, _VFS, ctypes.c_char_p, ctypes.c_int)
_CLOSE = ctypes.CFUNCTYPE(ctypes.c_int, _FILE)
_MOVE = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_int64)
_SYNC = ctypes.CFUNCTYPE(ctypes.c_int, _FILE, ctypes.c_int)


@contextlib.contextmanager
def watched_sqlite(folder: Path, watch: Watch, *, syncs: bool = False, reads: bool = False) -> Iterator[None]:
    """Show every operation on files below `folder` to `watch`, which answers what becomes of it.

    Without `syncs` no sync reaches the disk: what would outlast a power cut is for the caller to work out.
    Raises: OSError when this Python's sqlite3 has SQLite linked in so that its file layer cannot be reached.
    """
    layer = _Layer(folder, watch, syncs=syncs, reads=reads)
    layer.register()
    try:
        yield
    finally:
        layer.unregister()


_still_used: list["_Layer"] = []
"""SQLite calls into these for as long as it has files open through them."""


class _Layer:
    def __init__(self, folder: Path, watch: Watch, *, syncs: bool, reads: bool) -> None:
        self._below = f"{folder.resolve()}/"
        self._watch = watch
        self._syncs = syncs
        self._reads = reads
        self._paths: dict[int, str] = {}
        self._kept: dict[int, _Methods] = {}
        self._originals: dict[int, _Methods] = {}
        self._library = _library()
        self._under = self._library.sqlite3_vfs_find(None)
        self._vfs = _Vfs.from_buffer_copy(self._under.contents)
        self._callbacks = (_OPEN(self._open), _DELETE(self._delete))
        self._file_callbacks: dict[str, Any] = {
            "xClose": _CLOSE(self._close),
            "xWrite": _MOVE(self._write),
            "xTruncate": _TRUNCATE(self._truncate),
            "xSync": _SYNC(self._sync),
        } | ({"xRead": _MOVE(self._read)} if reads else {})
        self._vfs.pNext, self._vfs.zName = None, _NAME
        self._vfs.xOpen, self._vfs.xDelete = (ctypes.cast(c, ctypes.c_void_p).value for c in self._callbacks)

    def register(self) -> None:
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)

    def unregister(self) -> None:
        if self._paths:  # a connection that an error left open
            gc.collect()
        if self._paths:
            _still_used.append(self)
        self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
        self._library.sqlite3_vfs_register(self._under, 1)

    def _original(self, file: Any, name: str, prototype: Any) -> Any:
        return prototype(getattr(self._originals[ctypes.addressof(file.contents)], name))

    def _open(self, _vfs: Any, name: int | None, file: Any, flags: int, flags_out: int | None) -> int:
        path = ctypes.string_at(name).decode() if name else ""
        seen = path.startswith(self._below)
        is_new = seen and bool(flags & _OPEN_CREATE) and not Path(path).exists()
        if is_new and (answer := self._watch(Operation("create", path))) is not Answer.DONE:
            return _FULL if answer is Answer.NO_SPACE else _IOERR_WRITE
        rc = int(_OPEN(self._under.contents.xOpen)(self._under, name, file, flags, flags_out))
        if rc == 0 and seen:
            native = file.contents.methods
            key = ctypes.addressof(native.contents)
            if key not in self._kept:
                patched = _Methods.from_buffer_copy(native.contents)
                for field, callback in self._file_callbacks.items():
                    setattr(patched, field, ctypes.cast(callback, ctypes.c_void_p).value)
                self._kept[key] = patched
            address = ctypes.addressof(file.contents)
            self._originals[address] = native.contents
            self._paths[address] = path
            file.contents.methods = ctypes.pointer(self._kept[key])
        return rc

    def _delete(self, _vfs: Any, name: bytes, sync_folder: int) -> int:
        path = name.decode()
        if path.startswith(self._below) and Path(path).exists():
            self._watch(Operation("delete", path, syncs_folder=bool(sync_folder)))
        return int(_DELETE(self._under.contents.xDelete)(self._under, name, sync_folder if self._syncs else 0))

    def _close(self, file: Any) -> int:
        address = ctypes.addressof(file.contents)
        original = self._original(file, "xClose", _CLOSE)
        self._paths.pop(address)
        self._originals.pop(address)
        return int(original(file))

    def _read(self, file: Any, into: int, amount: int, offset: int) -> int:
        answer = self._watch(Operation("read", self._paths[ctypes.addressof(file.contents)], offset))
        if answer is not Answer.DONE:
            return _IOERR_READ
        return int(self._original(file, "xRead", _MOVE)(file, into, amount, offset))

    def _write(self, file: Any, given: int, amount: int, offset: int) -> int:
        path = self._paths[ctypes.addressof(file.contents)]
        answer = self._watch(Operation("write", path, offset, ctypes.string_at(given, amount)))
        if answer is Answer.DROPPED:
            return 0
        if answer is Answer.NO_SPACE:
            return _FULL
        if answer is Answer.FAILED:
            return _IOERR_WRITE
        done = int(
            self._original(file, "xWrite", _MOVE)(
                file, given, amount // 2 if answer is Answer.HALF_DONE else amount, offset
            )
        )
        return _IOERR_WRITE if answer is Answer.HALF_DONE else done

    def _truncate(self, file: Any, size: int) -> int:
        answer = self._watch(Operation("truncate", self._paths[ctypes.addressof(file.contents)], size))
        if answer is Answer.DROPPED:
            return 0
        if answer is not Answer.DONE:
            return _IOERR_TRUNCATE
        return int(self._original(file, "xTruncate", _TRUNCATE)(file, size))

    def _sync(self, file: Any, flags: int) -> int:
        answer = self._watch(Operation("sync", self._paths[ctypes.addressof(file.contents)]))
        if answer not in {Answer.DONE, Answer.DROPPED}:
            return _IOERR_FSYNC
        return int(self._original(file, "xSync", _SYNC)(file, flags)) if self._syncs else 0


def _library() -> ctypes.CDLL:
    """Return the SQLite that the standard library's module uses."""
    try:
        library = ctypes.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = _VFS
    except AttributeError as exc:
        raise OSError("this Python's sqlite3 hides its SQLite: its file layer cannot be watched") from exc
    library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
    library.sqlite3_vfs_register.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.sqlite3_vfs_unregister.argtypes = [ctypes.c_void_p]
    return library
