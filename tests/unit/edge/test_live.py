"""The live lane's far end: sessions, alerts and a restart, on a real journal."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from edge.inference.runner import Runner
from edge.lanes import Lane, Policy
from edge.messages import TilePatch
from edge.pipeline.intake import Intake
from edge.pipeline.live import Live
from edge.pipeline.roster import Wearers
from edge.settings import AlertRule, SessionSettings
from edge.store.journal import SESSION_GAP_NS, Journal
from edge.ui.broadcast import Broadcast
from edge.ui.hub import Hub
from shared.clock import NS_PER_S, ManualClock
from shared.features import athlete as effort
from shared.ids import AthleteId, SensorId
from shared.readings import Readings, select
from tests.factories import ATHLETE, START_NS, heart_rates, positions, roster
from tests.fakes.tablet import TabletConnection
from tests.tools import settled, until

RULE = AlertRule(rule="hr-high@1", variable="hr_percent_max", on=95.0, off=90.0, dwell_s=0.0)
OTHER = AthleteId("a02")


@dataclass(kw_only=True)
class Bench:
    """The parts around Broadcast, wired as in the gateway."""

    folder: Path
    clock: ManualClock
    journal: Journal
    runner: Runner

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin a run of the gateway, with what an earlier one stored."""
        self.wearers = Wearers(roster(2))
        self.lane: Lane[list[Readings]] = Lane("live", capacity=16, policy=Policy.DROP_OLDEST)
        self.hub = Hub(self.clock)
        self.live = Live(self.wearers, SessionSettings(), [RULE], self.runner, self.clock)
        self.broadcast = Broadcast(self.live, self.lane, self.hub, self.journal, self.clock)

    async def show(self, *blocks: Readings) -> None:
        """Let blocks come through the lane."""
        self.lane.offer(list(blocks))
        showing = asyncio.create_task(self.broadcast.show())
        await settled()
        assert not len(self.lane)
        await end(showing)

    async def second(self) -> None:
        """Let one second pass: totals, models, rules."""
        passing = asyncio.create_task(self.broadcast.each_second())
        await settled()
        self.clock.advance(1.0)
        await settled()
        await self.journal.totals()  # what the second stores stands in the writer's queue before this
        await settled()
        await end(passing)

    def alerts(self) -> list[tuple[str, int | None]]:
        """Return athlete and end of the alerts that are stored."""
        with contextlib.closing(sqlite3.connect(self.folder / "gateway.sqlite")) as connection:
            return connection.execute("SELECT athlete, ended_ns FROM alert ORDER BY athlete").fetchall()


async def end(task: "asyncio.Task[None]") -> None:
    """Cancel a part and wait for it."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = ManualClock(utc_ns=START_NS)
    journal = Journal.open(tmp_path / "gateway.sqlite", clock, max_bytes=64 * 1024 * 1024)
    runner = Runner(clock)
    yield Bench(folder=tmp_path, clock=clock, journal=journal, runner=runner)
    runner.close()
    journal.close()


def run_of(seconds: int, *, start_ns: int = START_NS, origin: str = "boot-0") -> Readings:
    """Return a run at 3 m/s."""
    steps = np.arange(seconds * 10)
    times = start_ns + steps * (NS_PER_S // 10)
    return positions(np.column_stack((steps * 0.3, steps * 0.0)), times_ns=times, origin=origin)


async def test_session_when_readings_pause_for_half_an_hour_then_the_next_ones_begin_a_new_one(bench: Bench) -> None:
    """Rule: a second training of the day never adds to the first, also when the gateway stays on."""
    tablet = TabletConnection()
    serving = asyncio.create_task(bench.hub.serve(tablet, TilePatch(sent_ns=0, tiles=[])))
    await bench.show(run_of(60))
    bench.clock.advance(SESSION_GAP_NS / NS_PER_S)
    await bench.show(run_of(10, start_ns=bench.clock.utc_ns(), origin="boot-1"))
    assert bench.broadcast.started_ns == START_NS
    assert not serving.done()
    bench.clock.advance(SESSION_GAP_NS / NS_PER_S + 1)
    second_ns = bench.clock.utc_ns()
    await bench.show(run_of(30, start_ns=second_ns, origin="boot-2"))
    await serving
    assert bench.hub.clients == 0
    assert bench.broadcast.started_ns == second_ns
    bench.clock.advance(60.0)
    bench.live.refresh()
    assert bench.live.athletes[ATHLETE].totals["distance_m"] == pytest.approx(30 * 3.0, abs=0.5)


async def test_session_when_it_ends_with_an_alert_then_the_alert_ends_too(bench: Bench) -> None:
    """Rule: an alert does not outlive its session."""
    await bench.show(heart_rates([189]))
    await bench.second()
    assert bench.alerts() == [(ATHLETE, None)]
    bench.clock.advance(SESSION_GAP_NS / NS_PER_S + 1)
    bench.lane.offer([heart_rates([100], times_ns=[bench.clock.utc_ns()], first=1)])
    showing = asyncio.create_task(bench.broadcast.show())
    await until(lambda: bench.live.athletes[ATHLETE].hr_bpm == 100)
    await end(showing)
    assert bench.alerts() == [(ATHLETE, bench.clock.utc_ns())]
    assert bench.live.alerts == {}


async def test_session_when_the_machine_clock_is_set_back_then_a_new_one_begins(bench: Bench) -> None:
    """Rule: what is shown never stands still until a clock that was set back has caught up."""
    await bench.show(heart_rates([150]))
    bench.clock.set_utc(START_NS - 50 * NS_PER_S)
    await bench.show(heart_rates([151], times_ns=[bench.clock.utc_ns()], first=1))
    assert bench.live.athletes[ATHLETE].hr_bpm == 150
    bench.clock.set_utc(START_NS - 3600 * NS_PER_S)
    await bench.show(heart_rates([152], times_ns=[bench.clock.utc_ns()], first=2))
    assert bench.live.athletes[ATHLETE].hr_bpm == 152
    assert bench.broadcast.started_ns == bench.clock.utc_ns()


async def test_alerts_when_the_store_fails_then_coaches_are_told_of_every_one(bench: Bench) -> None:
    """Rule: an alert reaches the tablets before the store, and one that is not stored loses no other."""
    with contextlib.closing(sqlite3.connect(bench.folder / "gateway.sqlite")) as connection:
        connection.execute("ALTER TABLE alert RENAME TO away")
    tablet = TabletConnection()
    serving = asyncio.create_task(bench.hub.serve(tablet, TilePatch(sent_ns=0, tiles=[])))
    await bench.show(heart_rates([189]), heart_rates([189], athlete=OTHER, sensor=SensorId("other")))
    await bench.second()
    await until(lambda: sum('"alert"' in text for text in tablet.arrived) == 2)
    with contextlib.closing(sqlite3.connect(bench.folder / "gateway.sqlite")) as connection:
        connection.execute("ALTER TABLE away RENAME TO alert")
    await bench.show(heart_rates([100], first=1, times_ns=[bench.clock.utc_ns()]))
    await bench.second()
    assert bench.alerts() == [(ATHLETE, bench.clock.utc_ns())]
    await end(serving)


async def test_restore_when_readings_were_stored_one_by_one_then_totals_trace_and_late_are_those_of_one_run(
    bench: Bench,
) -> None:
    """Rule: a restart changes no total, whatever the order in which streams and chunks are read back."""
    beats, path = heart_rates(np.full(120, 152)), run_of(120)
    for second in range(120):
        own = slice(second * 10, second * 10 + 10)
        mine = positions(path.values[own, :2], times_ns=path.time_ns[own], first=second * 10)
        await bench.journal.append([mine])
        beat = heart_rates([150 + second % 5], times_ns=beats.time_ns[second : second + 1], first=second)
        await bench.journal.append([beat])
        bench.live.take([mine])
        bench.live.take([beat])
        bench.clock.advance(1.0)
    first = bench.live
    bench.start()
    await bench.broadcast.remember(Intake(bench.wearers, "boot-1"))
    await bench.broadcast.restore()
    for live in (first, bench.live):
        live.refresh()
    before, after = first.tiles(with_trace=True)[0], bench.live.tiles(with_trace=True)[0]
    assert after.distance_m == pytest.approx(before.distance_m)
    assert after.trimp == pytest.approx(before.trimp)
    assert (after.hr_bpm, after.trace_bpm) == (before.hr_bpm, before.trace_bpm)
    assert after.trace_bpm is not None
    assert None not in after.trace_bpm[:-1]
    assert (first.late, bench.live.late) == (0, 0)


async def test_restore_when_readings_come_meanwhile_then_each_counts_once(bench: Bench) -> None:
    """Rule: what was stored before and what came during a restore are told apart by their numbers."""
    path = run_of(30)
    parts = [
        positions(path.values[own, :2], times_ns=path.time_ns[own], first=own.start)
        for own in (slice(n * 100, n * 100 + 100) for n in range(3))
    ]
    for part in parts[:2]:
        await bench.journal.append([part])
    bench.clock.advance(30.0)
    bench.start()
    bench.lane.offer([parts[1]])  # stored already, and still on its way to the tablets
    bench.lane.offer([parts[2]])
    await bench.broadcast.restore()
    assert not len(bench.lane)
    bench.clock.advance(30.0)
    bench.live.refresh()
    assert bench.live.athletes[ATHLETE].totals["distance_m"] == pytest.approx(29.9 * 3.0, abs=0.5)


def test_restore_when_the_session_is_long_then_the_models_inputs_are_those_of_one_run(bench: Bench) -> None:
    """Rule: distance and time behind the expected heart rate are the whole session's, also after a restart."""
    seconds = np.arange(9000) / 10.0
    path = positions(np.column_stack((50 + 30 * np.sin(seconds / 9), 30 + 20 * np.cos(seconds / 7))))
    pulse = heart_rates(np.full(900, 150.0))

    def between(begun: int, over: int) -> list[Readings]:
        return [select(path, slice(10 * begun, 10 * over)), select(pulse, slice(begun, over))]

    whole, again = (Live(bench.wearers, SessionSettings(), [], bench.runner, bench.clock) for _ in range(2))
    for begun in range(0, 880, 55):
        again.restore(between(begun, begun + 55))
    again.restored()
    for begun in range(900):
        whole.take(between(begun, begun + 1))
        if begun >= 880:
            again.take(between(begun, begun + 1))
    for live in (whole, again):
        live.refresh()
    one, other = (effort.row(live.athletes[AthleteId(ATHLETE)].effort_state) for live in (whole, again))
    assert one is not None
    assert other is not None
    assert (other.time_ns, again.late) == (one.time_ns, whole.late)
    np.testing.assert_allclose(other.values, one.values, rtol=1e-4)


async def test_session_when_a_restart_lies_in_its_pause_then_the_pause_counts_whole(bench: Bench) -> None:
    """Rule: time before a restart counts towards the pause that ends a session."""
    await bench.journal.append([run_of(10)])
    bench.clock.advance(20 * 60)
    bench.start()
    await bench.broadcast.remember(Intake(bench.wearers, "boot-1"))
    await bench.broadcast.restore()
    assert bench.broadcast.started_ns == START_NS
    bench.clock.advance(15 * 60)
    await bench.show(run_of(1, start_ns=bench.clock.utc_ns(), origin="boot-1"))
    assert bench.broadcast.started_ns == bench.clock.utc_ns()


async def test_totals_when_a_tag_is_five_seconds_slow_then_they_are_whole(bench: Bench) -> None:
    """Rule: a strap, stamped at arrival, never makes a slow tag's readings late."""
    path = run_of(60, start_ns=START_NS - 5 * NS_PER_S)
    for second in range(60):
        own = slice(second * 10, second * 10 + 10)
        bench.live.take([positions(path.values[own, :2], times_ns=path.time_ns[own], first=second * 10)])
        bench.live.take([heart_rates([150], times_ns=[bench.clock.utc_ns()], first=second)])
        bench.live.refresh()
        bench.clock.advance(1.0)
    bench.clock.advance(30.0)
    bench.live.refresh()
    assert bench.live.late == 0
    assert bench.live.athletes[ATHLETE].totals["distance_m"] == pytest.approx(60 * 3.0, abs=0.5)


def test_refreshing_when_two_squads_train_then_each_second_takes_half_and_every_total_moves_on(bench: Bench) -> None:
    """Rule: a second refreshes thirty athletes at most, one a step, and nobody waits for longer than a second more."""
    squads = roster(60)
    live = Live(Wearers(squads), SessionSettings(), [], bench.runner, bench.clock)
    path = run_of(10)
    live.take(
        [replace(path, sensor=SensorId(f"tag-{a.number}"), athlete=AthleteId(a.athlete)) for a in squads.athletes]
    )
    known: list[set[AthleteId]] = []
    for _ in range(2):
        steps = sum(1 for _ in live.refreshing())
        known.append({athlete for athlete, one in live.athletes.items() if one.totals})
        assert steps == 30
    assert [len(athletes) for athletes in known] == [30, 60]
    assert live.metrics_of(AthleteId(squads.athletes[0].athlete)) is not None


async def test_metrics_when_asked_before_the_second_is_over_then_they_hold_what_has_come(bench: Bench) -> None:
    """Rule: who opens an athlete, and the summary for the cloud, see every window that is over."""
    bench.live.take([run_of(30)])
    metrics = bench.live.metrics_of(AthleteId(ATHLETE))
    assert metrics is not None
    shown = {metric.metric: metric.values[0] for metric in metrics.metrics}
    assert shown["distance@2"] == pytest.approx(28 * 3.0, abs=3.0)
    bench.start()
    bench.live.take([run_of(30)])
    told = {summary.metric: summary.values for summary in await bench.live.summaries(bench.clock.utc_ns())}
    assert told["distance@2"][0] == pytest.approx(28 * 3.0, abs=3.0)
