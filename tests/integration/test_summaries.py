"""What a summary tells: gaps once each, also over a restart, and metrics seldom while the cloud is away."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.inference.runner import Runner
from edge.pipeline.intake import Intake
from edge.pipeline.live import Live
from edge.pipeline.roster import Wearers
from edge.settings import GatewaySettings, SessionSettings
from edge.store.journal import Journal
from edge.sync.summaries import Summaries
from shared.batch import SessionSummary
from shared.clock import ManualClock
from shared.readings import Gap
from tests.factories import frame, roster

MINUTE = 60


@dataclass
class Told:
    """A journal, and what makes summaries of a strap's beats."""

    clock: ManualClock
    journal: Journal
    intake: Intake
    live: Live
    summaries: Summaries

    async def train(self, seconds: int) -> None:
        """Let a strap beat, and add a summary every ten seconds."""
        for second in range(1, seconds + 1):
            self.clock.advance(1.0)
            blocks, _ = self.intake.take([frame(bytes([0, 120 + self.clock.utc_ns() // 10**9 % 40]), clock=self.clock)])
            self.live.take(blocks)
            if second % 10 == 0:
                await self.summaries.add()

    async def sent(self) -> list[SessionSummary]:
        """Return the summaries that wait, and give each a receipt."""
        found = []
        while (batch := await self.journal.run(self.journal.outbox.next_pending, "gw-1")) is not None:
            found.append(msgspec.json.decode(batch.body, type=SessionSummary))
            await self.journal.run(self.journal.outbox.record_receipt, batch.header.epoch, batch.header.seq, "stored")
        return found


@contextlib.asynccontextmanager
async def telling(folder: Path, clock: ManualClock) -> AsyncIterator[Told]:
    """Run a journal and its summaries; a second time on the same folder is a restart."""
    wearers = Wearers(roster())
    settings = GatewaySettings(gateway="gw-1", data_dir=str(folder), roster_file="roster.toml")
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=2**26)
    runner = Runner(clock)
    live = Live(wearers, SessionSettings(), [], runner, clock)
    try:
        yield Told(
            clock, journal, Intake(wearers, clock.boot_id), live, Summaries(settings, live, wearers, journal, clock)
        )
    finally:
        runner.close()
        journal.close()


def lost(count: int) -> Gap:
    return Gap(sensor=None, stream="rr", from_ns=count, to_ns=count, count=count, reason="lost")


async def test_gaps_when_told_then_each_once_and_a_restart_does_not_repeat_them(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: what is missing reaches the cloud, in summaries that stay small however long the list has grown."""
    gaps = [lost(n) for n in range(1, 5001)]
    async with telling(tmp_path, clock) as told:
        await told.journal.note([], gaps[:4990])
        for _ in range(4):
            await told.summaries.add()
        first = await told.sent()
    async with telling(tmp_path, clock) as told:
        await told.summaries.add()
        assert await told.sent() == [], "nothing is new"
        await told.journal.note([], gaps[4990:])
        await told.summaries.add()
        second = await told.sent()
    assert [gap.count for summary in first + second for gap in summary.gaps] == [gap.count for gap in gaps]
    assert [len(summary.gaps) for summary in first] == [2000, 2000, 990]


async def test_metrics_when_the_cloud_is_away_then_they_are_added_seldom_and_gaps_all_the_same(
    tmp_path: Path, clock: ManualClock
) -> None:
    """Rule: a day without the cloud does not fill the store with what was shown; the newest of it is there."""
    async with telling(tmp_path, clock) as told:
        await told.train(2 * MINUTE)
        await told.sent()
        await told.train(30 * MINUTE)
        await told.journal.note([], [lost(7)])
        await told.summaries.add()
        waiting = await told.sent()
        assert 6 <= len(waiting) <= 6 + 30 / 5 + 2
        assert [gap.count for gap in waiting[-1].gaps] == [7]
        with_metrics = [summary for summary in waiting if summary.metrics]
        assert told.clock.utc_ns() - with_metrics[-1].time_ns <= 300 * 10**9
        await told.train(MINUTE)
        assert len(await told.sent()) == 6, "the cloud is back: with every summary again"
