"""What the health page shows, gathered from the parts that know it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import psutil

from edge.counters import Measures, QueueState, ReconcileCounts, UploadCounts
from edge.health_messages import (
    AdapterHealth,
    GapEntry,
    Health,
    LinkHealth,
    ModelHealth,
    NearSensor,
    QuarantineEntry,
    SensorHealth,
    SessionEntry,
    StoreHealth,
)
from edge.inference.runner import Runner
from edge.links import LinkStatus
from edge.pipeline.intake import Intake, SensorCounts
from edge.pipeline.keeping import Keeper
from edge.pipeline.roster import Wearers
from edge.release.slots import Slot
from edge.store.backlog import Backlog
from edge.store.journal import Journal
from shared.clock import NS_PER_S, Clock
from shared.ids import SensorId

if TYPE_CHECKING:  # the radio's library is loaded where the settings name a radio
    from edge.sources.ble import BleSource, SensorLink

# A tag without a link of its own counts as connected while its messages come.
_SILENT_NS = 5 * NS_PER_S
# The list is asked for less often than the rest, and a tablet shows no more.
_SESSIONS_NS = 5 * NS_PER_S
_SESSIONS_SHOWN = 30
# A session whose readings are newer than this is still going on.
_RUNS_NS = 60 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The parts that the health page asks."""

    journal: Journal
    intake: Intake
    wearers: Wearers
    runner: Runner
    slots: Callable[[], dict[str, Slot]]
    links: Callable[[], Sequence[LinkStatus]]
    radio: "BleSource | None"
    late: Callable[[], int]
    live_dropped: Callable[[], int]
    quota_bytes: int
    queues: Callable[[], list[QueueState]]
    withheld: Callable[[], int]
    """Frames that came and are not acknowledged yet."""
    uploads: UploadCounts
    epoch_renewals: Callable[[], int]
    reconciled: ReconcileCounts
    keeper: Keeper


class HealthReport:
    """Gathers the page; the slower questions go to the store's own thread."""

    def __init__(self, gateway: str, version: str, sources: Sources, clock: Clock) -> None:
        self._gateway = gateway
        self._version = version
        self._sources = sources
        self._clock = clock
        self._started_ns = clock.utc_ns()
        self._process = psutil.Process()
        self._sessions: list[SessionEntry] = []
        self._sessions_mono_ns: int | None = None

    async def gather(self) -> Health:
        """Return the page's content now."""
        journal = self._sources.journal
        totals = await journal.totals()
        backlog = await journal.run(journal.outbox.backlog)
        now_ns = self._clock.utc_ns()
        cpu = self._process.cpu_times()
        return Health(
            gateway=self._gateway,
            version=self._version,
            started_ns=self._started_ns,
            cpu_s=round(cpu.user + cpu.system, 2),
            rss_mb=round(self._process.memory_info().rss / 1024**2, 1),
            sync_lag_s=None if backlog.oldest_ns is None else max(0.0, (now_ns - backlog.oldest_ns) / NS_PER_S),
            links=[
                LinkHealth(link=link.link, up=link.up, since_ns=link.since_ns, problem=link.problem)
                for link in self._sources.links()
            ],
            sensors=self._sensors(now_ns),
            models=[self._model(slot) for slot in self._sources.slots().values()],
            store=self._store(totals, backlog),
            quarantine=[
                *(
                    QuarantineEntry(sensor=sensor, reason=reason, count=count, last_ns=last_ns)
                    for sensor, reason, count, last_ns in await journal.quarantined()
                ),
                *self._strangers(now_ns),
            ],
            gaps=[
                *(
                    GapEntry(stream=stream, reason=reason, count=count, last_ns=last_ns)
                    for stream, reason, count, last_ns in await journal.gaps()
                ),
                *self._late(now_ns),
            ],
            live_dropped=self._sources.live_dropped(),
            adapters=self._adapters(),
            near=self._near(now_ns),
            sessions=await self._stored_sessions(),
        )

    def measures(self) -> Measures:
        """Return what the parts have counted of themselves, for `/metrics`."""
        sources = self._sources
        return Measures(
            queues=sources.queues(),
            withheld_frames=sources.withheld(),
            ble_dropped_frames=sources.radio.dropped_frames if sources.radio else 0,
            commit=sources.journal.counts.took,
            uploads=sources.uploads,
            epoch_renewals=sources.epoch_renewals(),
            reconciled=sources.reconciled,
            inference=sources.runner.timings(),
            inference_failures=sources.runner.failures(),
        )

    def _store(self, totals: dict[str, int], backlog: Backlog) -> StoreHealth:
        counts, sources = self._sources.journal.counts, self._sources
        return StoreHealth(
            readings=totals["readings"],
            database_bytes=totals["database_bytes"],
            backlog_batches=backlog.batches,
            backlog_bytes=backlog.size_bytes,
            oldest_unsent_ns=backlog.oldest_ns,
            uploaded_batches=backlog.sent,
            commits=counts.commits,
            commit_ms_p99=float(np.percentile(counts.commit_ms, 99)) if counts.commit_ms else None,
            quota_bytes=sources.quota_bytes,
            pressure=sources.keeper.level.name.lower(),
            pressure_percent=round(sources.keeper.percent, 4),
        )

    async def _stored_sessions(self) -> list[SessionEntry]:
        """Return the newest sessions; they change slowly, and every tablet is sent all of them."""
        mono_ns = self._clock.mono_ns()
        if self._sessions_mono_ns is not None and mono_ns - self._sessions_mono_ns < _SESSIONS_NS:
            return self._sessions
        self._sessions_mono_ns = mono_ns
        now_ns = self._clock.utc_ns()
        self._sessions = [
            SessionEntry(
                started_ns=session.session_ns,
                ended_ns=None if now_ns - session.ended_ns < _RUNS_NS else session.ended_ns,
                readings=session.readings,
                size_bytes=session.size_bytes,
                unsent_batches=session.unsent_batches,
                complete=session.complete,
                removed=session.removed,
            )
            for session in (await self._sources.journal.sessions())[:_SESSIONS_SHOWN]
        ]
        return self._sessions

    def _strangers(self, now_ns: int) -> list[QuarantineEntry]:
        """Return the sensors on the air that nobody on the roster wears."""
        heard = self._sources.radio.strangers if self._sources.radio else {}
        return [
            QuarantineEntry(sensor=address, reason="unknown device on the air", count=count, last_ns=now_ns)
            for address, count in heard.items()
            if not self._sources.wearers.is_known(SensorId(address))  # taken off is not unknown
        ]

    def _late(self, now_ns: int) -> list[GapEntry]:
        """Return what came too late for the totals shown live; it is stored, and in the cloud's totals."""
        late = self._sources.late()
        return [GapEntry(stream="live", reason="too late for the totals", count=late, last_ns=now_ns)] if late else []

    def _sensors(self, now_ns: int) -> list[SensorHealth]:
        counts = self._sources.intake.counts
        radio = self._sources.radio.links if self._sources.radio else {}
        known = [SensorId(assignment.sensor) for assignment in self._sources.wearers.roster.assignments]
        return [
            self._sensor(sensor, counts.get(sensor), radio.get(sensor), now_ns)
            for sensor in dict.fromkeys([*known, *counts, *radio])
        ]

    def _sensor(
        self, sensor: SensorId, counts: SensorCounts | None, link: "SensorLink | None", now_ns: int
    ) -> SensorHealth:
        counts = counts or SensorCounts(kind="–")
        heard = counts.last_ns is not None and now_ns - counts.last_ns < _SILENT_NS
        mono_ns = self._clock.mono_ns()
        loss = link.flow.loss_percent(mono_ns) if link else None
        return SensorHealth(
            sensor=sensor,
            kind=counts.kind,
            athlete=self._sources.wearers.wearer(sensor, now_ns),
            connected=link.connected if link else heard,
            last_ns=counts.last_ns,
            frames=counts.frames,
            malformed=counts.malformed,
            implausible=counts.implausible,
            duplicates=counts.duplicates,
            reconnects=max(0, link.connections - 1) if link else 0,
            battery_percent=counts.battery_percent,
            rssi_dbm=link.rssi_dbm if link else None,
            adapter=link.adapter if link else None,
            mode=link.mode(mono_ns) if link else "broker" if counts.frames else None,
            silent=link.flow.is_silent(mono_ns) if link else False,
            loss_percent=self._sources.intake.losses.percent(sensor, mono_ns) if loss is None else loss,
            clock_offset_ms=counts.time.offset_ms,
            clock_drift_ppm=counts.time.drift_ppm,
            clock_resets=counts.time.resets,
            about=dict(counts.about),
        )

    def _adapters(self) -> list[AdapterHealth]:
        radio = self._sources.radio
        if radio is None:
            return []
        return [
            AdapterHealth(
                adapter=adapter.name,
                up=adapter.is_up,
                slots=adapter.slots.capacity,
                used=adapter.slots.capacity - adapter.slots.free,
                heard=radio.heard_best(adapter.name),
                problem=adapter.link.status.problem,
            )
            for adapter in radio.adapters
        ]

    def _near(self, now_ns: int) -> list[NearSensor]:
        radio = self._sources.radio
        if radio is None:
            return []
        offset_ns = now_ns - self._clock.mono_ns()
        return [
            NearSensor(
                sensor=near.sensor,
                name=near.name,
                rssi_dbm=near.rssi_dbm,
                athlete=self._sources.wearers.wearer(near.sensor, now_ns),
                last_ns=near.heard_ns + offset_ns,
            )
            for near in radio.near()
        ]

    def _model(self, slot: Slot) -> ModelHealth:
        stats = self._sources.runner.stats(slot.name)
        return ModelHealth(
            name=slot.name,
            version=slot.active,
            state=slot.state,
            active_since_ns=slot.active_since_ns,
            previous_version=slot.previous,
            candidate_version=slot.candidate,
            reason=slot.reason,
            inferences=self._sources.runner.counts(slot.name)[1],
            latency_ms_p99=stats.p99_ms() if stats else None,
        )
