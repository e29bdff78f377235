"""The composition root: builds every part of the gateway and runs them in one task group."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec

from edge.health import HealthReport, Sources
from edge.inference.runner import Runner
from edge.lanes import Lane, Policy
from edge.links import LinkStatus
from edge.messages import Athlete, Pitch, Session, Snapshot
from edge.pipeline.intake import Intake
from edge.pipeline.live import Live
from edge.pipeline.roster import Wearers
from edge.pipeline.storing import Storing
from edge.release.installer import Installer
from edge.release.updater import ModelUpdater
from edge.settings import GatewaySettings
from edge.sources.base import Source
from edge.sources.ble import BleSource
from edge.sources.mqtt import MqttSource
from edge.store.journal import Journal
from edge.supervise import keep_running
from edge.sync.summaries import Summaries
from edge.sync.uploader import Uploader
from edge.ui.broadcast import Broadcast
from edge.ui.hub import Hub
from edge.ui.routes import create_app
from edge.ui.server import WebServer
from shared.clock import Clock
from shared.log import get_logger
from shared.readings import Readings
from shared.roster import read_roster
from shared.settings import read_secret

_log = get_logger("gateway")
_LIVE_BATCHES = 256


@dataclass(slots=True)
class Gateway:
    """The parts, wired."""

    settings: GatewaySettings
    clock: Clock
    journal: Journal
    runner: Runner
    intake: Intake
    live: Live
    hub: Hub
    storing: Storing
    broadcast: Broadcast
    summaries: Summaries
    installer: Installer
    uploader: Uploader | None
    sources: list[Source]
    radio: BleSource | None
    web: WebServer
    health: HealthReport

    async def run(self, on_ready: Callable[[str], None]) -> None:
        """Run every part until cancelled; `on_ready` hears the page's address once it answers."""
        await self.broadcast.restore(self.intake)
        self.installer.start()
        clock = self.clock
        async with asyncio.TaskGroup() as tasks:

            def start(name: str, component: Callable[[], Awaitable[None]]) -> None:
                tasks.create_task(keep_running(name, component, clock), name=name)

            tasks.create_task(self.web.run(), name="web")
            await self.web.started.wait()
            for source in self.sources:
                start(source.name, source.run)
                start(f"{source.name} intake", partial(self.storing.take_from, source))
            start("store", self.storing.store)
            start("live", self.broadcast.show)
            start("live seconds", self.broadcast.each_second)
            start("live map", self.broadcast.each_frame)
            start("health", self._publish_health)
            start("summaries", self.summaries.run)
            start("channel", self.installer.watch_channel)
            start("models", self.installer.watch_models)
            if self.uploader is not None:
                start("fill", self.uploader.fill)
                start("upload", self.uploader.drain)
            on_ready(f"http://{self.settings.host}:{self.web.port}")

    async def close(self) -> None:
        """Store what is still on its way and close the files."""
        await self.storing.finish()
        await self.journal.run(self.journal.outbox.fill)
        self.runner.close()
        self.journal.close()

    async def _publish_health(self) -> None:
        while True:
            if self.radio is not None:
                self.storing.record_drops(self.radio.dropped)
            self.hub.health(await self.health.gather())
            await self.clock.sleep(1.0)


@contextlib.asynccontextmanager
async def build(
    settings: GatewaySettings, clock: Clock, *, sources: list[Source] | None = None, record: Path | None = None
) -> AsyncIterator[Gateway]:
    """Build a gateway and close it afterwards; `sources` replaces the ones that the settings name.

    Raises: ConfigError, StoreError.
    """
    data = Path(settings.data_dir)
    wearers = Wearers(read_roster(Path(settings.roster_file)))
    journal = Journal.open(data / "gateway.sqlite", clock, max_bytes=settings.store.max_bytes)
    runner = Runner(clock)
    live = Live(wearers, settings.session, settings.alerts, runner, clock)
    hub = Hub(clock)
    intake = Intake(wearers, clock.boot_id)
    fast: Lane[list[Readings]] = Lane("live", capacity=_LIVE_BATCHES, policy=Policy.DROP_OLDEST)
    radio = BleSource(settings.ble, wearers.is_known, clock) if settings.ble else None
    if sources is None:
        sources = [radio] if radio else []
        if settings.mqtt:
            sources.append(MqttSource(settings.mqtt, f"sideline-{settings.gateway}", clock))
    storing = Storing(intake, journal, fast, settings.store, clock, record=record)
    sync = settings.sync
    uploader = updater = None
    if sync.url:
        token = read_secret(Path(sync.token_file))
        uploader = Uploader(sync, settings.gateway, token, journal, clock, url=sync.url)
        if settings.release.root_file:
            updater = ModelUpdater(sync.url, data / "releases", Path(settings.release.root_file))
    broadcast = Broadcast(live, fast, hub, journal, clock)
    installer = Installer(
        settings.release, data / "models", updater, runner, clock, session_runs=broadcast.session_runs
    )

    def links() -> Sequence[LinkStatus]:
        known = [source.status for source in sources]
        if uploader is not None:
            known.append(uploader.status)
        return [*known, installer.status] if updater else known

    health = HealthReport(
        settings.gateway,
        version("sideline"),
        Sources(
            journal=journal,
            intake=intake,
            wearers=wearers,
            runner=runner,
            slots=lambda: installer.slots,
            links=links,
            radio=lambda: radio.links if radio else {},
            live_dropped=lambda: fast.dropped,
        ),
        clock,
    )

    async def snapshot() -> Snapshot:
        session = settings.session
        roster = wearers.roster
        return Snapshot(
            sent_ns=clock.utc_ns(),
            session=Session(
                name=session.name,
                started_ns=broadcast.started_ns,
                planned_s=session.planned_minutes * 60,
                planned_distance_m=session.planned_distance_m,
            ),
            pitch=Pitch(length_m=session.pitch_length_m, width_m=session.pitch_width_m),
            athletes=[msgspec.convert(msgspec.structs.asdict(a), Athlete) for a in roster.athletes],
            tiles=live.tiles(with_trace=True),
            alerts=[live.alert_message(alert) for alert in live.alerts.values()],
            health=await health.gather(),
            ahead_step_s=0.2,
        )

    web = WebServer(
        create_app(hub, snapshot=snapshot, health=health.gather, on_seen=broadcast.on_seen),
        host=settings.host,
        port=settings.port,
    )
    gateway = Gateway(
        settings=settings,
        clock=clock,
        journal=journal,
        runner=runner,
        intake=intake,
        live=live,
        hub=hub,
        storing=storing,
        broadcast=broadcast,
        summaries=Summaries(settings, live, wearers, journal, clock),
        installer=installer,
        uploader=uploader,
        sources=sources,
        radio=radio,
        web=web,
        health=health,
    )
    try:
        yield gateway
    finally:
        await gateway.close()
