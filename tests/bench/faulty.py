"""Both gateways under the same faults, and what of the acknowledged messages is lost.

`killed`: kill -9 in the middle of 20 s, started again after 3 s. `silent`: the link upstream swallows everything for a
minute of 90 s, then resets. `offline`: started with the link refused, 10 s of data, kill -9, started again online. A
message counts as acknowledged when the sensors' broker acknowledged it; the gateways' sessions there outlive them.
"""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.bench import load
from tests.bench.backlog import received
from tests.bench.broker_pair import BenchBroker, UpstreamLink
from tests.bench.ours import Cloud, Sideline, made, settings, tags
from tests.bench.speed import Rival, rival_running
from tests.integration.gateway_process import stored_positions, until_link, write_squad

RATE_PER_S = 500
KILLED_AFTER_S, DOWN_S, KILLED_RUN_S = 10.0, 3.0, 20.0
SILENT_AFTER_S, SILENT_S, SILENT_RUN_S = 10.0, 60.0, 90.0
OFFLINE_RUN_S = 10.0
_BOUND_S = 180.0


def _row(gateway: str, fault: str, report: dict[str, Any], unique: int, twice: int) -> dict[str, Any]:
    row = {
        "gateway": gateway,
        "fault": fault,
        "acknowledged": report["acked"],
        "lost": report["acked"] - unique,
        "twice": twice,
    }
    print(row, flush=True)
    return row


async def rival_faults(python: Path, folder: Path) -> list[dict[str, Any]]:
    """Measure ThingsBoard; upstream is a broker that counts."""
    rows = []
    async with rival_running(python, folder / "killed") as rival:
        sending = asyncio.create_task(_load(rival.broker.port, KILLED_RUN_S))
        await asyncio.sleep(KILLED_AFTER_S)
        await rival.gateway.kill()
        await asyncio.sleep(DOWN_S)
        await rival.gateway.start()
        rows.append(await _rival_row("killed", rival, await sending))
    async with rival_running(python, folder / "silent") as rival:
        sending = asyncio.create_task(_load(rival.broker.port, SILENT_RUN_S))
        await asyncio.sleep(SILENT_AFTER_S)
        rival.link.silent()
        await asyncio.sleep(SILENT_S)
        await rival.link.up()
        rows.append(await _rival_row("silent", rival, await sending))
    async with rival_running(python, folder / "offline") as rival:
        await rival.gateway.stop()
        await rival.link.refuse()
        await rival.gateway.start()
        await asyncio.sleep(4.0)  # it tells nobody when it listens
        report = await _load(rival.broker.port, OFFLINE_RUN_S)
        await asyncio.sleep(DOWN_S)
        await rival.gateway.kill()
        await rival.link.up()
        await rival.gateway.start()
        rows.append(await _rival_row("offline", rival, report))
    return rows


async def _rival_row(fault: str, rival: Rival, report: dict[str, Any]) -> dict[str, Any]:
    found = await rival.arrived(report["acked"], quiet_s=40.0)
    return _row("ThingsBoard", fault, report, found["unique"], found["twice"])


async def _load(port: int, seconds: float) -> dict[str, Any]:
    return await load.positions(port, rate_per_s=RATE_PER_S, seconds=seconds)


async def our_fault(folder: Path, fault: str) -> dict[str, Any]:
    """Measure Sideline with the real ingest server upstream: nothing may be missing there or in its own store."""
    async with AsyncExitStack() as stack:
        broker = BenchBroker(made(folder) / "sensors")
        broker.start()
        stack.callback(broker.stop)
        cloud = Cloud(folder)
        await asyncio.to_thread(cloud.set_up)
        await stack.enter_async_context(cloud.program)
        await cloud.program.start()
        link = UpstreamLink(cloud.port)
        stack.push_async_callback(link.refuse)
        settings(folder, broker_port=broker.port, cloud_port=link.port)
        write_squad(folder, tags())
        gateway = Sideline(folder)
        stack.push_async_callback(gateway.kill)
        if fault != "offline":
            await link.up()
        await gateway.start()
        report = await _suffer(fault, gateway, broker.port, link)
        await until_link(gateway.url, "cloud", up=True)
        uploaded = await _arrived(cloud, report["acked"])
        await gateway.stop()
        stored = stored_positions(gateway.data / "gateway.sqlite")
    unique = min(len(stored), uploaded)
    twice = sum(stored.values()) - len(stored) + max(0, uploaded - len(stored))
    return _row("Sideline", fault, report, unique, twice)


async def _suffer(fault: str, gateway: Sideline, port: int, link: UpstreamLink) -> dict[str, Any]:
    if fault == "offline":
        report = await _load(port, OFFLINE_RUN_S)
        await gateway.kill()
        await link.up()
        await gateway.start()
        return report
    if fault == "killed":
        sending = asyncio.create_task(_load(port, KILLED_RUN_S))
        await asyncio.sleep(KILLED_AFTER_S)
        await gateway.kill()
        await asyncio.sleep(DOWN_S)
        await gateway.start()
        return await sending
    sending = asyncio.create_task(_load(port, SILENT_RUN_S))
    await asyncio.sleep(SILENT_AFTER_S)
    link.silent()
    await asyncio.sleep(SILENT_S)
    await link.up()
    return await sending


async def _arrived(cloud: Cloud, count: int) -> int:
    """Wait until the cloud has so many positions; return how many it has."""
    ledger = cloud.data / "ledger.sqlite"
    found: Counter[str] = Counter()
    try:
        async with asyncio.timeout(_BOUND_S):
            while (found := Counter(received(ledger)))["position"] < count:
                await asyncio.sleep(0.5)
    except TimeoutError:
        pass
    return found["position"]


async def measure_faults(folder: Path, python: Path | None) -> list[dict[str, Any]]:
    """Measure both gateways, one after the other."""
    rows = await rival_faults(python, folder / "thingsboard") if python is not None else []
    return rows + [await our_fault(folder / fault, fault) for fault in ("killed", "silent", "offline")]
