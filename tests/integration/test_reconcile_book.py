"""The gateway's book of tallies, on a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import edge.store.tallies as module
from edge.store.journal import Journal
from shared.batch import SeqRange, StreamHour
from shared.clock import ManualClock
from shared.tally import tallies
from tests.factories import heart_rates, positions


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal.open(tmp_path / "gateway.sqlite", ManualClock(), max_bytes=2**30)
    yield made
    made.close()


async def batches(journal: Journal, count: int, *, first: int = 0) -> None:
    """Store a position and make a batch of it, so often."""
    for n in range(first, first + count):
        await journal.append([positions([[1.0, float(n)]], first=n)])
        await journal.run(journal.outbox.fill)


async def receive(journal: Journal, *numbers: int, status: str = "stored") -> None:
    """Note receipts."""
    for seq in numbers:
        await journal.run(journal.outbox.record_receipt, journal.epoch, seq, status)


async def test_taken_when_numbers_are_missing_then_the_ranges_leave_them_out(journal: Journal) -> None:
    """Rule: only numbers with a receipt of the cloud are ours, also after the epoch was renewed."""
    await batches(journal, 8)
    await receive(journal, 0, 1, 2, 4, 6)
    await receive(journal, 5, status="rejected")
    old = journal.epoch
    taken = await journal.run(journal.tallies.taken)
    assert taken == [SeqRange(epoch=old, first=a, last=b) for a, b in ((0, 2), (4, 4), (6, 6))]
    await journal.run(journal.outbox.renew_epoch, "test")
    await receive(journal, 0, 1)
    assert SeqRange(epoch=journal.epoch, first=0, last=1) in await journal.run(journal.tallies.taken)


async def test_taken_when_there_are_too_many_ranges_then_one_an_epoch(journal: Journal) -> None:
    """Rule: the question stays short; what another copy sent in between then shows as a difference."""
    count = 2 * module.MAX_RANGES + 3
    await batches(journal, 1)
    await journal.run(
        lambda: journal.outbox._book.executemany(
            "INSERT INTO batch (epoch, seq, lane, content, sha256, count, schema, created_ns, receipt) "
            "VALUES (?, ?, 'raw', 'rr', '', 1, 3, 0, 'stored')",
            [(journal.epoch, seq) for seq in range(2, count, 2)],
        )
    )
    assert await journal.run(journal.tallies.taken) == [SeqRange(epoch=journal.epoch, first=2, last=count - 1)]


async def test_unagreed_when_a_batch_is_on_its_way_then_its_stream_is_left_out(journal: Journal) -> None:
    """Rule: nobody asks for what the cloud cannot have yet."""
    await batches(journal, 2)
    await journal.append([heart_rates([60])])
    await journal.run(journal.outbox.fill)
    await receive(journal, 0, 2)
    assert [line.stream for line in await journal.run(journal.tallies.unagreed)] == ["heart_rate"]
    await receive(journal, 1)
    assert len(await journal.run(journal.tallies.unagreed)) == 2
    assert await journal.run(journal.tallies.waiting) == 2


async def test_agree_when_readings_came_meanwhile_then_it_does_not_count(journal: Journal) -> None:
    """Rule: what the cloud agreed to is what it was asked; more of the same hour must be asked for again."""
    await batches(journal, 1)
    await receive(journal, 0)
    (line,) = await journal.run(journal.tallies.unagreed)
    await batches(journal, 1, first=1)
    await journal.run(journal.tallies.agree, [line], 1)
    assert await journal.run(journal.tallies.waiting) == 1
    await receive(journal, 1)
    (line,) = await journal.run(journal.tallies.unagreed)
    assert line.count == 2
    await journal.run(journal.tallies.agree, [line], 1)
    assert await journal.run(journal.tallies.waiting) == 0
    assert await journal.run(journal.tallies.kept) == [line]
    await journal.run(journal.tallies.disagree, [line])
    assert await journal.run(journal.tallies.unagreed) == [line]


async def test_tallies_when_an_hour_stands_in_several_files_then_it_is_summed(tmp_path: Path) -> None:
    """Rule: the cloud knows no files of the journal: an hour is compared as a whole."""
    blocks = [positions([[1.0, 2.0]], first=n) for n in range(3)]
    for block in blocks:
        journal = Journal.open(tmp_path / "gateway.sqlite", clock := ManualClock(), max_bytes=2**30)
        clock.advance(3600 * (1 + int(block.sequence[0])))
        await journal.append([block])
        await journal.run(journal.outbox.fill)
        await receive(journal, int(block.sequence[0]))
        lines = await journal.run(journal.tallies.unagreed)
        segments = await journal.run(
            lambda j=journal: j.outbox._book.execute("SELECT count(*) FROM tally").fetchone()[0]
        )
        journal.close()
    ((stream, hour), tally) = next(iter(tallies(blocks).items()))
    assert segments == 3
    assert lines == [StreamHour(stream=stream, hour=hour, count=tally.count, digest=tally.digest)]
