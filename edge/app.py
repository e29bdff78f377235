"""The composition root: builds every part of the gateway and runs them in one task group."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from edge.counters import ReconcileCounts, UploadCounts
from edge.health import HealthReport, Sources
from edge.inference.runner import Runner
from edge.lanes import Lane, Policy
from edge.links import LinkStatus
from edge.messages import Athlete, MetricInfo, Pitch, Session, Snapshot
from edge.pipeline.clock_watch import ClockWatch
from edge.pipeline.explaining import Explaining
from edge.pipeline.intake import Intake
from edge.pipeline.keeping import Keeper
from edge.pipeline.live import AHEAD_STEP_S, Live
from edge.pipeline.projection import pitch_calibration
from edge.pipeline.roster import Wearers, keep_roster
from edge.pipeline.storing import Storing
from edge.release.installer import Installer
from edge.release.updater import ModelUpdater
from edge.settings import GatewaySettings
from edge.sources.base import Source
from edge.sources.mqtt import MqttSource
from edge.store.database import only_gateway
from edge.store.journal import Journal
from edge.store.pressure import Thinning
from edge.store.restamp import ClockStep
from edge.supervise import keep_running, run_once
from edge.sync.reconcile import Reconciler
from edge.sync.summaries import Summaries
from edge.sync.uploader import Uploader
from edge.ui.broadcast import Broadcast
from edge.ui.hub import Hub
from shared.clock import Clock
from shared.errors import StoreError
from shared.ids import AthleteId, SensorId
from shared.metrics.base import Described
from shared.metrics.registry import METRICS
from shared.metrics.team import TEAM_METRICS
from shared.readings import Readings
from shared.roster import read_roster
from shared.settings import read_secret

if TYPE_CHECKING:
    from edge.sources.ble import BleSource
    from edge.ui.server import WebServer

_LIVE_BATCHES = 256


class Gateway:
    """The parts, wired; `async with` stores what is still on its way and closes the files at the end.

    `sources` replaces the ones that the settings name; `record` also keeps every frame in a file.
    Raises: ConfigError, StoreError.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        clock: Clock,
        *,
        sources: list[Source] | None = None,
        record: Path | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._data = Path(settings.data_dir)
        self._wearers = Wearers(read_roster(Path(settings.roster_file)))
        self._lock = only_gateway(self._data)
        self._journal = Journal.open(self._data / "gateway.sqlite", clock, max_bytes=settings.store.max_bytes)
        self._keeping_roster = asyncio.Lock()
        self._radio = self._named_radio()
        self._sources = self._named_sources() if sources is None else sources
        self._runner = Runner(clock)
        self._live = Live(self._wearers, settings.session, settings.alerts, self._runner, clock)
        self._lane: Lane[list[Readings]] = Lane("live", capacity=_LIVE_BATCHES, policy=Policy.DROP_OLDEST)
        self._intake = Intake(self._wearers, clock.boot_id, pitch_calibration(settings.session))
        thinning = Thinning()
        self._keeper = Keeper(
            self._journal, thinning, settings.store, self._data, clock, has_cloud=settings.sync.url is not None
        )
        self._storing = Storing(
            self._intake,
            self._journal,
            self._lane,
            settings.store,
            clock,
            record=record,
            keeper=self._keeper,
            thinning=thinning,
        )
        self._hub = Hub(clock)
        self._broadcast = Broadcast(self._live, self._lane, self._hub, self._journal, clock)
        self._watch = ClockWatch(self._journal, clock, self._on_clock_set)
        self._uploader, self._reconciler, self._updater = self._cloud()
        self._installer = Installer(
            settings.release,
            self._data / "models",
            self._updater,
            self._runner,
            clock,
            session_runs=self._broadcast.session_runs,
        )
        self._summaries = Summaries(settings, self._live, self._wearers, self._journal, clock)
        self._health = self._health_report()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._radio is not None:
            self._storing.record_gaps(self._radio.end())
        await self._storing.finish(self._sources)
        if self._watch.is_trusted():
            with contextlib.suppress(StoreError):  # the next start makes the batches
                await self._journal.fill(backlog=False)
        self._runner.close()
        self._journal.close()
        self._lock.close()

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Run every part until cancelled; `on_ready` hears the page's address once it answers.

        Readings are taken and stored first: the page, the models and the session so far come beside them.
        """
        with contextlib.suppress(StoreError):  # what comes twice is known in the cloud too
            await self._broadcast.remember(self._intake)
        async with asyncio.TaskGroup() as tasks:
            self._start(tasks, self._storing_parts())
            restoring = tasks.create_task(run_once("restore", self._broadcast.restore), name="restore")
            await asyncio.to_thread(self._installer.start)
            web = await asyncio.to_thread(self._page)
            tasks.create_task(web.run(), name="web")
            await web.started.wait()
            self._start(tasks, self._showing_parts())
            on_ready(f"http://{self._settings.host}:{web.port}")
            await restoring

    def _start(self, tasks: asyncio.TaskGroup, parts: Sequence[tuple[str, Callable[[], Awaitable[None]]]]) -> None:
        for name, part in parts:
            tasks.create_task(keep_running(name, part, self._clock), name=name)

    def _storing_parts(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Return what brings readings into the store, each started again when it fails."""
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("clock", self._watch.run),
            ("store", self._storing.store),
            ("keeper", self._keeper.run),
        ]
        for source in self._sources:
            parts.append((source.name, source.run))
            parts.append((f"{source.name} intake", partial(self._storing.take_from, source)))
        return parts

    def _showing_parts(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Return what shows and sends what is stored, each started again when it fails."""
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("live", self._broadcast.show),
            ("live seconds", self._broadcast.each_second),
            ("live map", self._broadcast.each_frame),
            ("health", self._publish_health),
            ("channel", self._watch_channel),
            ("models", self._installer.watch_models),
        ]
        if self._uploader is not None:
            parts += [
                ("summaries", self._summaries.run),
                ("fill", self._uploader.fill),
                ("upload", self._uploader.drain),
            ]
        if self._reconciler is not None:
            parts.append(("reconcile", self._reconciler.run))
        return parts

    def _page(self) -> "WebServer":
        """Build the tablet's page; its libraries are loaded here, when readings are being stored already."""
        from edge.ui.routes import LOOPBACK, create_app  # noqa: PLC0415
        from edge.ui.server import WebServer  # noqa: PLC0415

        settings = self._settings
        app = create_app(
            self._hub,
            snapshot=self._snapshot,
            health=self._health.gather,
            on_seen=self._broadcast.on_seen,
            on_assign=self._assign,
            metrics_of=self._live.metrics_of,
            explanation_of=Explaining(self._live, self._runner, self._clock).explanation,
            measures=self._health.measures,
            local_only=settings.host in LOOPBACK,
        )
        return WebServer(app, host=settings.host, port=settings.port)

    async def _watch_channel(self) -> None:
        """Look for models once the clock can be right: what has expired is told by it."""
        await self._watch.trusted()
        await self._installer.watch_channel()

    def _is_worn(self, sensor: SensorId) -> bool:
        return self._wearers.is_worn(sensor, self._clock.utc_ns())

    def _named_radio(self) -> "BleSource | None":
        if self._settings.ble is None:
            return None
        from edge.sources.ble import BleSource  # noqa: PLC0415  with the radio's library

        return BleSource(self._settings.ble, self._is_worn, self._clock)

    def _named_sources(self) -> list[Source]:
        sources: list[Source] = [self._radio] if self._radio else []
        if self._settings.mqtt:
            sources.append(MqttSource(self._settings.mqtt, f"sideline-{self._settings.gateway}", self._clock))
        return sources

    def _cloud(self) -> tuple[Uploader | None, Reconciler | None, ModelUpdater | None]:
        """Return what talks to the cloud; without its address the gateway stores and waits."""
        sync, release = self._settings.sync, self._settings.release
        if sync.url is None:
            return None, None, None
        token = read_secret(Path(sync.token_file))
        known = (sync, self._settings.gateway, token, self._journal, self._clock)
        uploader = Uploader(*known, url=sync.url, watch=self._watch)
        reconciler = Reconciler(*known, url=sync.url, watch=self._watch)
        if release.root_file is None:
            return uploader, reconciler, None
        return uploader, reconciler, ModelUpdater(sync.url, self._data / "releases", Path(release.root_file))

    def _health_report(self) -> HealthReport:
        radio, installer, lane, live = self._radio, self._installer, self._lane, self._live
        sources = Sources(
            journal=self._journal,
            intake=self._intake,
            wearers=self._wearers,
            runner=self._runner,
            slots=lambda: installer.slots,
            links=self._links,
            radio=radio,
            late=lambda: live.late,
            live_dropped=lambda: lane.dropped,
            quota_bytes=self._settings.store.max_bytes,
            keeper=self._keeper,
            queues=lambda: [self._storing.queue, lane.state, self._hub.queue],
            withheld=lambda: self._storing.withheld,
            uploads=self._uploader.counts if self._uploader else UploadCounts(),
            epoch_renewals=lambda: self._uploader.renewals if self._uploader else 0,
            reconciled=self._reconciler.counts if self._reconciler else ReconcileCounts(),
        )
        return HealthReport(self._settings.gateway, version("sideline"), sources, self._clock)

    def _links(self) -> Sequence[LinkStatus]:
        links = [self._watch.status, self._storing.status, *(source.status for source in self._sources)]
        links += [part.status for part in (self._uploader, self._reconciler) if part is not None]
        return [*links, self._installer.status] if self._updater else links

    async def _publish_health(self) -> None:
        while True:
            if self._radio is not None:
                self._storing.record_drops(self._radio.dropped)
                self._storing.record_gaps(self._radio.take_gaps())
            self._hub.health(await self._health.gather())
            await self._clock.sleep(1.0)

    async def _assign(self, sensor: SensorId, athlete: AthleteId | None) -> bool:
        """Let a sensor change hands now; False if the roster has no such athlete.

        Raises: StoreError when the roster file cannot be written; the change holds all the same.
        """
        if athlete is not None and not self._wearers.has_athlete(athlete):
            return False
        heard = self._wearers.assign(sensor, athlete, self._clock.utc_ns())
        if self._radio is not None:
            self._radio.reassigned()
        self._hub.assigned(heard, athlete)
        async with self._keeping_roster:
            await asyncio.to_thread(keep_roster, self._wearers.roster, Path(self._settings.roster_file))
        return True

    async def _on_clock_set(self, step: ClockStep) -> None:
        """Bring what was told by the old time in line: who wears what, and the session that is shown.

        Raises: StoreError as `_assign`.
        """
        moved = self._wearers.clock_set(self._clock.utc_ns(), step.shift_ns)
        await self._broadcast.on_clock_set(step)
        if moved:
            async with self._keeping_roster:
                await asyncio.to_thread(keep_roster, self._wearers.roster, Path(self._settings.roster_file))

    async def _snapshot(self) -> Snapshot:
        """Return everything that a tablet needs at its start."""
        health = await self._health.gather()  # first: nothing may change between the rest and the sending
        session = self._settings.session
        return Snapshot(
            sent_ns=self._clock.utc_ns(),
            session=Session(
                name=session.name,
                started_ns=self._broadcast.started_ns,
                planned_s=session.planned_minutes * 60,
                planned_distance_m=session.planned_distance_m,
            ),
            pitch=Pitch(length_m=session.pitch_length_m, width_m=session.pitch_width_m),
            athletes=[msgspec.convert(msgspec.structs.asdict(a), Athlete) for a in self._wearers.roster.athletes],
            tiles=self._live.tiles(with_trace=True),
            alerts=[self._live.alert_message(alert) for alert in self._live.alerts.values()],
            health=health,
            metrics=shown_metrics(),
            ahead_step_s=AHEAD_STEP_S,
        )


def shown_metrics() -> list[MetricInfo]:
    """Return what tablets are told of every metric that they show."""
    return [
        *(metric_info(metric) for metric in METRICS),
        *(metric_info(metric, team=True) for metric in TEAM_METRICS),
    ]


def metric_info(metric: Described, *, team: bool = False) -> MetricInfo:
    """Return what a tablet shows when a number of this metric is tapped."""
    return MetricInfo(
        metric=metric.metric_id,
        title=metric.title,
        unit=metric.unit,
        decimals=metric.decimals,
        labels=list(metric.labels),
        formula=metric.formula,
        rules=metric.rules,
        source=metric.source,
        team=team,
    )
