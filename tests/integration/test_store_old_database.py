"""A database of version 0.2.0, made by that version's demo: 25 s of 22 players, all of it uploaded but its last gap."""

import gzip
from pathlib import Path

import pytest

from edge.store.journal import Journal
from edge.store.reader import JournalReader
from shared.clock import NS_PER_S, ManualClock
from tests.factories import heart_rates

OLD = Path(__file__).parents[1] / "vectors" / "databases" / "gateway-0.2.0.sqlite.gz"
READINGS = 7458
DAY_NS = 86_400 * NS_PER_S


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.sqlite"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    return path


def size_of(book: Path) -> int:
    """Return the file's bytes."""
    return book.stat().st_size


def stored(book: Path) -> int:
    """Return how many readings an export would find."""
    with JournalReader(book) as reader:
        return sum(len(block) for _, blocks in reader.blocks(imported=True) for block in blocks)


async def test_old_database_when_opened_twice_then_everything_is_there_and_goes_on(book: Path) -> None:
    """Rule: the schema goes forward once; readings, batches and epoch are what they were, new readings follow."""
    clock = ManualClock()
    epochs = set()
    for n in range(2):
        journal = Journal.open(book, clock, max_bytes=2**30)
        try:
            epochs.add(journal.epoch)
            assert (await journal.totals())["readings"] == READINGS + n
            backlog = await journal.run(journal.outbox.backlog)
            assert (backlog.batches, backlog.sent, backlog.refused) == (0, 57, 0)
            assert await journal.run(journal.outbox.fill) == n, "what was in batches is in none again"
            await journal.append([heart_rates([100 + n], first=n)])
            assert len(await journal.sessions()) == 2
        finally:
            journal.close()
        assert stored(book) == READINGS + n + 1
    assert len(epochs) == 1


async def test_old_database_when_its_chunks_are_past_their_time_then_the_file_shrinks(book: Path) -> None:
    """Rule: the chunks of an older version stand in the book; they go when the cloud has them, and give room back."""
    clock = ManualClock()
    before = size_of(book)
    journal = Journal.open(book, clock, max_bytes=2**30)
    try:
        await journal.append([heart_rates([100])])
        (old,) = [found for found in await journal.sessions() if found.readings == READINGS]
        assert not old.complete, "that version kept no count that the cloud could agree to"
        await journal.tally_older()
        assert sum(line.count for line in await journal.run(journal.tallies.unagreed)) == READINGS
        await journal.run(lambda: journal._connection.execute("UPDATE tally SET agreed_ns = 1"))
        (old,) = [found for found in await journal.sessions() if found.readings == READINGS]
        assert old.complete
        clock.set_utc(old.ended_ns + 30 * DAY_NS)
        kept = await journal.keep(keep_ns=14 * DAY_NS, pressed=False, has_cloud=True)
        assert kept == 1
        (old,) = [found for found in await journal.sessions() if found.readings == READINGS]
        assert old.removed
    finally:
        journal.close()
    assert size_of(book) < before / 2
    assert stored(book) == 1
