"""Imported files in the journal: beside live readings, never in a live session, uploaded like them."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from edge.store import database as database_module
from edge.store.database import open_database, open_reader
from edge.store.imports import CHUNK_READINGS, find_import, pack, store_import
from edge.store.journal import Journal
from edge.store.reader import JournalReader
from edge.store.segments import Segments
from shared.chunk_codec import digest, encode_chunk
from shared.clock import NS_PER_S, ManualClock
from shared.errors import StoreError, StoreFull
from shared.parquet_codec import decode_parquet
from shared.readings import Readings
from tests.factories import START_NS, heart_rates

ORIGIN = "0123456789abcdef0123456789abcdef"
HOUR_NS = 3600 * NS_PER_S
MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def opened(folder: Path, clock: ManualClock, *, max_bytes: int = 256 * MIB) -> AsyncIterator[Journal]:
    """Open a journal and close it."""
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=max_bytes)
    try:
        yield journal
    finally:
        journal.close()


def put(
    folder: Path, *blocks: Readings, origin: str = ORIGIN, now_ns: int = START_NS, max_bytes: int = 256 * MIB
) -> bool:
    """Store blocks as a file, over a connection of its own as another process does."""
    with contextlib.closing(open_database(folder / "gateway.sqlite", max_bytes=max_bytes)) as connection:
        return store_import(connection, folder, origin, "run.fit", list(pack(blocks)), now_ns, max_bytes=max_bytes)


def from_file(count: int = 10, *, origin: str = ORIGIN) -> Readings:
    """Return heart rates of a file of years ago."""
    times = START_NS - 10_000 * HOUR_NS + np.arange(count) * NS_PER_S
    return heart_rates(np.full(count, 99.0), times_ns=times, origin=origin, sensor="file-012345678901")


def make_version_1(path: Path) -> None:
    """Make a database as the first version of the gateway did, with a chunk, a batch and a cursor in it."""
    script = (Path(database_module.__file__).parent / "schema" / "0001.sql").read_text(encoding="utf-8")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(script)
        body = encode_chunk([heart_rates([120, 121])])
        connection.execute("INSERT INTO meta VALUES ('epoch', '0123456789abcdef')")
        connection.execute("INSERT INTO chunk VALUES (7, ?, 2, ?, ?)", (START_NS, digest(body), body))
        connection.execute("INSERT INTO cursor VALUES ('outbox', 7)")
        connection.execute(
            "INSERT INTO batch VALUES (0, 'raw', 'heart_rate', 'ab', 2, 1, ?, x'00', NULL, NULL)", (START_NS,)
        )
        connection.execute("PRAGMA user_version = 1")


async def test_database_when_of_version_1_then_it_is_brought_up_to_date_and_keeps_everything(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: an older gateway's database opens, with its readings live, its batches and its epoch as they were."""
    make_version_1(tmp_path / "gateway.sqlite")
    with pytest.raises(StoreError, match="schema 1"):
        open_reader(tmp_path / "gateway.sqlite")
    async with opened(tmp_path, clock) as journal:
        assert journal.epoch == "0123456789abcdef"
        (block,) = await journal.recent(10)
        assert block.values[:, 0].tolist() == [120, 121]
        assert (await journal.run(journal.outbox.backlog)).batches == 1
        await journal.append([heart_rates([122], first=2)])
        chunks = await journal.chunks_after(0, 10)
        assert [bpm for _, blocks in chunks for b in blocks for bpm in b.values[:, 0].tolist()] == [120, 121, 122]
        assert (await journal.totals())["readings"] == 3
        assert await journal.run(journal.outbox.fill) == 1, "what stood in batches is not put into batches again"
    assert put(tmp_path, from_file())


def test_database_when_opened_by_many_at_once_then_each_step_is_taken_once(tmp_path: Path) -> None:
    """Rule: an import and a gateway that start together do not both change the schema."""
    make_version_1(tmp_path / "gateway.sqlite")
    failed: list[StoreError] = []

    def open_it() -> None:
        try:
            open_database(tmp_path / "gateway.sqlite", max_bytes=64 * MIB).close()
        except StoreError as exc:
            failed.append(exc)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    open_reader(tmp_path / "gateway.sqlite").close()


async def test_journal_when_a_file_is_imported_while_it_runs_then_the_live_session_is_what_it_was(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: imported readings neither enter nor extend a live session, not after a restart either."""
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([120])])
        before = await journal.session(clock.utc_ns(), HOUR_NS)
        assert put(tmp_path, from_file(3 * CHUNK_READINGS), now_ns=clock.utc_ns())
        await journal.append([heart_rates([121], first=1)])
        assert await journal.session(clock.utc_ns(), HOUR_NS) == before
    async with opened(tmp_path, clock) as journal:
        assert await journal.session(clock.utc_ns(), HOUR_NS) == before
        chunks = await journal.chunks_after(before[0] - 1, 100)
        assert [bpm for _, blocks in chunks for b in blocks for bpm in b.values[:, 0].tolist()] == [120, 121]
        assert [bpm for b in await journal.recent(2) for bpm in b.values[:, 0].tolist()] == [120, 121]
        clock.advance(7200)
        put(tmp_path, from_file(origin="f" * 32), origin="f" * 32, now_ns=clock.utc_ns())
        first, started_ns = await journal.session(clock.utc_ns(), HOUR_NS)
        assert started_ns == clock.utc_ns(), "an import is no training"
        assert await journal.chunks_after(first - 1, 100) == []


async def test_outbox_when_a_file_is_imported_then_its_readings_are_uploaded_too(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: every imported reading stands in exactly one batch."""
    block = from_file(2 * CHUNK_READINGS + 5)
    assert put(tmp_path, block)
    sent: list[int] = []
    async with opened(tmp_path, clock) as journal:
        while await journal.run(journal.outbox.fill):
            pass
        while (batch := await journal.run(journal.outbox.next_pending, "g1")) is not None:
            sent += [n for part in decode_parquet(batch.body) for n in part.sequence.tolist()]
            await journal.run(journal.outbox.record_receipt, batch.header.epoch, batch.header.seq, "stored")
    assert sorted(sent) == list(range(len(block)))


def test_import_when_repeated_then_nothing_is_added(tmp_path: Path) -> None:
    """Rule: a file is stored once, also when two try at the same time."""
    assert put(tmp_path, from_file())
    assert not put(tmp_path, from_file())
    with contextlib.closing(open_database(tmp_path / "gateway.sqlite", max_bytes=64 * MIB)) as connection:
        known = find_import(connection, ORIGIN)
        assert known is not None
        assert (known.name, known.readings) == ("run.fit", 10)
        assert find_import(connection, "e" * 32) is None
        assert connection.execute("SELECT readings FROM segment").fetchall() == [(10,)]


async def test_import_when_killed_then_its_file_goes_after_a_day_and_it_can_be_done_again(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: half an import counts as none; nothing of it is uploaded, and its room comes back."""
    async with opened(tmp_path, clock) as journal:
        with contextlib.closing(open_database(tmp_path / "gateway.sqlite", max_bytes=256 * MIB)) as book:
            _, file = Segments(book, tmp_path).begin(clock.utc_ns(), clock.utc_ns(), source="file", max_bytes=MIB)
            file.close()
        path = tmp_path / "journal" / "000001.sqlite"
        for hours, is_there in ((23, True), (2, False)):
            clock.advance(3600.0 * hours)
            await journal.keep(keep_ns=HOUR_NS, pressed=True, has_cloud=True)
            assert await journal.run(journal.outbox.fill) == 0
            assert path.exists() is is_there
        assert put(tmp_path, from_file(), now_ns=clock.utc_ns())
        assert await journal.run(journal.outbox.fill) == 1


def test_import_when_the_store_is_full_then_none_of_it_is_stored(tmp_path: Path) -> None:
    """Rule: a whole file or nothing."""
    noise = np.random.default_rng(1).integers(0, 2**30, (200_000,)) * 1.0
    large = heart_rates(noise, times_ns=np.random.default_rng(2).integers(0, 2**60, 200_000))
    with pytest.raises(StoreFull):
        put(tmp_path, large, max_bytes=MIB)
    with contextlib.closing(open_database(tmp_path / "gateway.sqlite", max_bytes=MIB)) as connection:
        assert connection.execute("SELECT count(*) FROM import").fetchone() == (0,)
    assert list((tmp_path / "journal").iterdir()) == []
    with JournalReader(tmp_path / "gateway.sqlite") as reader:
        assert list(reader.blocks(imported=True)) == []


def test_chunks_when_packed_then_none_is_longer_than_a_second_of_work() -> None:
    """Rule: a long file is many chunks, each reading in one."""
    counts = [count for count, _ in pack([from_file(CHUNK_READINGS + 1), from_file(CHUNK_READINGS)])]
    assert counts == [CHUNK_READINGS, CHUNK_READINGS, 1]


async def test_reader_when_a_gateway_writes_then_it_sees_what_is_committed_and_blocks_nobody(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: an export reads beside a gateway: all that was stored when it asked, while commits go on."""
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([120])])
        clock.advance(2 * 3600)
        await journal.append([heart_rates([130], first=1)])
        with JournalReader(tmp_path / "gateway.sqlite") as reader:
            latest = reader.latest_session(HOUR_NS)
            assert latest is not None
            (_, blocks), *none = reader.blocks(first=latest, imported=False)
            assert (blocks[0].values[0, 0], none) == (130, [])
            await journal.append([heart_rates([131], first=2)])
            steps = reader.blocks(first=latest, imported=True)
            first = next(steps)
            await asyncio.wait_for(journal.append([heart_rates([140], first=3)]), 5)
            await journal.run(journal._tail.merge)
            rest = list(steps)
            assert [blocks[0].values[0, 0] for _, blocks in (first, *rest)] == [130, 131]
            assert reader.chunks() == 2
    with JournalReader(tmp_path / "gateway.sqlite") as reader:  # no gateway runs
        read = [bpm for _, blocks in reader.blocks(imported=False) for b in blocks for bpm in b.values[:, 0].tolist()]
        assert read == [120, 130, 131, 140]


def test_reader_when_there_is_no_database_then_it_says_so_and_makes_none(tmp_path: Path) -> None:
    """Rule: reading changes nothing on the disk."""
    with pytest.raises(StoreError, match="no such database"):
        JournalReader(tmp_path / "gateway.sqlite")
    assert list(tmp_path.iterdir()) == []
