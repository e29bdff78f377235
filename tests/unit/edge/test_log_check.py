"""Commits behind damaged bytes of a write-ahead log: SQLite says nothing of them, so the store must."""

import random
import sqlite3
from pathlib import Path

import pytest

from edge.store.log_check import hidden_commits

COMMITS = 12


@pytest.fixture
def left(tmp_path: Path) -> dict[str, bytes]:
    """The files of a database whose program was killed: a commit a row, all in the log."""
    path = tmp_path / "left" / "a.sqlite"
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, body BLOB)")
    for number in range(COMMITS):
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, random.Random(number).randbytes(900)))
    files = {file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")}
    connection.close()
    return files


def opened(files: dict[str, bytes], folder: Path) -> tuple[int, int]:
    """Open a copy, and return how many rows are left and how many commits are hidden."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    connection = sqlite3.connect(folder / "a.sqlite", isolation_level=None)
    hidden = hidden_commits(connection, folder / "a.sqlite")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    rows = connection.execute("SELECT count(*) FROM t").fetchone()[0] if tables else 0
    connection.close()
    return rows, hidden


def test_log_when_whole_then_nothing_is_hidden(left: dict[str, bytes], tmp_path: Path) -> None:
    """Rule: a program that was killed leaves nothing to report."""
    assert opened(left, tmp_path / "copy") == (COMMITS, 0)


@pytest.mark.parametrize("where", ["header", "salt", "frame", "page"])
def test_log_when_a_bit_has_turned_over_then_the_commits_behind_it_are_counted(
    left: dict[str, bytes], tmp_path: Path, where: str
) -> None:
    """Rule: wherever the damage is, what SQLite passes over is told."""
    log = bytearray(left["a.sqlite-wal"])
    frame_bytes = 24 + 4096
    place = {"header": 9, "salt": 17, "frame": 32 + 3 * frame_bytes + 17, "page": 32 + 3 * frame_bytes + 1000}[where]
    log[place] ^= 4
    rows, hidden = opened(left | {"a.sqlite-wal": bytes(log)}, tmp_path / "copy")
    assert rows < COMMITS
    assert hidden >= COMMITS - rows - 1
    assert hidden > 1


def test_log_when_its_last_commit_is_torn_then_no_more_than_one_is_hidden(
    left: dict[str, bytes], tmp_path: Path
) -> None:
    """Rule: what a power cut leaves is no damage."""
    torn = left["a.sqlite-wal"][:-512] + bytes(512)
    rows, hidden = opened(left | {"a.sqlite-wal": torn}, tmp_path / "copy")
    assert rows == COMMITS - 1
    assert hidden == 1
