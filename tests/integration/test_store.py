"""The journal and the outbox on a real SQLite file."""

import contextlib
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.sensors.base import Rejected
from edge.store.journal import Journal
from edge.store.reader import JournalReader
from shared.alerts import Alert, Severity
from shared.batch import Lane as BatchLane
from shared.batch import MetricSummary, SessionSummary
from shared.clock import NS_PER_S, ManualClock
from shared.errors import StoreError, StoreFull
from shared.parquet_codec import decode_parquet
from shared.readings import Gap
from tests.factories import ATHLETE, frame, heart_rates, positions
from tests.integration.full_store import bytes_of, fill_up, make_room, noise

MAX_BYTES = 1024 * 1024
HOUR_NS = 3600 * NS_PER_S


@contextlib.asynccontextmanager
async def opened(folder: Path, clock: ManualClock, *, max_bytes: int = 64 * MAX_BYTES) -> AsyncIterator[Journal]:
    """Open a journal and close it."""
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=max_bytes)
    try:
        yield journal
    finally:
        journal.close()


def damage(folder: Path, row: int) -> None:
    """Flip a bit of the row-th chunk of the only file, as a bad disk does."""
    (file,) = (folder / "journal").glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(file)) as other:
        sql = "SELECT id, body FROM chunk ORDER BY id LIMIT 1 OFFSET ?"
        row_id, body = other.execute(sql, (row - 1,)).fetchone()
        wrong = bytearray(body)
        wrong[len(wrong) // 2] ^= 1
        other.execute("UPDATE chunk SET body = ? WHERE id = ?", (bytes(wrong), row_id))
        other.commit()


async def append_apart(journal: Journal, count: int) -> None:
    """Store heart rates in so many chunks of two readings."""
    for i in range(count):
        await journal.append([heart_rates([60 + i, 70 + i], first=2 * i)])
        await journal.run(journal._tail.merge)


async def test_store_when_opened_then_it_survives_power_cuts(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: WAL with synchronous=FULL and a page limit, on every connection that writes."""
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([60])])

        def pragmas(connection: sqlite3.Connection) -> list[object]:
            names = ("journal_mode", "synchronous", "max_page_count")
            return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

        for connection in (journal._connection, journal._tail.connection):
            assert connection is not None
            mode, synchronous, pages = await journal.run(pragmas, connection)
            assert (mode, synchronous) == ("wal", 2)
            assert 0 < int(str(pages)) <= 64 * MAX_BYTES // 4096


async def test_store_when_a_group_is_appended_then_it_is_one_commit_and_comes_back(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: the readings of a group are one transaction, what is noted beside them another."""
    async with opened(tmp_path, clock) as journal:
        gap = Gap(sensor=None, stream="rr", from_ns=1, to_ns=2, count=3, reason="lost")
        rejected = Rejected(frame=frame(b"\x01", clock=clock), reason="too short")
        await journal.append([heart_rates([60, 61]), positions([[1, 2]])], [rejected], [gap])
        assert (journal.counts.commits, journal.counts.readings) == (1, 3)
        blocks = await journal.recent(10)
        assert sorted((b.stream, len(b)) for b in blocks) == [("heart_rate", 2), ("position", 1)]
        assert await journal.quarantined() == [(rejected.frame.sensor, "too short", 1, clock.utc_ns())]
        assert await journal.gaps_after(0) == ([gap], 1)
        await journal.append([])
        assert journal.counts.commits == 1


async def test_store_when_reopened_then_its_epoch_and_content_are_the_same(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: an epoch names a database file for good; another file has another epoch."""
    async with opened(tmp_path, clock) as journal:
        epoch = journal.epoch
        await journal.append([heart_rates([60, 61, 62])])
    async with opened(tmp_path, clock) as again:
        assert again.epoch == epoch
        assert (await again.totals())["readings"] == 3
    (tmp_path / "other").mkdir()
    async with opened(tmp_path / "other", clock) as other:
        assert other.epoch != epoch


async def test_store_when_an_alert_ends_then_it_is_one_row(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: an alert's end is written into the alert."""
    async with opened(tmp_path, clock) as journal:
        for ended_ns in (None, 9):
            await journal.store_alert(
                Alert(
                    alert="x",
                    athlete=ATHLETE,
                    rule="r@1",
                    severity=Severity.BADGE,
                    cause="hr",
                    why="w",
                    started_ns=1,
                    ended_ns=ended_ns,
                )
            )
        rows = await journal.run(lambda: journal._connection.execute("SELECT id, ended_ns FROM alert").fetchall())
        assert rows == [("x", 9)]


async def test_outbox_when_filled_then_every_reading_is_in_one_batch_of_its_stream(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: one batch per stream, each chunk once, digest of the exact bytes."""
    async with opened(tmp_path, clock) as journal:
        outbox = journal.outbox
        await journal.append([heart_rates([60, 61])])
        await journal.run(journal._tail.merge)
        await journal.append([heart_rates([62], first=2), positions([[1, 2]])])
        assert await journal.run(outbox.fill) == 2
        assert await journal.run(outbox.fill) == 0
        seen = {}
        while pending := await journal.run(outbox.next_pending, "g1"):
            header = pending.header
            assert header.sha256 == hashlib.sha256(pending.body).hexdigest()
            assert (header.gateway, header.epoch, header.lane) == ("g1", journal.epoch, BatchLane.RAW)
            blocks = decode_parquet(pending.body)
            assert sum(map(len, blocks)) == header.count
            seen[header.content] = (header.seq, header.count)
            await journal.run(outbox.record_receipt, header.epoch, header.seq, "stored")
        assert seen == {"heart_rate": (0, 3), "position": (1, 1)}
        backlog = await journal.run(outbox.backlog)
        assert (backlog.batches, backlog.sent, backlog.refused, backlog.oldest_ns) == (0, 2, 0, None)


async def test_outbox_when_asked_again_then_the_bytes_are_the_same_until_the_receipt(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: nothing is encoded twice; a batch survives a restart byte by byte, and only a receipt frees its bytes."""
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates(range(60, 90))])
        await journal.run(journal.outbox.fill)
        first = await journal.run(journal.outbox.next_pending, "g1")
    async with opened(tmp_path, clock) as again:
        second = await again.run(again.outbox.next_pending, "g1")
        assert first == second
        await again.run(again.outbox.record_receipt, again.epoch, 0, "duplicate")
        assert await again.run(again.outbox.next_pending, "g1") is None
        freed = await again.run(lambda: again._connection.execute("SELECT body, receipt FROM batch").fetchall())
        assert freed == [(None, "duplicate")]
        await again.append([heart_rates([91], first=30)])
        await again.run(again.outbox.fill)
        third = await again.run(again.outbox.next_pending, "g1")
        assert third is not None
        assert third.header.seq == 1


async def test_outbox_when_a_batch_is_refused_then_its_bytes_are_kept(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: what the cloud would not take is set aside, not thrown away."""
    async with opened(tmp_path, clock) as journal:
        await journal.append([heart_rates([60])])
        await journal.run(journal.outbox.fill)
        await journal.run(journal.outbox.record_receipt, journal.epoch, 0, "conflict")
        kept = await journal.run(lambda: journal._connection.execute("SELECT length(body) FROM batch").fetchone()[0])
        assert kept > 0
        assert (await journal.run(journal.outbox.backlog)).refused == 1
        gaps = await journal.gaps()
        assert [(stream, reason) for stream, reason, _, _ in gaps] == [
            ("heart_rate", "not taken by the cloud: conflict")
        ]


async def test_outbox_when_a_summary_comes_then_it_goes_before_older_raw_batches(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: summaries first, then by number."""
    async with opened(tmp_path, clock) as journal:
        outbox = journal.outbox
        await journal.append([heart_rates([60]), positions([[1, 2]])])
        await journal.run(outbox.fill)
        metric = MetricSummary(athlete="a01", metric="m@1", values=[1.0], coverage=1.0, time_ns=1)
        summary = SessionSummary(gateway="g1", time_ns=1, profiles=[], metrics=[metric], alerts=[], gaps=[])
        await journal.run(outbox.add_summary, summary)
        order = []
        while pending := await journal.run(outbox.next_pending, "g1"):
            order.append((pending.header.content, pending.header.seq))
            await journal.run(outbox.record_receipt, pending.header.epoch, pending.header.seq, "stored")
        assert order == [("summary", 2), ("heart_rate", 0), ("position", 1)]


async def test_outbox_when_a_chunk_is_damaged_then_a_gap_says_so_and_the_rest_goes_on(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a flipped bit costs its chunk and nothing else, and is never silent."""
    async with opened(tmp_path, clock) as journal:
        await append_apart(journal, 3)
    damage(tmp_path, 2)
    async with opened(tmp_path, clock) as journal:
        assert await journal.run(journal.outbox.fill) == 3
        pending = await journal.run(journal.outbox.next_pending, "g1")
        assert pending is not None
        sent = sorted(float(v) for block in decode_parquet(pending.body) for v in block.values[:, 0])
        assert sent == [60, 62, 70, 72]
        (gap,), _ = await journal.gaps_after(0)
        assert (gap.count, gap.reason) == (2, "stored bytes were damaged")


async def test_store_when_a_chunk_is_damaged_then_a_restart_still_reads_the_others(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: one bad block on disk does not keep the gateway from starting."""
    async with opened(tmp_path, clock) as journal:
        await append_apart(journal, 3)
    damage(tmp_path, 2)
    async with opened(tmp_path, clock) as journal:
        assert [float(block.values[0, 0]) for block in await journal.recent(10)] == [60, 62]
        chunks = await journal.chunks_after(0, 10)
        assert [len(blocks) for _, blocks in chunks] == [1, 0, 1]


async def test_recent_when_commits_are_merged_then_only_the_chunks_of_the_newest_are_read(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: what is asked for is commits: hours of merged ones would fill the memory at each start."""
    async with opened(tmp_path, clock) as journal:
        for n in range(30):
            await journal.append([heart_rates([60 + n], first=n)])
            if n % 10 == 9:
                await journal.run(journal._tail.merge)
        await journal.append([heart_rates([90], first=30)])
        newest = [bpm for block in await journal.recent(5) for bpm in block.values[:, 0].tolist()]
        assert newest == list(range(80, 91))
        assert sum(map(len, await journal.recent(99))) == 31


async def test_store_when_full_then_it_says_so_loses_nothing_and_recovers(tmp_path: Path, clock: ManualClock) -> None:
    """Rule: at its limit an append fails whole with StoreFull; what is stored stays readable; deleting makes room."""
    async with opened(tmp_path, clock, max_bytes=MAX_BYTES) as journal:
        stored = await fill_up(journal, noise())
        assert stored > 1
        assert journal.counts.readings == stored * 4000
        with pytest.raises(StoreFull):
            await journal.append([noise()])
        with JournalReader(tmp_path / "gateway.sqlite") as reader:
            assert sum(len(b) for _, blocks in reader.blocks(imported=False) for b in blocks) == stored * 4000
        assert bytes_of(tmp_path) <= MAX_BYTES
        await make_room(journal)
        await journal.append([noise()])
        assert (await journal.totals())["readings"] == (stored + 1) * 4000


async def test_store_when_a_value_cannot_be_stored_then_it_is_a_store_error_and_the_next_append_works(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: whatever SQLite's module raises is an error of ours and leaves no transaction open."""
    async with opened(tmp_path, clock) as journal:
        strange = Gap(sensor=None, stream="rr", from_ns=1, to_ns=2, count=object(), reason="x")  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="not supported"):
            await journal.append([], gaps=[strange])
        await journal.append([heart_rates([61])])
        assert [float(block.values[0, 0]) for block in await journal.recent(10)] == [61]
        assert (await journal.totals())["readings"] == 1


async def test_session_when_training_pauses_for_long_then_the_next_one_begins(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a pause of more than half an hour ends a session; a shorter one does not."""
    gap_ns = HOUR_NS // 2
    async with opened(tmp_path, clock) as journal:
        assert (await journal.session(clock.utc_ns(), gap_ns))[1] == clock.utc_ns()
        await journal.append([heart_rates([60])])
        clock.advance(3600)
        second_ns = clock.utc_ns()
        await journal.append([heart_rates([61], first=1)])
        clock.advance(1200)
        await journal.append([heart_rates([62], first=2)])
        clock.advance(1200)
        first, started_ns = await journal.session(clock.utc_ns(), gap_ns)
        assert started_ns == second_ns
        chunks = await journal.chunks_after(first - 1, 10)
        assert [float(bpm) for _, blocks in chunks for b in blocks for bpm in b.values[:, 0]] == [61, 62]
        clock.advance(1200)
        first, started_ns = await journal.session(clock.utc_ns(), gap_ns)
        assert (await journal.chunks_after(first - 1, 10), started_ns) == ([], clock.utc_ns())
        assert [found.readings for found in await journal.sessions()] == [2, 1]


async def test_quarantine_when_a_stranger_floods_it_then_frames_are_counted_and_few_bytes_kept(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: counts are exact, the bytes of the first thousand of a kind are enough."""
    async with opened(tmp_path, clock) as journal:
        rejected = [Rejected(frame=frame(b"x"), reason="unknown device")] * 1500
        await journal.append([], rejected)
        assert [count for _, _, count, _ in await journal.quarantined()] == [1500]
        kept = await journal.run(lambda: journal._connection.execute("SELECT count(*) FROM quarantine").fetchone()[0])
        assert kept == 1000
