"""Room gets short: raw motion goes first, then positions; what is left out is told, and room comes back."""

import asyncio
from pathlib import Path

import numpy as np

from edge.lanes import Lane, Policy
from edge.pipeline.intake import Intake
from edge.pipeline.keeping import Keeper
from edge.pipeline.roster import Wearers
from edge.pipeline.storing import Storing
from edge.settings import StoreSettings
from edge.store.journal import Journal
from edge.store.pressure import Level, Thinning
from edge.store.reader import JournalReader
from shared.clock import ManualClock
from shared.readings import Readings
from tests.factories import START_NS, position_frame, positions, roster
from tests.fakes.source import ListSource
from tests.tools import until

QUOTA = 16 * 1024**2


def noise(n: int, count: int = 20_000) -> Readings:
    """Return positions that hardly compress."""
    values = np.random.default_rng(n).uniform(-100, 100, (count, 2))
    return positions(values, first=n * count, times_ns=START_NS + np.arange(count) * 1000)


async def test_store_when_it_fills_up_then_levels_rise_and_fall_again_when_the_cloud_has_it(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: 70, 85 and 95 % of the quota; files that are complete in the cloud go first, and the level with them."""
    journal = Journal.open(tmp_path / "gateway.sqlite", clock, max_bytes=QUOTA)
    thinning = Thinning()
    keeper = Keeper(journal, thinning, StoreSettings(max_bytes=QUOTA), tmp_path, clock, has_cloud=True)
    levels = [await keeper.look()]
    n = 0
    while levels[-1] < Level.ESSENTIAL:
        await journal.append([noise(n)])
        await journal.run(journal._tail.merge)
        n += 1
        level = await keeper.look()
        if level > levels[-1]:  # the end of a file folds its log, which may give room back for a while
            levels.append(level)
            assert keeper.percent >= {1: 70, 2: 85, 3: 95}[level]
    assert levels == [Level.NORMAL, Level.THIN_IMU, Level.THIN_POSITIONS, Level.ESSENTIAL]
    assert (await journal.totals())["database_bytes"] <= QUOTA * 1.05
    with JournalReader(tmp_path / "gateway.sqlite") as reader:
        assert sum(len(b) for _, blocks in reader.blocks(imported=False) for b in blocks) == n * 20_000
    await journal.run(lambda: journal._tail.seal(goes_on=True))
    while await journal.fill(backlog=True):
        while (batch := await journal.run(journal.outbox.next_pending, "g1")) is not None:
            await journal.run(journal.outbox.record_receipt, batch.header.epoch, batch.header.seq, "stored")
    await journal.run(lambda: journal._connection.execute("UPDATE tally SET agreed_ns = 1"))
    for _ in range(20):
        level = await keeper.look()
    assert level is Level.NORMAL
    journal.close()


async def test_storing_when_room_is_short_then_positions_are_thinned_and_every_missing_one_is_told(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: stored and told as missing make what came; frames are acknowledged all the same."""
    journal = Journal.open(tmp_path / "gateway.sqlite", clock, max_bytes=QUOTA)
    thinning = Thinning()
    thinning.look(90.0)
    lane: Lane[list[Readings]] = Lane("live", capacity=10, policy=Policy.DROP_OLDEST)
    storing = Storing(
        Intake(Wearers(roster()), "boot"), journal, lane, StoreSettings(max_bytes=QUOTA), clock, thinning=thinning
    )
    source = ListSource()
    source.give([position_frame(n, clock=clock) for n in range(100)])
    taking = asyncio.create_task(storing.take_from(source))
    await until(lambda: bool(len(lane)))
    taking.cancel()
    await asyncio.wait({taking})
    assert sum(map(len, lane.take_now()[0])) == 100, "what is shown is not thinned"
    await storing.finish()
    assert len(source.acknowledged) == 100
    stored = sum(map(len, await journal.recent(10)))
    await journal.settle_gaps()
    gaps, _ = await journal.gaps_after(0)
    assert stored == 20
    assert [(gap.stream, gap.count) for gap in gaps] == [("position", 80)]
    assert "full" in gaps[0].reason
    journal.close()
