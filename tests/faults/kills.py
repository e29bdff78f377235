"""Row 1: kill -9 of the whole gateway at random moments, between a real broker and a publisher that counts."""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from firmware_sim.devices.position_tag import encode_position, position_topic
from firmware_sim.roster import tag_id
from firmware_sim.transports.mqtt import MqttPublisher
from shared.clock import SystemClock
from tests.fakes.broker import Broker
from tests.faults.arm import Outcome
from tests.faults.ending import end
from tests.faults.forkserver import Child, ForkServer
from tests.faults.numbered import Key, differences, journal_readings, position_steps
from tests.integration.gateway_process import gateway_health, until_link, write_squad
from tests.tools import require_tool

TAGS = 10
_TURN_S = 0.02
_PER_TURN = 6
_BOUND_S = 60.0
_QUIET_S = 6.0
"""A broker delivers within milliseconds; after so long without anything new there is nothing more to come."""
_SOON_QUIET_S = 1.5
_COLD_EVERY = 50
_CHECK_EVERY = 100
_LONG_EVERY = 10


class Publisher:
    """Publishes numbered positions at QoS 1, 300 a second, and knows which of them the broker has acknowledged."""

    def __init__(self, port: int, boot: str) -> None:
        self._clock = SystemClock()
        self._boot = boot
        self._next = 0
        self._goes = asyncio.Event()
        self.acknowledged: set[int] = set()
        self._publisher = MqttPublisher(
            host="127.0.0.1", port=port, identifier=f"faults-{boot}", clock=self._clock,
            on_acked=self.acknowledged.add, on_given_up=lambda _ticket: None,
        )  # fmt: skip

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish while the block runs, whenever it is let."""
        tasks = [asyncio.create_task(self._publisher.run()), asyncio.create_task(self._publish())]
        try:
            yield
        finally:
            await end(tasks)

    def go_on(self) -> None:
        """Publish from now on."""
        self._goes.set()

    async def pause(self) -> None:
        """Publish no more, and return when the broker has acknowledged everything."""
        self._goes.clear()
        async with asyncio.timeout(_BOUND_S):
            await self._publisher.settled()

    def keys(self) -> set[Key]:
        """Return the readings that the broker has acknowledged."""
        return {("position", tag_id(n % TAGS), self._boot, n // TAGS) for n in self.acknowledged}

    async def _publish(self) -> None:
        while True:
            await self._goes.wait()
            t_ns = self._clock.utc_ns()
            for n in range(self._next, self._next + _PER_TURN):
                x_mm, y_mm, quality = position_steps(n // TAGS)
                body = encode_position(boot=self._boot, n=n // TAGS, t_ns=t_ns, x_mm=x_mm, y_mm=y_mm, quality=quality)
                self._publisher.publish(position_topic(tag_id(n % TAGS)), body, n)
            self._next += _PER_TURN
            await asyncio.sleep(_TURN_S)


class GatewayUnderTest:
    """One gateway's folder; each start forks the whole program, or starts it cold."""

    def __init__(
        self, server: ForkServer, folder: Path, *, more: str, hasty: bool = False, sensors: Sequence[str] = ()
    ) -> None:
        """`more` is TOML of its settings beside the store; `sensors` are worn beside the tags."""
        self._server = server
        self._folder = folder
        self._hasty = hasty
        self.loses = hasty
        """Whether nobody waits for what it lost."""
        self._ready = folder / "gateway-ready.json"
        self._child: Child | None = None
        self._cold: subprocess.Popen[bytes] | None = None
        self.settings = folder / "gateway.toml"
        self.database = folder / "data" / "gateway.sqlite"
        # The longer a commit waits, the more is lost of what was acknowledged before it.
        interval_ms = 500 if hasty else 20
        self.settings.write_text(f'gateway = "gw-test"\nport = 0\n[store]\ncommit_interval_ms = {interval_ms}\n{more}')
        write_squad(folder, [*(tag_id(n) for n in range(TAGS)), *sensors])

    def start(self, *, cold: bool = False) -> None:
        """Start it; `cold` by its command line in a fresh interpreter."""
        self._ready.unlink(missing_ok=True)
        words = ["run", "--settings", str(self.settings), "--ready-file", str(self._ready), "--log-level", "warning"]
        log = self._folder / "gateway.log"
        if cold:
            with log.open("ab") as file:
                self._cold = subprocess.Popen([sys.executable, "-m", "edge", *words], stdout=file, stderr=file)
        elif self._hasty:
            self._child = self._server.start("hasty gateway", [str(self.settings), str(self._ready)], log)
        else:
            self._child = self._server.start("edge", words, log)

    async def ready(self) -> str:
        """Wait until its page answers and return the address."""
        begun = time.monotonic()
        while not self._ready.exists():
            ended = self._child.poll() if self._child else self._cold.poll() if self._cold else None
            if ended is not None or time.monotonic() - begun > _BOUND_S:
                raise RuntimeError(f"the gateway does not start: {(self._folder / 'gateway.log').read_text()[-800:]}")
            await asyncio.sleep(0.005)
        return str(json.loads(self._ready.read_text())["url"])

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid if self._child else self._cold.pid if self._cold else 0

    def kill(self) -> None:
        """End it with kill -9."""
        if self._child is not None:
            self._child.kill()
        if self._cold is not None:
            self._cold.kill()
            self._cold.wait()
        self._child = self._cold = None

    def stop(self) -> int:
        """Ask it to stop and return its exit status."""
        status = 0
        if self._child is not None:
            status = self._child.stop()
        if self._cold is not None:
            self._cold.terminate()
            status = self._cold.wait(_BOUND_S)
        self._child = self._cold = None
        return status


def kill_gateway(count: int, seed: int, folder: Path) -> Outcome:
    """Kill the gateway `count` times."""
    return asyncio.run(_kill(count, seed, folder, hasty=False))


def kill_hasty_gateway(count: int, seed: int, folder: Path) -> Outcome:
    """Do the same to one that acknowledges before the commit."""
    return asyncio.run(_kill(count, seed, folder, hasty=True))


async def _kill(count: int, seed: int, folder: Path, *, hasty: bool) -> Outcome:
    rng = random.Random(seed)
    broker = Broker(require_tool("mosquitto"), folder / "broker")
    broker.start()
    publisher = Publisher(broker.port, f"{rng.getrandbits(32):08x}")
    # The address of a cloud that is away: batches are made, and wait.
    (folder / "token").write_text("token")
    more = f'[mqtt]\nport = {broker.port}\n[sync]\nurl = "http://127.0.0.1:9"\nbatch_s = 0.2\nretry_cap_s = 1\n'
    failures: list[str] = []
    notes = {"kills while it starts": 0.0, "cold starts": 0.0, "positions checked": 0.0}
    try:
        with ForkServer() as server:
            gateway = GatewayUnderTest(server, folder, more=more, hasty=hasty)
            gateway.start()
            # The broker keeps messages for a client that has subscribed once; what came before that was never ours.
            await until_link(await gateway.ready(), "broker", up=True)
            gateway.kill()
            async with publisher.running():
                publisher.go_on()
                for kill in range(1, count + 1):
                    cold = kill % _COLD_EVERY == 0
                    gateway.start(cold=cold)
                    notes["cold starts"] += cold
                    early = rng.random() < 0.5 and not hasty and not cold
                    notes["kills while it starts"] += early
                    if not early:
                        await gateway.ready()
                    await asyncio.sleep(rng.uniform(0.0, 0.4))
                    await asyncio.to_thread(gateway.kill)
                    if kill % _CHECK_EVERY == 0 or kill == count:
                        await publisher.pause()
                        failures += await _check(gateway, publisher.keys(), f"seed {seed}, kill {kill}")
                        publisher.go_on()
                notes["positions checked"] = float(len(publisher.acknowledged))
    finally:
        broker.stop()
    return Outcome(tried=count, failures=failures, notes=notes)


async def _check(gateway: GatewayUnderTest, wanted: set[Key], name: str) -> list[str]:
    """Start the gateway once more and compare."""
    gateway.start()
    return await stop_and_compare(gateway, await gateway.ready(), wanted, name)


async def stop_and_compare(gateway: GatewayUnderTest, url: str, wanted: set[Key], name: str) -> list[str]:
    """Let a running gateway take what the broker holds, stop it, and compare."""
    await _until_stored(url, len(wanted), quiet_s=_SOON_QUIET_S if gateway.loses else _QUIET_S)
    status = await asyncio.to_thread(gateway.stop)
    words = [f"{name}: the gateway ended with {status}"] if status else []
    found = journal_readings(gateway.database)
    tags = Counter({key: count for key, count in found.items() if key[0] == "position"})
    return words + differences(name, wanted, tags, where="in the journal")


async def _until_stored(url: str, readings: int, *, quiet_s: float) -> None:
    """Wait until so many readings stand there, or no more come: what has not come by then is missing."""
    newest, since = -1, time.monotonic()
    while newest < readings and time.monotonic() - since < quiet_s:
        found = (await gateway_health(url))["store"]["readings"]
        if found != newest:
            newest, since = found, time.monotonic()
        await asyncio.sleep(0.05)


def start_offline(count: int, seed: int, folder: Path) -> Outcome:
    """Start a fresh gateway without a cloud, kill it after a second of data or ten, and start it again."""
    return asyncio.run(_start_offline(count, seed, folder, hasty=False))


def start_hasty_offline(count: int, seed: int, folder: Path) -> Outcome:
    """Do the same to one that acknowledges before the commit."""
    return asyncio.run(_start_offline(count, seed, folder, hasty=True))


async def _start_offline(count: int, seed: int, folder: Path, *, hasty: bool) -> Outcome:
    rng = random.Random(seed)
    failures: list[str] = []
    checked = 0
    with ForkServer() as server:
        for number in range(count):
            home = folder / str(number)
            home.mkdir()
            (home / "token").write_text("token")
            broker = Broker(require_tool("mosquitto"), home / "broker")
            broker.start()
            more = f'[mqtt]\nport = {broker.port}\n[sync]\nurl = "http://127.0.0.1:9"\n'
            gateway = GatewayUnderTest(server, home, more=more, hasty=hasty)
            publisher = Publisher(broker.port, f"{rng.getrandbits(32):08x}")
            try:
                gateway.start(cold=not hasty)
                await until_link(await gateway.ready(), "broker", up=True)
                async with publisher.running():
                    publisher.go_on()
                    await asyncio.sleep(
                        rng.uniform(0.0, 0.2) + (10.0 if number % _LONG_EVERY == _LONG_EVERY - 1 else 1.0)
                    )
                    await asyncio.to_thread(gateway.kill)
                    await publisher.pause()
                failures += await _check(gateway, publisher.keys(), f"seed {seed}, start {number}")
                checked += len(publisher.acknowledged)
            finally:
                gateway.kill()
                broker.stop()
    return Outcome(tried=count, failures=failures, notes={"positions checked": float(checked)})
