"""Puts what was shown into the outbox's first lane: metrics, alerts and gaps, small and soon."""

from edge.pipeline.live import Live
from edge.pipeline.roster import Wearers
from edge.settings import GatewaySettings
from edge.store.journal import Journal
from shared.batch import AlertSummary, GapSummary, SessionSummary, summary_of
from shared.clock import Clock
from shared.errors import StoreFull
from shared.roster import profile_of


class Summaries:
    """Makes a summary at its interval."""

    def __init__(self, settings: GatewaySettings, live: Live, wearers: Wearers, journal: Journal, clock: Clock) -> None:
        self._gateway = settings.gateway
        self._interval_s = settings.sync.summary_s
        self._live = live
        self._journal = journal
        self._clock = clock
        self._sent_alerts: dict[str, int | None] = {}
        self._gap_position = 0
        self._sent_metrics: list[tuple[str, str, list[float | None]]] = []
        self._profiles = [
            summary_of(profile_of(athlete, wearers.roster), athlete.team) for athlete in wearers.roster.athletes
        ]

    async def run(self) -> None:
        """Add a summary whenever there is something to tell, until cancelled."""
        while True:
            await self._clock.sleep(self._interval_s)
            await self.add()

    async def add(self) -> None:
        """Add one summary of now."""
        now_ns = self._clock.utc_ns()
        gaps, position = await self._journal.gaps_after(self._gap_position)
        alerts = [a for a in self._live.alerts.values() if self._sent_alerts.get(a.alert, -1) != a.ended_ns]
        metrics = self._live.summaries(now_ns)
        shown = [(m.athlete, m.metric, m.values) for m in metrics]
        if shown == self._sent_metrics and not alerts and not gaps:
            return
        summary = SessionSummary(
            gateway=self._gateway,
            time_ns=now_ns,
            profiles=self._profiles,
            metrics=metrics,
            alerts=[
                AlertSummary(
                    alert=a.alert,
                    athlete=a.athlete,
                    rule=a.rule,
                    severity=a.severity.value,
                    why=a.why,
                    started_ns=a.started_ns,
                    ended_ns=a.ended_ns,
                )
                for a in alerts
            ],
            gaps=[
                GapSummary(
                    sensor=g.sensor, stream=g.stream, from_ns=g.from_ns, to_ns=g.to_ns, count=g.count, reason=g.reason
                )
                for g in gaps
            ],
        )
        try:
            await self._journal.run(self._journal.outbox.add_summary, summary)
        except StoreFull:
            return  # the same is told in the next one
        self._sent_metrics = shown
        self._gap_position = position
        self._sent_alerts.update({a.alert: a.ended_ns for a in alerts})
