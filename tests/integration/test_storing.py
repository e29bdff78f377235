"""The durable lane on a real SQLite file: committed, then acknowledged, also when the store is full."""

import asyncio
from pathlib import Path

from edge.lanes import Lane, Policy
from edge.pipeline.intake import Intake
from edge.pipeline.keeping import Keeper
from edge.pipeline.roster import Wearers
from edge.pipeline.storing import Storing
from edge.settings import StoreSettings
from edge.store.journal import Journal
from edge.store.pressure import Thinning
from shared.clock import SystemClock
from shared.readings import Readings
from tests.factories import START_NS, frame, heart_rates, position_frame, roster
from tests.fakes.source import ListSource
from tests.integration.full_store import files_of, fill_up, make_room, noise
from tests.tools import until

MAX_BYTES = 1024 * 1024


async def test_storing_when_frames_are_committed_then_they_are_acknowledged_and_not_before(
    tmp_path: Path, system_clock: SystemClock
) -> None:
    """Rule: a sensor's message is acknowledged after the commit, malformed ones too."""
    journal = Journal.open(tmp_path / "gateway.sqlite", system_clock, max_bytes=MAX_BYTES)
    source, live = ListSource(), Lane[list[Readings]]("live", capacity=10, policy=Policy.DROP_OLDEST)
    storing = Storing(Intake(Wearers(roster()), "boot"), journal, live, StoreSettings(), system_clock)
    tasks = [asyncio.create_task(storing.take_from(source)), asyncio.create_task(storing.store())]
    source.give([position_frame(0), position_frame(1), frame(b"")])
    await until(lambda: len(source.acknowledged) == 3)
    assert sum(map(len, await journal.recent(10))) == 2
    assert [count for _, _, count, _ in await journal.quarantined()] == [1]
    assert [len(blocks) for blocks in await live.take_all()] == [1]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await storing.finish()
    journal.close()


async def test_storing_when_the_store_is_full_then_nothing_is_acknowledged_and_it_still_stops(
    tmp_path: Path, system_clock: SystemClock
) -> None:
    """Rule: unstored is unacknowledged; a gateway whose disk is full can be stopped."""
    journal = Journal.open(tmp_path / "gateway.sqlite", system_clock, max_bytes=MAX_BYTES)
    for block in (noise(), heart_rates([60])):  # also the room that single readings would still find
        await fill_up(journal, block)
    source, live = ListSource(), Lane[list[Readings]]("live", capacity=10, policy=Policy.DROP_OLDEST)
    storing = Storing(Intake(Wearers(roster()), "boot"), journal, live, StoreSettings(), system_clock)
    tasks = [asyncio.create_task(storing.take_from(source)), asyncio.create_task(storing.store())]
    source.give([position_frame(0)])
    await until(lambda: storing._committing is not None and storing._committing.done())
    for task in tasks:
        task.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait(tasks)
        await storing.finish()
    assert source.acknowledged == []
    journal.close()


async def test_storing_when_room_comes_back_then_what_was_held_is_stored_and_acknowledged(
    tmp_path: Path, system_clock: SystemClock
) -> None:
    """Rule: the same readings are tried again until they are stored."""
    journal = Journal.open(tmp_path / "gateway.sqlite", system_clock, max_bytes=MAX_BYTES)
    for block in (noise(), heart_rates([60])):
        await fill_up(journal, block)
    source, live = ListSource(), Lane[list[Readings]]("live", capacity=10, policy=Policy.DROP_OLDEST)
    storing = Storing(Intake(Wearers(roster()), "boot"), journal, live, StoreSettings(), system_clock)
    tasks = [asyncio.create_task(storing.take_from(source)), asyncio.create_task(storing.store())]
    source.give([position_frame(0, t_ns=START_NS)])
    await until(lambda: storing._committing is not None and storing._committing.done())
    assert source.acknowledged == []
    await make_room(journal)
    await until(lambda: source.acknowledged == [0])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await storing.finish()
    journal.close()


async def test_storing_when_the_store_is_full_of_what_the_cloud_has_then_the_oldest_file_makes_room(
    tmp_path: Path, system_clock: SystemClock
) -> None:
    """Rule: what is complete in the cloud need not stand here; a gateway goes on by itself, and files shrink."""
    journal = Journal.open(tmp_path / "gateway.sqlite", system_clock, max_bytes=MAX_BYTES)
    await journal.append([noise()])
    await journal.run(lambda: journal._tail.seal(goes_on=True))
    await journal.run(journal.outbox.fill)
    while pending := await journal.run(journal.outbox.next_pending, "g1"):
        await journal.run(journal.outbox.record_receipt, pending.header.epoch, pending.header.seq, "stored")
    await journal.run(lambda: journal._connection.execute("UPDATE tally SET agreed_ns = 1"))
    for block in (noise(), heart_rates([60])):
        await fill_up(journal, block)
    assert len(files_of(tmp_path)) > 1
    source, live = ListSource(), Lane[list[Readings]]("live", capacity=10, policy=Policy.DROP_OLDEST)
    keeper = Keeper(journal, Thinning(), StoreSettings(), tmp_path, system_clock, has_cloud=True)
    storing = Storing(Intake(Wearers(roster()), "boot"), journal, live, StoreSettings(), system_clock, keeper=keeper)
    tasks = [asyncio.create_task(storing.take_from(source)), asyncio.create_task(storing.store())]
    source.give([position_frame(0)])
    await until(lambda: source.acknowledged == [0])
    await until(lambda: storing.status.up)
    assert "000001.sqlite" not in files_of(tmp_path)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await storing.finish()
    journal.close()


class Refusing:
    """A SQL function that fails so often."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self) -> int:
        """Fail, or count one that goes through."""
        self.times -= 1
        if self.times >= 0:
            raise OSError("refused")
        return 0


async def test_storing_when_only_what_is_noted_beside_fails_then_nothing_is_acknowledged_that_is_not_stored(
    tmp_path: Path, system_clock: SystemClock
) -> None:
    """Rule: what comes after a half-written commit is stored too before it is acknowledged, and nothing twice."""
    journal = Journal.open(tmp_path / "gateway.sqlite", system_clock, max_bytes=MAX_BYTES)
    source, live = ListSource(), Lane[list[Readings]]("live", capacity=10, policy=Policy.DROP_OLDEST)
    storing = Storing(Intake(Wearers(roster()), "boot"), journal, live, StoreSettings(), system_clock)
    tasks = [asyncio.create_task(storing.take_from(source)), asyncio.create_task(storing.store())]
    refusing = Refusing(10**6)
    trigger = "CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.quarantine BEGIN SELECT refuse(); END"
    await journal.run(lambda: journal._connection.create_function("refuse", 0, refusing))
    await journal.run(lambda: journal._connection.execute(trigger))
    source.give([position_frame(0), frame(b"")])
    await until(lambda: not storing.status.up)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    refusing.times = 1
    source.give([position_frame(1)])
    await storing.finish([source])
    assert source.acknowledged == []
    await storing.finish()
    assert len(source.acknowledged) == 3
    assert sum(map(len, await journal.recent(10))) == 2
    journal.close()


async def test_storing_when_frames_come_during_the_stop_then_they_are_stored_too(
    tmp_path: Path, system_clock: SystemClock
) -> None:
    """Rule: what a radio has received before it closed is stored, though nobody was taking it any more."""
    journal = Journal.open(tmp_path / "gateway.sqlite", system_clock, max_bytes=MAX_BYTES)
    source, live = ListSource(), Lane[list[Readings]]("live", capacity=10, policy=Policy.DROP_OLDEST)
    storing = Storing(Intake(Wearers(roster()), "boot"), journal, live, StoreSettings(), system_clock)
    source.give([position_frame(0), position_frame(1)])
    await storing.finish([source])
    assert sum(map(len, await journal.recent(10))) == 2
    journal.close()


async def test_storing_when_much_has_waited_then_it_is_stored_in_portions(
    tmp_path: Path, system_clock: SystemClock
) -> None:
    """Rule: what was held back while the store failed is no single transaction, which would not fit beside the rest."""
    journal = Journal.open(tmp_path / "gateway.sqlite", system_clock, max_bytes=64 * MAX_BYTES)
    source, live = ListSource(), Lane[list[Readings]]("live", capacity=10, policy=Policy.DROP_OLDEST)
    storing = Storing(Intake(Wearers(roster()), "boot"), journal, live, StoreSettings(), system_clock)
    tasks = [asyncio.create_task(storing.take_from(source))]
    source.give([position_frame(n) for n in range(20_000)])
    await until(lambda: storing.queue.waiting == 1)
    source.give([position_frame(20_000)])
    await until(lambda: storing.queue.waiting == 2)
    tasks.append(asyncio.create_task(storing.store()))
    await until(lambda: len(source.acknowledged) == 20_001)
    assert journal.counts.commits == 2
    assert journal.counts.readings == 20_001
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await storing.finish()
    journal.close()
