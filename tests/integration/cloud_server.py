"""A real ingest, in this process, and a gateway's store and upload without its sensors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from cloud.ingest.app import build_app
from cloud.ingest.ledger import Ledger
from cloud.settings import CloudSettings, Layout
from cloud.setup import enrol, make_layout
from edge.settings import SyncSettings
from edge.store.journal import Journal
from edge.sync.client import CloudClient
from edge.sync.reconcile import Reconciler
from edge.sync.uploader import Uploader
from shared.batch import EpochState
from shared.clock import SystemClock
from shared.ids import GatewayId
from shared.parquet_codec import decode_parquet
from tests.tools import BOUND_S, until

GATEWAY = GatewayId("gw-1")
QUICK = SyncSettings(url="http://127.0.0.1", batch_s=0.02, retry_cap_s=0.05, timeout_s=5)
Identity = tuple[str, str, str, int]
"""Sensor, stream, origin and sequence of a reading."""


@contextlib.asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve an application and yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass(frozen=True, kw_only=True)
class RunningCloud:
    """A running ingest with one gateway enrolled."""

    url: str
    token: str
    layout: Layout

    def identities(self) -> list[Identity]:
        """Return the identity of every reading in the stored objects, as often as it stands there."""
        ledger = Ledger(self.layout.ledger)
        objects = [self.layout.objects / one.object for one in ledger.bronze() if one.content != "summary"]
        ledger.close()
        return [
            (block.sensor, block.stream, block.origin, number)
            for path in objects
            for block in decode_parquet(path.read_bytes())
            for number in block.sequence.tolist()
        ]

    def state(self, epoch: str) -> EpochState:
        """Return what is stored of an epoch."""
        ledger = Ledger(self.layout.ledger)
        state = ledger.state(GATEWAY, epoch)
        ledger.close()
        return state


@contextlib.asynccontextmanager
async def running_cloud(folder: Path) -> AsyncIterator[RunningCloud]:
    """Run an ingest below `folder`."""
    layout = Layout(folder / "cloud")
    make_layout(layout)
    enrol(layout, GATEWAY, folder / "enrolled")
    token = (folder / "enrolled" / "token").read_text().strip()
    async with serving(build_app(layout, CloudSettings(), SystemClock())) as url:
        yield RunningCloud(url=url, token=token, layout=layout)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """A journal, what uploads it and what compares it."""

    journal: Journal
    uploader: Uploader
    reconciler: Reconciler
    client: CloudClient

    async def all_sent(self) -> None:
        """Wait until everything that is stored has a receipt."""
        async with asyncio.timeout(BOUND_S):
            while True:
                backlog = await self.journal.run(self.journal.outbox.backlog)
                if not backlog.batches and not backlog.readings:
                    return
                await asyncio.sleep(0.01)

    async def compare(self) -> None:
        """Look twice, as time would: what has not moved meanwhile is compared."""
        await self.reconciler.look(self.client)
        await self.reconciler.look(self.client)

    async def is_agreed(self) -> bool:
        """Return whether the cloud agreed to everything that was sent."""
        return not await self.journal.run(self.journal.tallies.waiting)


@contextlib.asynccontextmanager
async def gateway(
    folder: Path, url: str, token: str, *, sends: bool = True, settings: SyncSettings = QUICK
) -> AsyncIterator[Gateway]:
    """Run a gateway's upload on the data folder; without `sends` it only stores."""
    clock = SystemClock()
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=2**30)
    uploader = Uploader(settings, GATEWAY, token, journal, clock, url=url)
    reconciler = Reconciler(settings, GATEWAY, token, journal, clock, url=url)
    tasks = [asyncio.create_task(uploader.fill()), asyncio.create_task(uploader.drain())] if sends else []
    try:
        async with CloudClient(url, GATEWAY, token, timeout_s=5) as client:
            yield Gateway(journal=journal, uploader=uploader, reconciler=reconciler, client=client)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        journal.close()
        for task in tasks:
            assert task.cancelled(), task.exception()
