"""Puts what was shown into the outbox's first lane: metrics, alerts and gaps, small and soon.

Metrics tell of the whole session so far: while earlier summaries wait for the cloud they are added seldom, or a day
without it would leave more summaries than readings. Alerts and gaps are told once each and never left out.
"""

from edge.pipeline.live import Live
from edge.pipeline.roster import Wearers
from edge.settings import GatewaySettings
from edge.store.journal import Journal
from shared.batch import AlertSummary, GapSummary, SessionSummary, summary_of
from shared.clock import NS_PER_S, Clock
from shared.errors import StoreFull
from shared.roster import profile_of

# So many wait when the cloud has been away for a minute, and then metrics are added so seldom.
_MANY_WAITING = 6
_SELDOM_NS = 300 * NS_PER_S


class Summaries:
    """Makes a summary at its interval."""

    def __init__(self, settings: GatewaySettings, live: Live, wearers: Wearers, journal: Journal, clock: Clock) -> None:
        self._gateway = settings.gateway
        self._interval_s = settings.sync.summary_s
        self._live = live
        self._journal = journal
        self._clock = clock
        self._sent_alerts: dict[str, int | None] = {}
        self._sent_metrics: list[tuple[str, str, list[float | None]]] = []
        self._metrics_ns: int | None = None
        """When metrics were added last."""
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
        gaps, position = await self._journal.untold_gaps()
        alerts = [a for a in self._live.alerts.values() if self._sent_alerts.get(a.alert, -1) != a.ended_ns]
        metrics = await self._live.summaries(now_ns) if await self._is_metrics_turn() else []
        shown = [(m.athlete, m.metric, m.values) for m in metrics]
        has_news = bool(metrics) and shown != self._sent_metrics
        if not has_news and not alerts and not gaps:
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
            await self._journal.run(self._journal.outbox.add_summary, summary, position)
        except StoreFull:
            return  # the same is told in the next one
        if metrics:
            self._sent_metrics, self._metrics_ns = shown, self._clock.mono_ns()
        self._sent_alerts.update({a.alert: a.ended_ns for a in alerts})
        self._sent_alerts = {
            alert: self._sent_alerts[alert] for alert in self._live.alerts if alert in self._sent_alerts
        }

    async def _is_metrics_turn(self) -> bool:
        """Return whether metrics are due: with every summary, seldom while many wait for the cloud."""
        if self._metrics_ns is None or self._clock.mono_ns() - self._metrics_ns >= _SELDOM_NS:
            return True
        return await self._journal.run(self._journal.outbox.summaries_waiting) < _MANY_WAITING
