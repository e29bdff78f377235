"""From sensor to tablet at the load of 60 athletes with all models running, alone and under pressure.

2,160 messages a second: 60 tags at 25 Hz, 60 heart rates at 1 Hz, 60 motion sensors with 10 frames of 10 samples.
`calm` has nothing else to do but upload what comes; `pressed` drains hours of backlog and swaps a model meanwhile. The
cloud, the broker, the sensors and the tablet run on the same machine.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from firmware_sim.load_messages import mix_roster
from firmware_sim.squad import squad_profiles
from shared.clock import NS_PER_S, SystemClock
from shared.roster import Roster, write_roster
from tests.bench import load
from tests.bench.ack_tap import AckTap
from tests.bench.backlog import fill_journal, missing
from tests.bench.broker_pair import BenchBroker
from tests.bench.ours import MODELS, TAGS, Cloud, Sideline, Tablet, install_models, made, newer_model, settings
from tests.integration.gateway_process import gateway_health

TOPICS = ("position", "sideline_json", "sideline_binary")
SWAPPED, NEWER = "effort", "99.0.0"
# The effort model answers after its athlete's first minute.
WARM_S = 70.0
# The channel is looked at as the gateway starts, and again in the middle of what is measured.
_POLL_S = 90.0
# What is stored ended long enough ago not to be this session.
_AGO_NS = 3 * 3600 * NS_PER_S


def two_teams() -> Roster:
    """Return the roster of the mix, its athletes in two teams."""
    roster = mix_roster(squad_profiles(TAGS, 7))
    athletes = [msgspec.structs.replace(athlete, team=number % 2) for number, athlete in enumerate(roster.athletes)]
    return msgspec.structs.replace(roster, athletes=athletes)


@asynccontextmanager
async def squad_running(
    folder: Path, *, port: int, broker: BenchBroker
) -> AsyncIterator[tuple[Sideline, Cloud, Tablet]]:
    """Start cloud, gateway and tablet for the mix of sensors that `broker` brings on `port`."""
    async with AsyncExitStack() as stack:
        broker.start()
        stack.callback(broker.stop)
        cloud = Cloud(folder)
        await asyncio.to_thread(cloud.set_up)
        for model in sorted(path for path in MODELS.iterdir() if path.is_dir()):
            await asyncio.to_thread(cloud.command, "release", model.name, "--from", str(model))
        await stack.enter_async_context(cloud.program)
        await cloud.program.start()
        settings(folder, broker_port=port, topics=TOPICS, cloud_port=cloud.port, poll_s=_POLL_S)
        write_roster(two_teams(), folder / "roster.json")
        install_models(folder)
        gateway = Sideline(folder)
        stack.push_async_callback(gateway.stop)
        await gateway.start()
        tablet = Tablet(gateway.url, folder / "ages.json")
        await tablet.start()
        stack.push_async_callback(tablet.stop)
        yield gateway, cloud, tablet


async def measure_calm(folder: Path, *, seconds: float) -> dict[str, Any]:
    """Return ages on the tablet, what the gateway spent, and its models' inferences."""
    broker = BenchBroker(made(folder) / "sensors")
    async with squad_running(folder, port=broker.port, broker=broker) as (gateway, _, tablet):
        sending = asyncio.create_task(load.mix(broker.port, seconds=WARM_S + seconds))
        await asyncio.sleep(WARM_S)
        from_ns = time.time_ns()
        async with load.spending(gateway.process) as spent:
            report = await sending
        to_ns = time.time_ns()
        models = await _models(gateway)
        stored = await gateway.until_stored(sum(kind["readings"] for kind in report["kinds"].values()))
        await tablet.stop()
    return {
        "seconds": seconds,
        "sent_per_s": report["sent_per_s"],
        "lost_readings": sum(kind["readings"] for kind in report["kinds"].values()) - stored,
        "cpu_s_per_100k": spent.per_100k(round(report["sent"] * seconds / (WARM_S + seconds))),
        "rss_mb": spent.rss_mb,
        "load_average": spent.load_average,
        "models": models,
        **tablet.ages(from_ns, to_ns),
    }


async def _models(gateway: Sideline) -> dict[str, dict[str, Any]]:
    health = await gateway_health(gateway.url)
    return {
        model["name"]: {"version": model["version"], "inferences": model["inferences"]} for model in health["models"]
    }


async def measure_acknowledged(folder: Path, *, seconds: float) -> dict[str, Any]:
    """Return how old positions are as the gateway acknowledges them, which it does after the commit."""
    broker = BenchBroker(made(folder) / "sensors")
    broker.start()  # the tap connects to it
    tap = AckTap(broker.port)
    await tap.start()
    broker.stop()
    try:
        async with squad_running(folder, port=tap.port, broker=broker):
            await load.mix(broker.port, seconds=seconds)
    finally:
        await tap.stop()
    p50, p99 = np.percentile(tap.ages_ms, (50, 99)).round(2).tolist()
    return {"n": len(tap.ages_ms), "p50_ms": p50, "p99_ms": p99}


async def measure_pressed(folder: Path, *, seconds: float, hours: float) -> dict[str, Any]:
    """Return ages while `hours` of backlog drain and a model is swapped, and whether both went on to the end."""
    broker = BenchBroker(made(folder) / "sensors")
    backlog = await fill_journal(folder / "data", hours, ended_ns=SystemClock().utc_ns() - _AGO_NS)
    async with squad_running(folder, port=broker.port, broker=broker) as (gateway, cloud, tablet):
        newer = newer_model(folder, SWAPPED, NEWER)
        await asyncio.to_thread(cloud.command, "release", SWAPPED, "--from", str(newer))
        sending = asyncio.create_task(load.mix(broker.port, seconds=WARM_S + seconds))
        await asyncio.sleep(WARM_S)
        from_ns = time.time_ns()
        left_before = missing(backlog, cloud.data / "ledger.sqlite")
        async with load.spending(gateway.process) as spent:
            swap = await _swap(gateway, until=sending)
            report = await sending
        to_ns = time.time_ns()
        left = missing(backlog, cloud.data / "ledger.sqlite")
        await tablet.stop()
    return {
        "seconds": seconds,
        "hours": hours,
        "sent_per_s": report["sent_per_s"],
        "backlog_readings": sum(backlog.values()),
        "drained_readings": left_before - left,
        "left_readings": left,
        "swapped": swap is not None,
        "in_swap": tablet.ages(*swap) if swap is not None else None,
        "rss_mb": spent.rss_mb,
        "load_average": spent.load_average,
        **tablet.ages(from_ns, to_ns),
    }


async def _swap(gateway: Sideline, *, until: asyncio.Task[Any]) -> tuple[int, int] | None:
    """Wait for the newer model; return from its arrival to a second after it answers, None where it never did."""
    arrived_ns = 0
    while not until.done():
        health = await gateway_health(gateway.url)
        slot = next(model for model in health["models"] if model["name"] == SWAPPED)
        if not arrived_ns and NEWER in (slot["candidate_version"], slot["version"]):
            arrived_ns = time.time_ns()
        if slot["version"] == NEWER:
            await asyncio.sleep(1.0)
            return arrived_ns, time.time_ns()
        await asyncio.sleep(0.25)
    return None
