"""Damaged pages that hide rows from SQLite without an error: what is missing is told, by everybody who reads."""

import contextlib
import shutil
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.store.database import PAGE_BYTES
from edge.store.journal import Journal
from edge.store.reader import JournalReader
from edge.store.segments import DAMAGED, DAMAGED_COMMITS
from shared.clock import ManualClock
from shared.errors import StoreError
from tests.factories import heart_rates
from tests.integration.test_store_segments import files, opened, send_all, stored, train

_CHUNKS, _READINGS = 200, 50
_INTERIOR, _CELLS, _RIGHTMOST, _POINTERS = 0x05, 3, 8, 12
"""Of an interior page of a table: its kind, and where its count of cells, last child and pointers to cells stand.

https://sqlite.org/fileformat2.html#b_tree_pages
"""


async def _season(folder: Path, clock: ManualClock, *, sealed: bool) -> Path:
    """Store chunks of one commit each on several pages and return their file."""
    async with opened(folder, clock) as journal:
        for n in range(_CHUNKS):
            await journal.append([heart_rates([60 + n % 90] * _READINGS, first=_READINGS * n)])
            await journal.run(journal._tail.merge)
        if sealed:
            await train(journal, clock, 200, first=_READINGS * _CHUNKS)
    return folder / "journal" / "000001.sqlite"


def _root(path: Path) -> tuple[bytearray, int]:
    """Return a file's bytes, and where the page begins that leads to the chunks' other pages."""
    with contextlib.closing(sqlite3.connect(path)) as file:
        (page,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'chunk'").fetchone()
    body, start = bytearray(path.read_bytes()), (page - 1) * PAGE_BYTES
    assert body[start] == _INTERIOR
    assert struct.unpack_from(">H", body, start + _CELLS)[0] > 1
    return body, start


def _varint(number: int) -> bytes:
    """Return a chunk's number as a cell of its page begins with it, after the length."""
    groups = [number >> shift & 0x7F for shift in (28, 21, 14, 7, 0)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _lose_first(path: Path) -> None:
    """Let the first pointer lead where the second one leads."""
    body, start = _root(path)
    pointers = start + _POINTERS
    body[pointers : pointers + 2] = body[pointers + 2 : pointers + 4]
    path.write_bytes(body)


def _lose_last(path: Path) -> None:
    """Let the last child be the first one once more."""
    body, start = _root(path)
    (cell,) = struct.unpack_from(">H", body, start + _POINTERS)
    body[start + _RIGHTMOST : start + _RIGHTMOST + 4] = body[start + cell : start + cell + 4]
    path.write_bytes(body)


@pytest.mark.parametrize("lose", [_lose_first, _lose_last])
async def test_chunks_when_damaged_pointers_hide_them_then_readers_and_gaps_say_how_many(
    tmp_path: Path, clock: ManualClock, lose: Callable[[Path], None]
) -> None:
    """Rule: a row that SQLite does not find, without a word, is missed: chunks follow each other without a hole."""
    path = await _season(tmp_path, clock, sealed=True)
    lose(path)
    with JournalReader(tmp_path / "gateway.sqlite") as reader:
        found = sum(len(block) for _, blocks in reader.blocks(imported=True) for block in blocks)
        assert reader.damaged > 0
    hidden = _CHUNKS - found // _READINGS
    assert 0 < hidden < _CHUNKS
    async with opened(tmp_path, clock) as journal:
        sent = await send_all(journal)
        assert sum(map(len, sent)) == found
        gaps, _ = await journal.gaps_after(0)
        assert [gap.count for gap in gaps if gap.reason == DAMAGED_COMMITS] == [hidden]
        assert sum(gap.count for gap in gaps) == hidden


async def test_chunk_when_its_number_is_damaged_then_those_that_it_passes_over_are_told(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a number's bit that turns over hides nothing without a word."""
    path = await _season(tmp_path, clock, sealed=True)
    body = path.read_bytes()
    tenth = _varint((1 << 32) + 10)
    assert tenth in body
    path.write_bytes(body.replace(tenth, _varint((1 << 32) + 26)))
    with JournalReader(tmp_path / "gateway.sqlite") as reader:
        found = sum(len(block) for _, blocks in reader.blocks(imported=True) for block in blocks)
        assert found < _CHUNKS * _READINGS
        assert reader.damaged > 0
    async with opened(tmp_path, clock) as journal:
        await send_all(journal)
        assert {gap.reason for gap in (await journal.gaps_after(0))[0]} <= {DAMAGED, DAMAGED_COMMITS}
        assert (await journal.gaps_after(0))[0]


async def test_file_when_its_pages_do_not_fit_together_at_a_start_then_it_is_ended_and_a_gap_says_so(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a damaged file is not written to, and its end, which the book does not know yet, is not taken for whole."""
    path = await _season(tmp_path, clock, sealed=False)
    _lose_last(path)
    clock.advance(5.0)
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([222], first=_READINGS * _CHUNKS)])
        sent = [bpm for block in await send_all(journal) for bpm in block.values[:, 0].tolist()]
        assert sent[-1] == 222 or sent[0] == 222
        assert _READINGS < len(sent) < _READINGS * _CHUNKS
        assert {gap.reason for gap in (await journal.gaps_after(0))[0]} == {DAMAGED}
    assert files(tmp_path) == ["000001.sqlite", "000002.sqlite"]


async def test_commits_when_the_file_is_put_back_to_an_earlier_state_then_new_ones_are_sent_all_the_same(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: numbers that the book knows are not given again: what comes under them would count as sent."""
    journal = Journal.open(tmp_path / "gateway.sqlite", clock, max_bytes=2**26)
    await journal.append([heart_rates([60])])
    await journal.run(journal._tail.merge)
    shutil.copytree(tmp_path / "journal", tmp_path / "earlier")
    for n in range(1, 4):
        await journal.append([heart_rates([60 + n], first=n)])
        await journal.run(journal._tail.merge)
    await send_all(journal)
    journal.close()
    shutil.rmtree(tmp_path / "journal")
    (tmp_path / "earlier").rename(tmp_path / "journal")
    with JournalReader(tmp_path / "gateway.sqlite") as reader:
        assert len([blocks for _, blocks in reader.blocks(imported=True) if blocks]) == 1
        assert reader.damaged == 1
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([70], first=4)])
        assert [block.values[0, 0] for block in await send_all(journal)] == [70]


async def test_file_when_its_schema_is_damaged_then_it_is_a_store_error_and_sending_goes_on(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: SQLite quotes damaged bytes that are no text; that is damage like any other."""
    path = await _season(tmp_path, clock, sealed=True)
    path.write_bytes(
        path.read_bytes().replace(b"chunkchunk", b"\xa0hunkchunk").replace(b"CREATE TABLE", b"CREATE XABLE")
    )
    with JournalReader(tmp_path / "gateway.sqlite") as reader, pytest.raises(StoreError, match="damaged"):
        list(reader.blocks(imported=True))
    async with opened(tmp_path, clock) as journal:
        assert [block.values[0, 0] for block in await send_all(journal)] == [200]
        (gap,), _ = await journal.gaps_after(0)
        assert (gap.count, gap.reason) == (_CHUNKS * _READINGS, DAMAGED)


async def test_file_when_an_earlier_version_made_it_then_it_is_gone_on_with(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: chunks that do not say where they begin are read as they are; those that follow say it."""
    async with opened(tmp_path, clock) as journal:
        for n in range(3):
            await journal.append([heart_rates([60 + n], first=n)])
    path = tmp_path / "journal" / "000001.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("ALTER TABLE chunk DROP COLUMN first")
        file.execute("PRAGMA user_version = 1")
    assert stored(tmp_path) == [60, 61, 62]
    clock.advance(5.0)
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([63], first=3)])
        assert sum(map(len, await send_all(journal))) == 4
        assert await journal.gaps() == []
    assert files(tmp_path) == ["000001.sqlite"]
    assert stored(tmp_path) == [60, 61, 62, 63]
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert [row[0] for row in file.execute("SELECT first & 0xffffffff FROM chunk ORDER BY id")] == [None, 4]
