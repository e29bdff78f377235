"""Row 14: broker, tablets, straps and the Bluetooth adapter come and go; the gateway stays as small as it was."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from bumble.profiles.heart_rate_service import HeartRateService
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from firmware_sim.devices.heart_strap import HeartStrap
from firmware_sim.transports.bumble import Air
from shared.log import configure
from tests.fakes.broker import Broker
from tests.faults.arm import Outcome
from tests.faults.ending import end
from tests.faults.forkserver import ForkServer
from tests.faults.kills import GatewayUnderTest, Publisher, stop_and_compare
from tests.faults.relay import Relay
from tests.integration.gateway_process import gateway_health, until_link
from tests.tools import require_tool

STRAPS = tuple(f"C0:00:00:00:00:{n:02X}" for n in range(1, 4))
TABLETS = 5
_ROUND = 50
"""Flaps between two looks at what the gateway holds."""
_BOUND_S = 60.0
_MORE_FILES, _MORE_THREADS, _MORE_MB = 12, 4, 40.0
"""What may come and go: sockets that are being closed, threads of a pool, caches. A leak of one each flap is more."""
_KINDS = {"tablet": 50, "broker link": 30, "strap": 13, "adapter": 5, "broker": 2}


def flap(count: int, seed: int, folder: Path) -> Outcome:
    """Drop `count` connections of all kinds."""
    return asyncio.run(_flap(count, seed, folder, forgetful=False))


def flap_forgetful_broker(count: int, seed: int, folder: Path) -> Outcome:
    """Drop the broker's connections, and let it forget the gateway's session each time."""
    return asyncio.run(_flap(count, seed, folder, forgetful=True))


@dataclass(frozen=True, kw_only=True)
class _Held:
    """What the gateway's process holds."""

    files: int
    threads: int
    rss_mb: float


@dataclass
class _Site:
    """Everything around one gateway."""

    broker: Broker
    line: Relay
    radio: Relay
    air_straps: list[HeartStrap]
    tablets: list[ClientConnection]
    url: str
    rng: random.Random
    session_file: Path

    async def drop_all(
        self, count: int, pid: int, dropped: Counter[str], seen: list[_Held], *, forgetful: bool
    ) -> None:
        """Drop `count` connections, and after each round look at what the gateway's process holds."""
        for number in range(1, count + 1):
            if forgetful:
                await self.forget_session()
            else:
                kind = self.rng.choices(list(_KINDS), list(_KINDS.values()))[0]
                dropped[kind] += 1
                await self.drop(kind)
                await asyncio.sleep(self.rng.uniform(0.0, 0.1))
            if number % _ROUND == 0 or number == count:
                await self.recovered()
                seen.append(_held(pid))

    async def drop(self, kind: str) -> None:
        """Drop one connection of a kind, for a moment."""
        pause_s = self.rng.uniform(0.0, 0.2)
        if kind == "tablet":
            await self._drop_tablet()
        elif kind == "strap":
            await self.rng.choice(self.air_straps).disconnect()
        elif kind == "adapter":
            await self.radio.cut()
        elif kind == "broker link":
            await self.line.down()
            await asyncio.sleep(pause_s)
            self.line.up()
        else:
            await asyncio.to_thread(self.broker.stop)
            await asyncio.sleep(pause_s)
            await asyncio.to_thread(self.broker.start)

    async def forget_session(self) -> None:
        """Cut the gateway off, let messages wait for it, and start the broker without what it had kept."""
        await self.line.down()
        await asyncio.sleep(0.3)
        await asyncio.to_thread(self.broker.stop)
        self.session_file.unlink(missing_ok=True)
        await asyncio.to_thread(self.broker.start)
        self.line.up()
        await until_link(self.url, "broker", up=True)

    async def _drop_tablet(self) -> None:
        """Drop a tablet the hard way or by the book, and let another come in its place."""
        tablet = self.tablets.pop(self.rng.randrange(len(self.tablets)))
        if self.rng.random() < 0.5:
            tablet.transport.abort()
        else:
            await tablet.close()
        self.tablets.append(await tablet_at(self.url))

    async def recovered(self) -> dict[str, Any]:
        """Wait until every link is up and every strap is connected, and return the health page."""
        async with asyncio.timeout(_BOUND_S):
            while True:
                health = await gateway_health(self.url)
                up = {link["link"] for link in health["links"] if link["up"]}
                held = {sensor["sensor"] for sensor in health["sensors"] if sensor["connected"]}
                if {"broker", "adapter"} <= up and held >= set(STRAPS):
                    return health
                await asyncio.sleep(0.1)


async def tablet_at(url: str) -> ClientConnection:
    """Return a tablet that has its first picture."""
    tablet = await connect(url.replace("http", "ws", 1) + "/ws/live", max_size=None)
    await asyncio.wait_for(tablet.recv(), _BOUND_S)
    return tablet


async def _flap(count: int, seed: int, folder: Path, *, forgetful: bool) -> Outcome:
    configure(level="error")
    rng = random.Random(seed)
    broker = Broker(require_tool("mosquitto"), folder / "broker")
    broker.start()
    publisher = Publisher(broker.port, f"{rng.getrandbits(32):08x}")
    dropped: Counter[str] = Counter()
    seen: list[_Held] = []
    try:
        with ForkServer() as server:
            async with Air(host="127.0.0.1", port=0) as air, Relay(broker.port) as line, Relay(air.port) as radio:
                straps = [await air.add_strap(address, battery_percent=80) for address in STRAPS]
                more = f'[mqtt]\nport = {line.port}\n[ble]\nadapter = "tcp-client:127.0.0.1:{radio.port}"\n'
                gateway = GatewayUnderTest(server, folder, more=more, sensors=STRAPS)
                gateway.loses = forgetful
                gateway.start()
                url = await gateway.ready()
                site = _Site(broker, line, radio, straps, [], url, rng, folder / "broker" / "mosquitto.db")
                await site.recovered()
                beating = asyncio.create_task(_beat(straps))
                async with publisher.running():
                    publisher.go_on()
                    site.tablets += [await tablet_at(url) for _ in range(TABLETS)]
                    reading = asyncio.create_task(_read(site.tablets))
                    seen.append(_held(gateway.pid))
                    await site.drop_all(count, gateway.pid, dropped, seen, forgetful=forgetful)
                    await publisher.pause()
                await end([reading, beating])
                for tablet in site.tablets:
                    await tablet.close()
                failures = await stop_and_compare(gateway, url, publisher.keys(), f"seed {seed}")
    finally:
        broker.stop()
    failures += [f"seed {seed}: {words}" for words in _growth(seen)]
    notes = {f"drops of a {kind}": float(times) for kind, times in dropped.items()}
    notes["positions checked"] = float(len(publisher.acknowledged))
    return Outcome(tried=count, failures=failures, notes=notes)


def _held(pid: int) -> _Held:
    process = psutil.Process(pid)
    return _Held(files=process.num_fds(), threads=process.num_threads(), rss_mb=process.memory_info().rss / 1024**2)


def _growth(seen: list[_Held]) -> list[str]:
    """Return what the gateway holds more of at the end than after its first round."""
    first, last = seen[min(1, len(seen) - 1)], seen[-1]
    words = []
    if last.files > first.files + _MORE_FILES:
        words.append(f"open files grew from {first.files} to {last.files}")
    if last.threads > first.threads + _MORE_THREADS:
        words.append(f"threads grew from {first.threads} to {last.threads}")
    if last.rss_mb > first.rss_mb + _MORE_MB:
        words.append(f"memory grew from {first.rss_mb:.0f} to {last.rss_mb:.0f} MB")
    return words


async def _beat(straps: list[HeartStrap]) -> None:
    """Let every strap that is connected send once a second."""
    while True:
        for strap in straps:
            await strap.notify(bytes(HeartRateService.HeartRateMeasurement(heart_rate=120)))
        await asyncio.sleep(1.0)


async def _read(tablets: list[ClientConnection]) -> None:
    """Take what the tablets are sent, whichever they are at the moment."""
    while True:
        begun_s = time.monotonic()
        for tablet in list(tablets):
            with contextlib.suppress(TimeoutError, ConnectionClosed):
                while True:
                    await asyncio.wait_for(tablet.recv(), 0.01)
        await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - begun_s)))
