"""The machine's clock is wrong at first, or is set while readings come: what is sent and shown after is right."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edge.inference.runner import Runner
from edge.lanes import Lane, Policy
from edge.pipeline.clock_watch import ClockWatch
from edge.pipeline.intake import Intake
from edge.pipeline.live import Live
from edge.pipeline.roster import Wearers
from edge.settings import SessionSettings
from edge.store.journal import Journal
from edge.store.restamp import ClockStep
from edge.ui.broadcast import Broadcast
from edge.ui.hub import Hub
from shared.clock import NS_PER_S, ManualClock
from shared.ids import AthleteId
from shared.parquet_codec import decode_parquet
from shared.readings import Quality, Readings
from tests.factories import ATHLETE, START_NS, frame, heart_rates, position_frame, roster
from tests.tools import BOUND_S, until

DAY_S = 86_400
WRONG = {
    "three days behind": -3 * DAY_S,
    "a year ahead": 365 * DAY_S,
    "1970, without a clock of its own": -(START_NS // NS_PER_S),
    "an hour ahead": 3600,
    "an hour behind": -3600,
}


@dataclass
class Gateway:
    """The parts that time goes through, with a real database."""

    clock: ManualClock
    journal: Journal
    intake: Intake
    live: Live
    watch: ClockWatch
    broadcast: Broadcast
    shown: asyncio.Event
    """Set when the session is shown by the time that was set."""
    n: int = 0

    async def train(self, seconds: int, *, true_ns: int) -> int:
        """Take a strap's and a tag's frames for some seconds; the tag's own clock is right. Return the true end."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            true_ns += NS_PER_S
            strap = frame(bytes([0, 120]), clock=self.clock)
            tag = position_frame(self.n, t_ns=true_ns, clock=self.clock)
            self.n += 1
            blocks, _ = self.intake.take([strap, tag])
            await self.journal.append(blocks)
            self.live.take(blocks)
        return true_ns

    async def sent(self) -> list[Readings]:
        """Make batches of what is stored and return their readings."""
        while await self.journal.run(self.journal.outbox.fill):
            pass
        blocks = []
        while (batch := await self.journal.run(self.journal.outbox.next_pending, "gw-1")) is not None:
            blocks += decode_parquet(batch.body)
            await self.journal.run(self.journal.outbox.record_receipt, batch.header.epoch, batch.header.seq, "stored")
        return blocks


@contextlib.asynccontextmanager
async def gateway(folder: Path, clock: ManualClock) -> AsyncIterator[Gateway]:
    wearers = Wearers(roster())
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=2**30)
    runner = Runner(clock)
    live = Live(wearers, SessionSettings(), [], runner, clock)
    lane: Lane[list[Readings]] = Lane("live", capacity=8, policy=Policy.DROP_OLDEST)
    broadcast = Broadcast(live, lane, Hub(clock), journal, clock)
    shown = asyncio.Event()

    async def on_clock_set(step: ClockStep) -> None:
        await broadcast.on_clock_set(step)
        shown.set()

    watch = ClockWatch(journal, clock, on_clock_set)
    watching = asyncio.create_task(watch.run())
    try:
        yield Gateway(clock, journal, Intake(wearers, clock.boot_id), live, watch, broadcast, shown)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        runner.close()
        journal.close()


async def set_right(gw: Gateway, true_ns: int) -> None:
    """Network time arrives, and what was shown is shown again by it."""
    gw.clock.set_utc(true_ns)
    gw.clock.advance(1.0)
    await asyncio.wait_for(gw.shown.wait(), BOUND_S)


@pytest.mark.parametrize("seconds", list(WRONG.values()), ids=list(WRONG))
async def test_readings_when_the_clock_is_set_after_they_came_then_they_leave_with_the_right_time(
    tmp_path: Path, seconds: int
) -> None:
    """Rule: what waits is stamped anew from monotonic time, in order, each identity as before; device UTC stays."""
    clock = ManualClock(utc_ns=START_NS + seconds * NS_PER_S)
    async with gateway(tmp_path, clock) as gw:
        true_ns = await gw.train(60, true_ns=START_NS)
        await set_right(gw, true_ns)
        await gw.train(60, true_ns=true_ns + NS_PER_S)
        sent = await gw.sent()
    for stream in ("heart_rate", "position"):
        blocks = [block for block in sent if block.stream == stream]
        times = np.concatenate([block.time_ns for block in blocks])
        sequence = np.concatenate([block.sequence for block in blocks])
        assert sorted(sequence.tolist()) == list(range(120))
        right = START_NS + (np.arange(120) + 1 + (np.arange(120) >= 60)) * NS_PER_S
        assert np.abs(times[np.argsort(sequence)] - right).max() < NS_PER_S // 10
        assert np.diff(times[np.argsort(sequence)]).min() > 0
    straps = [block for block in sent if block.stream == "heart_rate"]
    restamped = np.concatenate([block.quality for block in straps]) & Quality.RESTAMPED
    assert np.count_nonzero(restamped) == 60


async def test_session_when_the_clock_is_set_then_totals_go_on(tmp_path: Path) -> None:
    """Rule: a coach sees one session with all its minutes, not one of 1970 and one of today."""
    async with gateway(tmp_path, ManualClock(utc_ns=60 * NS_PER_S)) as gw:
        true_ns = await gw.train(60, true_ns=START_NS)
        await set_right(gw, true_ns)
        await until(lambda: abs(gw.live.newest_ns - true_ns) < 2 * NS_PER_S)
        await gw.train(60, true_ns=true_ns + NS_PER_S)
        assert abs(gw.broadcast.started_ns - START_NS) < 5 * NS_PER_S
        gw.clock.advance(30.0)
        gw.live.refresh()
        tile = gw.live.athletes[AthleteId(ATHLETE)].tile()
        assert tile.zone_s is not None
        assert sum(tile.zone_s) == pytest.approx(120, abs=3)


async def test_batches_when_the_clock_cannot_be_right_then_they_wait_for_it(tmp_path: Path) -> None:
    """Rule: nothing is made ready for the cloud with a time that is known to be wrong; a link says why."""
    async with gateway(tmp_path, ManualClock(utc_ns=START_NS)) as gw:
        await gw.train(5, true_ns=START_NS)
        await asyncio.wait_for(gw.watch.trusted(), 5)
    async with gateway(tmp_path, ManualClock(utc_ns=START_NS - DAY_S * NS_PER_S, boot_id="boot-1")) as gw:
        await until(lambda: gw.watch.status.problem is not None and "behind" in gw.watch.status.problem)
        waiting = asyncio.create_task(gw.watch.trusted())
        gw.clock.set_utc(START_NS + 60 * NS_PER_S)
        gw.clock.advance(1.0)
        await asyncio.wait_for(waiting, 5)
        assert gw.watch.status.up


async def test_clock_when_the_cloud_disagrees_by_hours_then_it_is_not_trusted_and_when_it_agrees_it_is(
    tmp_path: Path,
) -> None:
    """Rule: the cloud's time settles it: readings of a clock that once ran ahead hold nothing back for ever."""
    async with gateway(tmp_path, ManualClock(utc_ns=START_NS + 365 * DAY_S * NS_PER_S)) as gw:
        await gw.train(1, true_ns=START_NS)
        gw.watch.hear(START_NS)
        gw.clock.advance(1.0)
        await until(lambda: gw.watch.status.problem is not None and "ahead" in gw.watch.status.problem)
    async with gateway(tmp_path, ManualClock(utc_ns=START_NS, boot_id="boot-1")) as gw:
        await until(lambda: gw.watch.status.problem is not None)
        gw.watch.hear(START_NS)
        gw.clock.advance(1.0)
        await asyncio.wait_for(gw.watch.trusted(), 5)


async def test_readings_when_uploaded_before_the_clock_was_set_then_a_gap_says_how_many(tmp_path: Path) -> None:
    """Rule: bytes in the outbox are never changed; what left with the old time is counted where people look."""
    async with gateway(tmp_path, ManualClock(utc_ns=START_NS - 3600 * NS_PER_S)) as gw:
        true_ns = await gw.train(10, true_ns=START_NS)
        await gw.sent()
        await set_right(gw, true_ns)
        gaps = await gw.journal.gaps()
    assert [(reason, count) for _, reason, count, _ in gaps] == [("uploaded before the clock was set", 20)]


@pytest.mark.parametrize("seconds", list(WRONG.values()), ids=list(WRONG))
async def test_readings_when_they_come_between_a_step_and_the_look_that_notices_it_then_they_stay(
    tmp_path: Path, seconds: int
) -> None:
    """Rule: a reading that the right clock stamped is never moved, nor the time at which its chunk was stored."""
    clock = ManualClock(utc_ns=START_NS + seconds * NS_PER_S)
    async with gateway(tmp_path, clock) as gw:
        true_ns = await gw.train(5, true_ns=START_NS)
        for bpm, right_ns in ((130, None), (140, true_ns + 2 * NS_PER_S // 5)):
            clock.advance(0.2)
            if right_ns is not None:
                clock.set_utc(right_ns)
            blocks, _ = gw.intake.take([frame(bytes([0, bpm]), clock=clock)])
            await gw.journal.append(blocks)
        await set_right(gw, true_ns + 2 * NS_PER_S // 5)
        sent = {}
        for block in await gw.sent():
            if block.stream == "heart_rate":
                sent |= dict(
                    zip(block.values[:, 0].tolist(), zip(block.time_ns, block.quality, strict=True), strict=True)
                )
        stored_ns = await gw.journal.newest_ns()
    assert sent[130] == (true_ns + NS_PER_S // 5, Quality.RESTAMPED)
    assert sent[140] == (true_ns + 2 * NS_PER_S // 5, Quality.GOOD)
    assert abs(stored_ns - true_ns) < NS_PER_S


async def test_step_when_a_file_of_the_journal_is_missing_then_it_is_stored_once_all_the_same(tmp_path: Path) -> None:
    """Rule: what one file cannot take neither holds the upload back, nor moves readings once more with each look."""
    clock = ManualClock(utc_ns=START_NS - 3600 * NS_PER_S)
    async with gateway(tmp_path, clock) as gw:
        await gw.journal.append([heart_rates([60], times_ns=[clock.utc_ns()])])
        await gw.journal.run(lambda: gw.journal._tail.seal(goes_on=True))
        (tmp_path / "journal" / "000001.sqlite").unlink()
        await gw.train(5, true_ns=START_NS)
        await set_right(gw, START_NS)
        for _ in range(3):
            clock.advance(1.0)
        await asyncio.wait_for(gw.watch.trusted(), 5)
        steps = "SELECT count(*) FROM clock_step"
        assert await gw.journal.run(lambda: gw.journal._connection.execute(steps).fetchone()) == (1,)


async def test_step_when_the_store_fails_then_it_is_stored_later_and_nothing_leaves_before(tmp_path: Path) -> None:
    """Rule: a step that the journal cannot take is tried again; until then the clock is not trusted."""
    clock = ManualClock(utc_ns=START_NS)
    async with gateway(tmp_path, clock) as gw:
        await asyncio.wait_for(gw.watch.trusted(), 5)
        refuse = "CREATE TRIGGER refuse BEFORE INSERT ON clock_step BEGIN SELECT raise(FAIL, 'no'); END"
        await gw.journal.run(lambda: gw.journal._connection.execute(refuse))
        clock.set_utc(START_NS + DAY_S * NS_PER_S)
        clock.advance(1.0)
        await until(lambda: gw.watch.status.problem is not None and "stamped anew" in gw.watch.status.problem)
        assert not gw.watch.is_trusted()
        await gw.journal.run(lambda: gw.journal._connection.execute("DROP TRIGGER refuse"))
        clock.advance(1.0)
        await asyncio.wait_for(gw.watch.trusted(), 5)
        steps = await gw.journal.run(
            lambda: gw.journal._connection.execute("SELECT shift_ns FROM clock_step").fetchall()
        )
    assert steps == [(DAY_S * NS_PER_S,)]
