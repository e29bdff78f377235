"""Both gateways at rising rates: which they keep up with, what a message costs, how long it takes."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests.bench import load
from tests.bench.broker_pair import BenchBroker, UpstreamLink
from tests.bench.ours import Sideline, Tablet, install_models, settings, tags, write_nobody
from tests.bench.rival import ThingsBoard
from tests.integration.gateway_process import write_squad

RIVAL_RATES = (500, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000)
OUR_RATES = (1_000, 5_000, 10_000, 15_000, 20_000, 30_000, 40_000, 60_000, 80_000, 100_000)
# Behind by more than this when the sending ends means that the rate is too high.
KEPT_UP_S = 1.0
_WARM_RATE, _WARM_S = 100, 1.0
_READY_S = 90.0


class Side(Protocol):
    """A gateway that is being measured; `forgiven` is the share of messages that may be missing."""

    forgiven: float

    @property
    def process(self) -> psutil.Process:
        """Its process."""

    async def arrived(self, sent: int) -> dict[str, Any]:
        """Wait for what was sent since the last time; return `unique`, `twice` and, where known, ages."""


class Rival:
    """ThingsBoard between two brokers, counted upstream."""

    # It gives two messages of a sensor in one millisecond one time, and keeps one of them: that is no loss here.
    forgiven = 0.005

    def __init__(
        self, gateway: ThingsBoard, broker: BenchBroker, link: UpstreamLink, counter: Process, counts: Path
    ) -> None:
        self.gateway = gateway
        self._counter = counter
        self.broker = broker
        self.link = link
        self._counts = counts
        self._known: set[str] = set()

    @property
    def process(self) -> psutil.Process:
        """Its process."""
        return self.gateway.process

    async def ready(self) -> None:
        """Send a little again and again until it arrives."""
        async with asyncio.timeout(_READY_S):
            while True:
                report = await load.positions(self.broker.port, rate_per_s=_WARM_RATE, seconds=_WARM_S)
                if (await self.arrived(report["sent"], quiet_s=2.0))["unique"] >= 0.9 * report["sent"]:
                    return

    async def arrived(self, sent: int, *, quiet_s: float = 8.0) -> dict[str, Any]:
        """Wait until as many positions have come upstream, or no more have come for a while."""
        loop = asyncio.get_running_loop()
        found, changed_s = self._new(), loop.time()
        while found["unique"] < sent and loop.time() - changed_s < quiet_s:
            await asyncio.sleep(0.25)
            before, found = found, self._new()
            if found != before:
                changed_s = loop.time()
        await asyncio.sleep(0.5)  # what comes twice comes at the end
        found = self._new()
        self._known |= set(self._read())
        return found

    def _new(self) -> dict[str, Any]:
        runs = [run for boot, run in self._read().items() if boot not in self._known]
        return max(runs, key=lambda run: run["last_ns"]) if runs else {"unique": 0, "twice": 0, "last_ns": 0}

    def _read(self) -> dict[str, dict[str, Any]]:
        assert self._counter.returncode is None, "the upstream counter ended"
        found: dict[str, dict[str, Any]] = json.loads(self._counts.read_text()) if self._counts.exists() else {}
        return found


@asynccontextmanager
async def rival_running(python: Path, folder: Path) -> AsyncIterator[Rival]:
    """Start brokers, counter and rival; everything ends with the `async with`."""
    async with AsyncExitStack() as stack:
        brokers = [BenchBroker(folder / name) for name in ("sensors", "upstream")]
        for broker in brokers:
            broker.start()
            stack.callback(broker.stop)
        link = UpstreamLink(brokers[1].port)
        await link.up()
        stack.push_async_callback(link.refuse)
        counts = folder / "counts.json"
        counter = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.upstream", "--port", str(brokers[1].port), "--counts", str(counts)
        )
        stack.push_async_callback(counter.wait)
        stack.callback(_end, counter)
        gateway = ThingsBoard(python, folder / "rival", broker_port=brokers[0].port, upstream_port=link.port)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        rival = Rival(gateway, brokers[0], link, counter, counts)
        await rival.ready()
        yield rival


def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()


class Ours:
    """Sideline behind a broker, counted in its own store."""

    forgiven = 0.0

    def __init__(self, gateway: Sideline, broker: BenchBroker, tablet: Tablet | None) -> None:
        self.gateway = gateway
        self.broker = broker
        self.tablet = tablet
        self._before = self._dropped = 0

    @property
    def process(self) -> psutil.Process:
        """Its process."""
        return self.gateway.process

    async def arrived(self, sent: int) -> dict[str, Any]:
        """Wait until as many positions are stored."""
        stored = await self.gateway.until_stored(self._before + sent)
        dropped = await self.gateway.live_dropped()
        found = {
            "unique": min(sent, stored - self._before),
            "twice": max(0, stored - self._before - sent),
            "live_dropped": dropped - self._dropped,
        }
        self._before, self._dropped = stored, dropped
        return found


@asynccontextmanager
async def ours_running(folder: Path, *, whole: bool) -> AsyncIterator[Ours]:
    """Start broker and gateway: `whole` with a squad, metrics, models and a tablet, else decode and journal only."""
    async with AsyncExitStack() as stack:
        broker = BenchBroker(folder / "sensors")
        broker.start()
        stack.callback(broker.stop)
        settings(folder, broker_port=broker.port)
        if whole:
            write_squad(folder, tags())
            install_models(folder)
        else:
            write_nobody(folder)
        gateway = Sideline(folder)
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        tablet = None
        if whole:
            tablet = Tablet(gateway.url, folder / "ages.json")
            await tablet.start()
            stack.push_async_callback(tablet.stop)
        yield Ours(gateway, broker, tablet)


async def at_rate(side: Side, port: int, *, rate_per_s: int, seconds: float) -> dict[str, Any]:
    """Send at one rate and say what became of it."""
    from_ns = time.time_ns()
    async with load.spending(side.process) as spent:
        report = await load.positions(port, rate_per_s=rate_per_s, seconds=seconds)
        ended_ns = time.time_ns()
        found = await side.arrived(report["sent"])
        arrived_ns = found.get("last_ns") or time.time_ns()
        behind_s = max(0.0, (arrived_ns - ended_ns) / 1e9)
    sent, lost = report["sent"], report["sent"] - found["unique"]
    return {
        "span_ns": (from_ns, ended_ns),
        "wanted_per_s": rate_per_s,
        "sent_per_s": report["sent_per_s"],
        "sent": sent,
        "lost": lost,
        "twice": found["twice"],
        "live_dropped": found.get("live_dropped"),
        "behind_s": round(behind_s, 2),
        "kept_up": behind_s < KEPT_UP_S and lost <= side.forgiven * sent,
        "generator_limited": report["sent_per_s"] < 0.97 * rate_per_s,
        "p50_ms": found.get("p50_ms"),
        "p99_ms": found.get("p99_ms"),
        "cpu_s_per_100k": spent.per_100k(found["unique"]),
        "rss_mb": spent.rss_mb,
        "load_average": spent.load_average,
    }


async def rising(
    rates: tuple[int, ...], measure: Callable[[int], Awaitable[dict[str, Any]]], name: str
) -> list[dict[str, Any]]:
    """Raise the rate until the gateway falls behind or the generator reaches its own end."""
    rows = []
    for rate in rates:
        rows.append({"gateway": name} | await measure(rate))
        print(rows[-1], flush=True)
        if not rows[-1]["kept_up"] or rows[-1]["generator_limited"]:
            break
    return rows


async def measure_rates(folder: Path, python: Path | None, *, seconds: float, rounds: int = 2) -> list[dict[str, Any]]:
    """Measure ThingsBoard, Sideline's decode and journal, and the whole of Sideline, one after another, again."""
    rows: list[dict[str, Any]] = []
    for number in range(rounds):
        place = folder / f"round-{number}"
        if python is not None:
            async with rival_running(python, place / "thingsboard") as rival:
                measured = await rising(
                    RIVAL_RATES,
                    lambda rate: at_rate(rival, rival.broker.port, rate_per_s=rate, seconds=seconds),
                    "ThingsBoard",
                )
            rows += [with_ages(row, None) for row in measured]
        for name, whole in (("Sideline, decode + journal", False), ("Sideline, metrics, models, tablet", True)):
            (place / name.split()[1]).mkdir(parents=True)
            async with ours_running(place / name.split()[1], whole=whole) as ours:
                measured = await rising(
                    OUR_RATES,
                    lambda rate: at_rate(ours, ours.broker.port, rate_per_s=rate, seconds=seconds),
                    name,
                )
            rows += [with_ages(row, ours.tablet) for row in measured]
    return rows


def with_ages(row: dict[str, Any], tablet: Tablet | None) -> dict[str, Any]:
    """Return a row with how old positions were as the tablet, which has ended, got them."""
    span_ns = row.pop("span_ns")
    shown = tablet.ages(*span_ns)["position"] if tablet is not None else None
    return row if shown is None else row | {"p50_ms": shown["p50_ms"], "p99_ms": shown["p99_ms"]}
