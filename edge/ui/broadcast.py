"""Drives the live state: takes blocks as they come, once a second the models and rules, ten times a second the map."""

from edge.lanes import Lane
from edge.pipeline.intake import Intake
from edge.pipeline.live import Live
from edge.store.journal import Journal
from edge.ui.hub import Hub
from shared.clock import NS_PER_S, Clock
from shared.readings import Readings

_FRAME_S = 0.1
_SECOND_S = 1.0
# Readings that come within this time are shown together: a tile is built once, not once a reading.
_TOGETHER_S = 0.01
# Training that pauses for longer than this is another session.
SESSION_GAP_NS = 30 * 60 * NS_PER_S
_RUNS_NS = 5 * 60 * NS_PER_S
_RESTORE_CHUNKS = 200
# Chunks whose readings a broker may deliver again after a restart: far more than one commit.
_REMEMBER_CHUNKS = 500


class Broadcast:
    """Owner of the live lane's far end."""

    def __init__(self, live: Live, lane: Lane[list[Readings]], hub: Hub, journal: Journal, clock: Clock) -> None:
        self._live = live
        self._lane = lane
        self._hub = hub
        self._journal = journal
        self._clock = clock
        self.started_ns = clock.utc_ns()

    async def restore(self, intake: Intake) -> None:
        """Go on with the session that a stop or a crash interrupted: totals, and which readings are stored already."""
        intake.remember(await self._journal.recent(_REMEMBER_CHUNKS))
        first, self.started_ns = await self._journal.session(self._clock.utc_ns(), SESSION_GAP_NS)
        position = first - 1
        while chunks := await self._journal.chunks_after(position, _RESTORE_CHUNKS):
            for row, blocks in chunks:
                self._live.restore(blocks)
                position = row

    async def show(self) -> None:
        """Pass blocks to the live state and the changed tiles to the tablets, until cancelled."""
        while True:
            for blocks in await self._lane.take_all():
                self._live.take(blocks)
            if self._hub.clients:
                self._hub.tiles(self._live.take_changed())
            await self._clock.sleep(_TOGETHER_S)

    async def each_second(self) -> None:
        """Totals, expected heart rates and alerts, until cancelled."""
        while True:
            await self._clock.sleep(_SECOND_S)
            self._live.refresh()
            await self._live.expect_effort()
            for alert in self._live.watch_rules():
                await self._journal.store_alert(alert)
                self._hub.alert(self._live.alert_message(alert))
            self._hub.tiles(self._live.take_changed())

    async def each_frame(self) -> None:
        """The map, ten times a second, until cancelled."""
        period_ns = round(_FRAME_S * NS_PER_S)
        due_ns = self._clock.mono_ns()
        while True:
            dots = await self._live.look_ahead()
            if dots:
                self._hub.dots(dots)
            # A late frame is not made up for: the next one is newer.
            due_ns = max(due_ns + period_ns, self._clock.mono_ns())
            await self._clock.sleep((due_ns - self._clock.mono_ns()) / NS_PER_S)

    def session_runs(self) -> bool:
        """Return whether readings have come in the last five minutes."""
        return self._clock.utc_ns() - self._live.newest_ns < _RUNS_NS

    def on_seen(self, alert: str) -> None:
        """A coach has seen an alert: tell the other tablets."""
        known = self._live.alerts.get(alert)
        if known is not None and alert not in self._live.seen:
            self._live.seen.add(alert)
            self._hub.alert(self._live.alert_message(known))
