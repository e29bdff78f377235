"""The journal's files: begun, ended, damaged, missing, sent again, removed."""

import contextlib
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from edge.store.database import PAGE_BYTES
from edge.store.journal import Journal
from edge.store.reader import JournalReader
from shared.clock import NS_PER_S, ManualClock
from shared.parquet_codec import decode_parquet
from shared.readings import Readings
from tests.factories import heart_rates, positions

MIB = 1024 * 1024
DAY_NS = 86_400 * NS_PER_S
HOUR_S = 3600.0


@contextlib.asynccontextmanager
async def opened(folder: Path, clock: ManualClock, *, max_bytes: int = 64 * MIB) -> AsyncIterator[Journal]:
    """Open a journal and close it."""
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=max_bytes)
    try:
        yield journal
    finally:
        journal.close()


def files(folder: Path) -> list[str]:
    """Return the names of the journal's files."""
    return sorted(path.name for path in (folder / "journal").glob("*.sqlite"))


def stored(folder: Path) -> list[float]:
    """Return every heart rate that an export would find."""
    with JournalReader(folder / "gateway.sqlite") as reader:
        return [bpm for _, blocks in reader.blocks(imported=True) for b in blocks for bpm in b.values[:, 0].tolist()]


async def send_all(journal: Journal, status: str = "stored") -> list[Readings]:
    """Make batches of everything, give each a receipt, and return their readings."""
    while await journal.run(journal.outbox.fill):
        pass
    sent: list[Readings] = []
    while (batch := await journal.run(journal.outbox.next_pending, "g1")) is not None:
        sent += decode_parquet(batch.body)
        await journal.run(journal.outbox.record_receipt, batch.header.epoch, batch.header.seq, status)
    return sent


async def agree(journal: Journal) -> None:
    """Let the cloud's count be the same."""
    await journal.run(lambda: journal._connection.execute("UPDATE tally SET agreed_ns = 1"))


async def train(journal: Journal, clock: ManualClock, bpm: float, *, first: int = 0) -> None:
    """Store one reading, an hour after the last: a session of its own."""
    clock.advance(HOUR_S)
    await journal.append([heart_rates([bpm], first=first, times_ns=[clock.utc_ns()])])


async def test_session_when_it_ends_then_the_next_one_has_a_file_of_its_own(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: a file is a session or a part of one; a restart in a session goes on with its file."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
        await train(journal, clock, 61, first=1)
    clock.advance(60.0)
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([62], first=2)])
    assert files(tmp_path) == ["000001.sqlite", "000002.sqlite"]
    assert stored(tmp_path) == [60, 61, 62]


async def test_file_when_it_has_grown_then_the_session_goes_on_in_another(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: room can be made within a long session; it is still one."""
    rng = np.random.default_rng(1)
    async with opened(tmp_path, clock, max_bytes=4 * MIB) as journal:
        for n in range(4):
            noise = positions(rng.uniform(-100, 100, (8000, 2)), first=8000 * n)
            await journal.append([noise])
            clock.advance(20.0)
        assert len(files(tmp_path)) > 1
        (session,) = await journal.sessions()
        assert session.readings == 32_000
        first, _ = await journal.session(clock.utc_ns(), 1800 * NS_PER_S)
        assert sum(len(b) for _, blocks in await journal.chunks_after(first - 1, 99) for b in blocks) == 32_000


async def test_commits_when_five_seconds_have_passed_then_they_are_one_chunk(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: many small commits become one compressed chunk; a kill before that leaves them as they are."""
    journal = Journal.open(tmp_path / "gateway.sqlite", clock, max_bytes=64 * MIB)
    for n in range(300):
        await journal.append([heart_rates([60 + n % 7], first=n, times_ns=[clock.utc_ns()])])
        clock.advance(0.03)
    copy = tmp_path / "killed"
    shutil.copytree(tmp_path, copy)
    journal.close()
    wanted = [60 + n % 7 for n in range(300)]
    assert stored(copy) == wanted
    with contextlib.closing(sqlite3.connect(copy / "journal" / "000001.sqlite")) as file:
        sql = "SELECT (SELECT count(*) FROM chunk), (SELECT count(*) FROM tail)"
        chunks, commits = file.execute(sql).fetchone()
    assert chunks == 1
    assert 0 < commits < 200
    async with opened(copy, clock) as again:
        assert sum(len(block) for block in await send_all(again)) == 300
        assert (await again.totals())["readings"] == 300


async def test_file_when_made_but_not_listed_then_the_next_session_uses_it(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: a power cut between a file and its entry in the book leaves an empty file, and nothing else."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
    shutil.copy(tmp_path / "journal" / "000001.sqlite", tmp_path / "journal" / "000002.sqlite")
    with contextlib.closing(sqlite3.connect(tmp_path / "journal" / "000002.sqlite", isolation_level=None)) as file:
        file.execute("DELETE FROM chunk")
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 61, first=1)
    assert files(tmp_path) == ["000001.sqlite", "000002.sqlite"]
    assert stored(tmp_path) == [60, 61]


async def test_file_when_struck_off_but_still_there_then_the_next_start_unlinks_it(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a power cut between the book and the folder leaves no file for ever."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
        await train(journal, clock, 61, first=1)
        await journal.run(lambda: journal._connection.execute("UPDATE segment SET removed_ns = 1 WHERE number = 1"))
    assert len(files(tmp_path)) == 2
    async with opened(tmp_path, clock):
        pass
    assert files(tmp_path) == ["000002.sqlite"]


async def test_sessions_when_complete_and_past_their_time_then_their_files_go(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a file goes when every batch has its receipt and the cloud's count agrees, and not a moment before."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
        await train(journal, clock, 61, first=1)
        clock.advance(20 * 24 * HOUR_S)
        await train(journal, clock, 62, first=2)

        async def kept() -> list[str]:
            await journal.keep(keep_ns=14 * DAY_NS, pressed=False, has_cloud=True)
            return files(tmp_path)

        assert len(await kept()) == 3, "nothing was sent"
        await send_all(journal)
        assert len(await kept()) == 3, "the cloud's own count is not known yet"
        await agree(journal)
        assert [found.complete for found in await journal.sessions()] == [False, True, True]
        assert await kept() == ["000003.sqlite"], "what is written to stays"
        assert [found.removed for found in await journal.sessions()] == [False, True, True]
        assert (await journal.totals())["readings"] == 3
    assert stored(tmp_path) == [62]


async def test_session_when_it_has_ended_then_it_is_complete_before_the_next_one_begins(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: on the evening after a training people see that the cloud has it; one that may go on is not complete."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
        for minutes, complete in ((29, False), (2, True)):
            clock.advance(60.0 * minutes)
            await journal.keep(keep_ns=14 * DAY_NS, pressed=False, has_cloud=True)
            await send_all(journal)
            await agree(journal)
            assert [found.complete for found in await journal.sessions()] == [complete]
        await train(journal, clock, 61, first=1)
        assert [found.complete for found in await journal.sessions()] == [False, True]


async def test_file_when_its_pages_are_damaged_while_it_is_written_then_storing_and_sending_go_on(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: one bad page stops neither what comes, nor the end of the session, nor what other files hold."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
        for n in range(200):  # more than one page of chunks
            await journal.append([heart_rates([61 + n % 9] * 50, first=1 + 50 * n)])
            clock.advance(5.0)
        path = tmp_path / "journal" / "000001.sqlite"
        await journal.run(lambda: journal._tail.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())  # type: ignore[union-attr]
        body = bytearray(path.read_bytes())
        for page in range(3, len(body) // PAGE_BYTES):
            body[page * PAGE_BYTES : page * PAGE_BYTES + 8] = b"\xff" * 8
        path.write_bytes(body)
        await journal.run(lambda: journal._tail.connection.execute("PRAGMA shrink_memory"))  # type: ignore[union-attr]
        for n in range(3):
            await train(journal, clock, 90 + n, first=20_000 + n)
        await journal.keep(keep_ns=14 * DAY_NS, pressed=False, has_cloud=True)
        sent = await send_all(journal)
        assert {90, 91, 92} <= {bpm for block in sent for bpm in block.values[:, 0].tolist()}
        assert any(reason == "stored bytes were damaged" for _, reason, _, _ in await journal.gaps())


async def test_sessions_when_refused_by_the_cloud_then_their_files_stay(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: what the cloud would not take is nowhere else."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
        await train(journal, clock, 61, first=1)
        await send_all(journal, "rejected")
        await agree(journal)
        clock.advance(90 * 24 * HOUR_S)
        assert await journal.keep(keep_ns=0, pressed=True, has_cloud=True) == 0
    assert stored(tmp_path) == [60, 61]


async def test_sessions_when_there_is_no_cloud_then_age_removes_them_and_a_gap_says_so(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a gateway without a cloud keeps its days; what goes is told, and a full store takes nothing early."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
        await train(journal, clock, 61, first=1)
        assert await journal.keep(keep_ns=14 * DAY_NS, pressed=True, has_cloud=False) == 0
        clock.advance(15 * 24 * HOUR_S)
        assert await journal.keep(keep_ns=14 * DAY_NS, pressed=False, has_cloud=False) == 1
        gone = (await journal.sessions())[-1]
        assert (gone.removed, gone.complete) == (True, False), "no cloud has it"
        (gap,), _ = await journal.gaps_after(0)
        assert (gap.count, gap.reason) == (1, "removed after its time; no cloud is set")


async def test_file_when_its_pages_are_damaged_then_the_rest_is_sent_and_new_readings_go_elsewhere(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a bad disk costs what lies on the bad pages, is told as a gap, and stops neither storing nor sending."""
    async with opened(tmp_path, clock) as journal:
        for n in range(20):
            noise = positions(np.random.default_rng(n).uniform(-50, 50, (500, 2)), first=500 * n)
            await journal.append([noise])
            await journal.run(journal._tail.merge)
        await train(journal, clock, 60)
    path = tmp_path / "journal" / "000001.sqlite"
    body = bytearray(path.read_bytes())
    for page in range(6, len(body) // PAGE_BYTES, 9):
        body[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = bytes(PAGE_BYTES)
    path.write_bytes(body)
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([61], first=1)])
        sent = await send_all(journal)
        gaps, _ = await journal.gaps_after(0)
        positions_sent = sum(len(block) for block in sent if block.stream == "position")
        assert 0 < positions_sent < 10_000
        assert positions_sent + sum(gap.count for gap in gaps) == 10_000
        assert {gap.reason for gap in gaps} == {"stored bytes were damaged"}
        assert sorted(bpm for b in sent if b.stream == "heart_rate" for bpm in b.values[:, 0]) == [60, 61]
        assert await journal.run(journal.outbox.fill) == 0


async def test_file_when_damaged_at_its_root_while_it_is_written_then_the_next_reading_begins_another(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a file that cannot be gone on with keeps no gateway from starting, and none from storing."""
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([60])])
    path = tmp_path / "journal" / "000001.sqlite"
    body = bytearray(path.read_bytes())
    body[PAGE_BYTES:] = bytes(len(body) - PAGE_BYTES)
    path.write_bytes(body)
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([61], first=1)])
        assert [block.values[0, 0] for block in await send_all(journal)] == [61]
        assert [gap.reason for gap in (await journal.gaps_after(0))[0]] == ["stored bytes were damaged"]
    assert files(tmp_path) == ["000001.sqlite", "000002.sqlite"]


async def test_file_when_missing_then_a_gap_says_so_and_the_rest_goes_on(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: somebody who deletes a file of the journal does not stop the upload."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
        await train(journal, clock, 61, first=1)
    (tmp_path / "journal" / "000001.sqlite").unlink()
    async with opened(tmp_path, clock) as journal:
        assert [block.values[0, 0] for block in await send_all(journal)] == [61]
        (gap,), _ = await journal.gaps_after(0)
        assert gap.count == 1


async def test_refill_when_asked_then_the_readings_stand_in_new_batches_too(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: what the cloud lost is sent again out of the journal, under new numbers, and only that."""
    async with opened(tmp_path, clock) as journal:
        begun_ns = clock.utc_ns()
        await train(journal, clock, 60)
        await train(journal, clock, 61, first=1)
        await journal.append([positions([[1, 2]], times_ns=[clock.utc_ns()])])
        await send_all(journal)
        before = await journal.run(journal.outbox.highest_seq)
        count = await journal.run(journal.outbox.refill, "heart_rate", begun_ns, clock.utc_ns())
        assert count == 1
        batch = await journal.run(journal.outbox.next_pending, "g1")
        assert batch is not None
        assert (batch.header.seq, batch.header.content) == (before + 1, "heart_rate")
        assert [block.values[0, 0] for block in decode_parquet(batch.body)] == [60]


async def test_epoch_when_renewed_then_what_has_no_receipt_goes_out_under_it_unchanged(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a copied database sends the rest under a name of its own; what the cloud has stays under the old one."""
    async with opened(tmp_path, clock) as journal:
        outbox = journal.outbox
        for n in range(3):
            await train(journal, clock, 60 + n, first=n)
            await journal.run(outbox.fill)
        first = await journal.run(outbox.next_pending, "g1")
        assert first is not None
        await journal.run(outbox.record_receipt, first.header.epoch, 0, "stored")
        second = await journal.run(outbox.next_pending, "g1")
        assert second is not None
        fresh = await journal.run(outbox.renew_epoch, "a test")
        assert fresh != first.header.epoch
        again = await journal.run(outbox.next_pending, "g1")
        assert again is not None
        assert (again.header.epoch, again.header.seq, again.body) == (fresh, 0, second.body)
        assert await journal.run(outbox.highest_seq) == 1
    async with opened(tmp_path, clock) as journal:
        assert journal.epoch == fresh
        assert (await journal.run(journal.outbox.backlog)).batches == 2


async def test_journal_when_the_book_does_not_know_a_file_then_nothing_is_written_into_it(
    tmp_path: Path,
) -> None:
    """Rule: an old book among newer files, as after a careless restore, writes into none of them."""
    clock = ManualClock()
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([60, 61])])
    for name in ("gateway.sqlite", "gateway.sqlite-wal", "gateway.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    before = (tmp_path / "journal" / "000001.sqlite").read_bytes()
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([70])])
    assert stored(tmp_path) == [60, 61, 70]
    assert files(tmp_path) == ["000001.sqlite", "000002.sqlite"]
    assert (tmp_path / "journal" / "000001.sqlite").read_bytes() == before


async def test_book_when_lost_then_the_journals_files_are_taken_in_and_sent_again(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: readings stand in files of their own; a new book lists them, and the cloud takes out what it has twice."""
    async with opened(tmp_path, clock) as journal:
        await train(journal, clock, 60)
        await train(journal, clock, 61, first=1)
        await send_all(journal)
        before = journal.epoch
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"gateway.sqlite{suffix}").unlink(missing_ok=True)
    async with opened(tmp_path, clock) as journal:
        assert journal.epoch != before
        await journal.append([heart_rates([62], first=2)])
        assert (await journal.totals())["readings"] == 3
        sent = [bpm for block in await send_all(journal) for bpm in block.values[:, 0].tolist()]
        assert sorted(sent) == [60, 61, 62]
        assert sorted(found.readings for found in await journal.sessions()) == [1, 2]
    assert files(tmp_path) == ["000001.sqlite", "000002.sqlite", "000003.sqlite"]
    assert stored(tmp_path) == [60, 61, 62]
