"""What the fork server can start: the gateway and the cloud by their command lines, and variants made of their parts.

The variants are for the controls, which are to lose, and for failpoints: a server that ends itself with kill -9 at one
point of its work. All of them use what the product offers to whoever builds it; nothing of it is replaced.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from types import SimpleNamespace

import httpx  # noqa: F401  the gateway loads it when it needs it: here it is to be loaded before the fork
import msgspec
import uvicorn
from fastapi import FastAPI

import cloud.__main__
import cloud.ingest.serve
import edge.__main__
import edge.app
from cloud.ingest.intake import Intake
from cloud.ingest.ledger import Ledger, Turn
from cloud.ingest.routes import gateway_routes, make_service
from cloud.objects import Objects, Staged
from cloud.settings import CloudSettings, Layout
from edge.app import Gateway
from edge.settings import load
from edge.sources.base import Delivery
from edge.sources.mqtt import MqttSource
from shared.batch import BatchHeader, Receipt
from shared.clock import SystemClock
from tests.faults.uploading import run_client

FAILPOINTS = ("before the commit", "after the commit", "after the object, before its row")


def _edge(words: Sequence[str]) -> None:
    sys.argv = ["sideline-gateway", *words]
    edge.__main__.main()


def _cloud(words: Sequence[str]) -> None:
    sys.argv = ["sideline-cloud", *words]
    cloud.__main__.main()


class HastySource(MqttSource):
    """Acknowledges what has come before anybody has stored it."""

    async def receive(self) -> list[Delivery]:
        """Acknowledge, then hand over."""
        deliveries = await super().receive()
        super().acknowledge(deliveries)
        return deliveries

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Everything was acknowledged before."""


def _hasty_gateway(words: Sequence[str]) -> None:
    """`SETTINGS READY_FILE`: the whole gateway with a source that acknowledges too early."""
    asyncio.run(_run_hasty(Path(words[0]), Path(words[1])))


async def _run_hasty(settings_file: Path, ready: Path) -> None:
    settings, clock = load(settings_file), SystemClock()
    assert settings.mqtt is not None
    source = HastySource(settings.mqtt, f"sideline-{settings.gateway}", clock)

    def on_ready(url: str) -> None:
        fresh = ready.with_suffix(".tmp")
        fresh.write_bytes(msgspec.json.encode({"url": url, "pid": os.getpid()}))
        fresh.replace(ready)

    async with Gateway(settings, clock, sources=[source]) as gateway:
        running = asyncio.create_task(gateway.run(on_ready))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
        await asyncio.wait({running})


@dataclass
class _Fuse:
    """Ends the process at one point of the n-th batch."""

    point: str
    batches_left: int

    def at(self, point: str) -> None:
        """Count a batch that comes by, and end here when it is the last."""
        if point != self.point:
            return
        self.batches_left -= 1
        if self.batches_left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


class _FusedLedger(Ledger):
    def __init__(self, path: Path, fuse: _Fuse) -> None:
        super().__init__(path)
        self._fuse = fuse

    @contextmanager
    def deciding(self, header: BatchHeader) -> Iterator[Turn]:
        """Hold the ledger as ever, and end before or after its commit when the time has come."""
        with super().deciding(header) as turn:
            yield turn
            self._fuse.at(FAILPOINTS[0])
        self._fuse.at(FAILPOINTS[1])


@dataclass(frozen=True)
class _FusedStaged(Staged):
    fuse: _Fuse

    def publish(self, key: str) -> None:
        """Publish as ever, and end before anybody is told."""
        super().publish(key)
        self.fuse.at(FAILPOINTS[2])


@dataclass(frozen=True)
class _FusedObjects(Objects):
    fuse: _Fuse

    def stage(self, body: bytes) -> Staged:
        """Stage as ever."""
        staged = super().stage(body)
        return _FusedStaged(staged.path, staged.root, self.fuse)


@dataclass(frozen=True, kw_only=True)
class _HastyIntake(Intake):
    """Answers `stored` and has stored nothing yet; the n-th time the process ends before it does."""

    left: SimpleNamespace

    def take(self, header: BatchHeader, body: bytes, *, received_ns: int) -> Receipt:
        """Answer too early once, and end a moment later."""
        self.left.batches -= 1
        if self.left.batches > 0:
            return super().take(header, body, received_ns=received_ns)
        Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return Receipt(status="stored", seq=header.seq, contiguous_seq=-1, server_ns=received_ns, accepted=header.count)


def _fused_cloud(words: Sequence[str]) -> None:
    """`FOLDER PORT POINT BATCHES`: the real ingest that ends itself; POINT `hasty` answers before it stores."""
    layout, port, point, batches = Layout(Path(words[0])), int(words[1]), words[2], int(words[3])
    settings, clock, fuse = CloudSettings(), SystemClock(), _Fuse(point, batches)
    ledger, objects = _FusedLedger(layout.ledger, fuse), _FusedObjects(layout.objects, fuse)
    intake = Intake(ledger=ledger, objects=objects, clock=clock)
    if point == "hasty":
        intake = _HastyIntake(ledger=ledger, objects=objects, clock=clock, left=SimpleNamespace(batches=batches))
    objects.clear_staging()
    app = FastAPI()
    app.include_router(gateway_routes(make_service(layout, settings, clock, intake)))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


PROGRAMS: dict[str, Callable[[Sequence[str]], None]] = {
    "edge": _edge,
    "cloud": _cloud,
    "hasty gateway": _hasty_gateway,
    "fused cloud": _fused_cloud,
    "client": run_client,
}
