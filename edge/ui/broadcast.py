"""Drives the live state: takes blocks as they come, once a second the models and rules, ten times a second the map."""

import asyncio
from collections.abc import Sequence

from edge.lanes import Lane
from edge.pipeline.intake import Intake
from edge.pipeline.live import Live
from edge.store.journal import SESSION_GAP_NS, Journal
from edge.store.restamp import ClockStep
from edge.ui.hub import Hub
from shared.alerts import Alert
from shared.clock import NS_PER_S, Clock
from shared.errors import StoreError
from shared.log import FailureLog, get_logger
from shared.readings import Readings, select

_log = get_logger("live")
_FRAME_S = 0.1
_SECOND_S = 1.0
# Readings that come within this time are shown together: a tile is built once, not once a reading.
_TOGETHER_S = 0.02
# A machine's clock that is set back by more than this begins one too: by less, what is shown waits for it.
_SET_BACK_NS = 60 * NS_PER_S
# By less, tiles and map catch up by themselves.
_SHOWN_AGAIN_NS = 2 * NS_PER_S
_RUNS_NS = 5 * 60 * NS_PER_S
# Half a minute of chunks: readings are merged before they are pushed, and other parts get their turn in between.
_RESTORE_CHUNKS = 6
# The last commits and a chunk or two: what a broker may deliver again after a restart is the last commit's.
_REMEMBER_CHUNKS = 200


class Broadcast:
    """Owner of the live lane's far end."""

    def __init__(self, live: Live, lane: Lane[list[Readings]], hub: Hub, journal: Journal, clock: Clock) -> None:
        self._live = live
        self._lane = lane
        self._hub = hub
        self._journal = journal
        self._clock = clock
        self._heard_ns = clock.mono_ns()
        self._in_order = asyncio.Lock()
        """Held by whoever changes the live state in more than one step."""
        self._failures = FailureLog(_log, "alerts cannot be stored")
        self.started_ns = clock.utc_ns()

    async def remember(self, intake: Intake) -> None:
        """Tell the intake which readings are stored already, before the first comes again."""
        intake.remember(await self._journal.recent(_REMEMBER_CHUNKS))

    async def restore(self) -> None:
        """Go on with the session that a stop or a crash interrupted, while new readings are being stored.

        What comes meanwhile is shown once the totals are there, in order.
        """
        async with self._in_order:
            try:
                await self._journal.end_open_alerts(self._clock.utc_ns())
            except StoreError as exc:  # a full disk
                self._failures.failed(str(exc))
            try:
                await self._go_on()
            except StoreError as exc:  # a damaged file: what comes now is shown all the same
                _log.error("the session so far is not shown", problem=str(exc))
            finally:
                self._live.restored()

    async def on_clock_set(self, step: ClockStep) -> None:
        """The machine's clock was set: show the session again from what is stored, by the right time."""
        if abs(step.shift_ns) < _SHOWN_AGAIN_NS:
            return
        async with self._in_order:
            await self._begin_session()
            await self._go_on()

    async def _go_on(self) -> None:
        """Take what this session has stored into the live state, and after it what was stored meanwhile."""
        first, self.started_ns = await self._journal.session(self._clock.utc_ns(), SESSION_GAP_NS)
        position = first - 1
        known: dict[tuple[str, str, str], int] = {}
        while chunks := await self._journal.chunks_after(position, _RESTORE_CHUNKS):
            blocks = [block for _, blocks in chunks for block in blocks]
            self._live.restore(blocks)
            for block in blocks:
                key = (block.sensor, block.stream, block.origin)
                known[key] = max(known.get(key, 0), int(block.sequence.max()))
            position = chunks[-1][0]
            await asyncio.sleep(0)
        self._live.restored()
        for blocks in self._lane.take_now():  # what has come since: some of it was stored, and just read
            self._live.take([part for block in blocks if len(part := _beyond(block, known))])
        if self._live.newest_ns:
            self._heard_ns -= max(0, self._clock.utc_ns() - self._live.newest_ns)

    async def show(self) -> None:
        """Pass blocks to the live state and the changed tiles to the tablets, until cancelled."""
        while True:
            await self._lane.filled()
            async with self._in_order:
                batches = self._lane.take_now()
                if self._is_over():
                    await self._begin_session()
                self._heard_ns = self._clock.mono_ns()
                self._live.take([block for blocks in batches for block in blocks])
            if self._hub.clients:
                self._hub.tiles(self._live.take_changed())
            await self._clock.sleep(_TOGETHER_S)

    async def each_second(self) -> None:
        """Totals, expected heart rates, alerts and team metrics, until cancelled."""
        while True:
            await self._clock.sleep(_SECOND_S)
            for _ in self._live.refreshing():
                await asyncio.sleep(0)
            await self._live.expect_effort()
            changes = self._live.watch_rules()
            for alert in changes:
                self._hub.alert(self._live.alert_message(alert))
            self._hub.tiles(self._live.take_changed())
            if self._hub.clients and (teams := self._live.teams()):
                self._hub.teams(teams)
            await self._store(changes)

    async def each_frame(self) -> None:
        """The map, ten times a second, until cancelled.

        Without a tablet once a second: a model that is being tried is judged by its answers all the same.
        """
        due_ns = self._clock.mono_ns()
        while True:
            dots = await self._live.look_ahead()
            if dots:
                self._hub.dots(dots)
            # A late frame is not made up for: the next one is newer.
            period_s = _FRAME_S if self._hub.clients else _SECOND_S
            due_ns = max(due_ns + round(period_s * NS_PER_S), self._clock.mono_ns())
            await self._clock.sleep((due_ns - self._clock.mono_ns()) / NS_PER_S)

    def _is_over(self) -> bool:
        """Return whether readings that have just come belong to a new session."""
        set_back_ns = self._live.newest_ns - self._clock.utc_ns()
        return self._clock.mono_ns() - self._heard_ns > SESSION_GAP_NS or set_back_ns > _SET_BACK_NS

    async def _begin_session(self) -> None:
        ended = self._live.begin_session()
        self.started_ns = self._clock.utc_ns()
        self._hub.end()
        await self._store(ended)

    async def _store(self, alerts: Sequence[Alert]) -> None:
        """Store alerts; coaches have been told of them already."""
        for alert in alerts:
            try:
                await self._journal.store_alert(alert)
            except StoreError as exc:
                self._failures.failed(str(exc))
            else:
                self._failures.recovered()

    def session_runs(self) -> bool:
        """Return whether readings have come in the last five minutes."""
        return self._clock.utc_ns() - self._live.newest_ns < _RUNS_NS

    def on_seen(self, alert: str) -> None:
        """A coach has seen an alert: tell the other tablets."""
        known = self._live.alerts.get(alert)
        if known is not None and alert not in self._live.seen:
            self._live.seen.add(alert)
            self._hub.alert(self._live.alert_message(known))


def _beyond(block: Readings, known: dict[tuple[str, str, str], int]) -> Readings:
    """Return the readings of a block that come after the last known one of their sensor."""
    return select(block, block.sequence > known.get((block.sensor, block.stream, block.origin), -1))
