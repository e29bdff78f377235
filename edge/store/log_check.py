"""Finds commits that a write-ahead log holds and SQLite does not see, because bytes before them changed on the disk.

Each frame's checksum covers all frames before it: one damaged bit hides every commit that follows, without a word. A
power cut hides one at the most, which was never acknowledged: each is synced before the next is written. Layout: the
log starts with a header of 32 bytes (salts at 16..24), a frame is a header of 24 (database size after a commit at
4..8, salts at 8..16) and a page; https://sqlite.org/fileformat2.html#walformat.
"""

import sqlite3
import struct
from pathlib import Path

_HEADER_BYTES, _FRAME_BYTES = 32, 24
_SALTS = struct.Struct(">16x8s")
_FRAME = struct.Struct(">4xI8s")
_SUM = struct.Struct(">24xII")
_BIG_ENDIAN_MAGIC = 0x377F0683
_U32 = 0xFFFFFFFF


def hidden_commits(connection: sqlite3.Connection, path: Path) -> int:
    """Return how many commits stand in the log of `path` behind those that SQLite found in it.

    For a connection that has just opened the file, before anything is written: 0 after a clean end, at most 1 after a
    power cut, more where the log is damaged. Raises: sqlite3.Error; OSError.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.is_file():
        return 0
    content = log.read_bytes()  # first: another process may add to it
    found = max(0, int(connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]))
    if len(content) < _HEADER_BYTES + _FRAME_BYTES:
        return 0
    page_bytes = int(connection.execute("PRAGMA page_size").fetchone()[0])
    frames = [
        _FRAME.unpack_from(content, offset)
        for offset in range(_HEADER_BYTES, len(content) - _FRAME_BYTES - page_bytes + 1, _FRAME_BYTES + page_bytes)
    ]
    # A header that does not add up hides them all, and its own salts say nothing.
    salts = _SALTS.unpack_from(content)[0] if _is_whole(content) else (frames[0][1] if frames else b"")
    return sum(1 for size, own in frames[found:] if size and own == salts)


def _is_whole(content: bytes) -> bool:
    """Return whether the log's header has the checksum that it says."""
    order = ">" if struct.unpack_from(">I", content)[0] == _BIG_ENDIAN_MAGIC else "<"
    words = struct.unpack_from(f"{order}6I", content)
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _U32
        second = (second + odd + first) & _U32
    return _SUM.unpack_from(content) == (first, second)
