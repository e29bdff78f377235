"""Row 11: two hundred gateways come back at once to a cloud that takes four batches at a time."""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from edge.settings import SyncSettings
from edge.store.journal import Journal
from edge.sync.client import CloudClient
from edge.sync.uploader import Uploader
from shared.clock import SystemClock
from shared.errors import ServerBusy
from shared.log import configure
from tests.faults.arm import Outcome
from tests.faults.ending import end
from tests.faults.forkserver import ForkServer
from tests.faults.http_faults import Exchange, HttpFaults
from tests.faults.ingest import Ingest
from tests.faults.numbered import block, cloud_readings, differences, journal_readings
from tests.faults.places import in_memory
from tests.faults.uploading import MAX_BYTES

_AT_ONCE = 4
_RETRY_AFTER_S = 1
_RETRY_CAP_S = 5.0
# A gateway has two connections: what the other had begun to send when this one was sent away still arrives.
_ON_ITS_WAY_S = 0.25
_SLOT_S = 0.1
_BOUND_S = 240.0


@dataclass
class _Gateway:
    name: str
    token: str
    database: Path
    journal: Journal


def storm(count: int, seed: int, folder: Path) -> Outcome:
    """Let `count` uploaders of ours reconnect at once."""
    return _storm(count, seed, folder, patient=True)


def storm_impatient(count: int, seed: int, folder: Path) -> Outcome:
    """Do the same with uploaders that try again at once."""
    return _storm(count, seed, folder, patient=False)


def _storm(count: int, seed: int, folder: Path, *, patient: bool) -> Outcome:
    configure(level="error")
    notes: Counter[str] = Counter()
    settings = f"max_in_flight = {_AT_ONCE}\nmax_in_flight_per_gateway = 1\nretry_after_s = {_RETRY_AFTER_S}\n"
    with in_memory(folder) as place, ForkServer() as server:
        ingest = Ingest(server, place, settings=settings)
        ingest.start()
        exchanges, databases = asyncio.run(_one(ingest, place, count, patient=patient))
        ingest.kill()
        name = f"seed {seed}"
        failures = _judge(name, exchanges, max(10, count // 2), notes)
        for gateway, database in databases.items():
            in_cloud, wrong = cloud_readings(ingest.layout, gateway)
            wanted = set(journal_readings(database))
            failures += differences(f"{name}, {gateway}", wanted, in_cloud, where="in the cloud") + wrong
    return Outcome(tried=count, failures=failures, notes=dict(notes))


async def _one(ingest: Ingest, folder: Path, count: int, *, patient: bool) -> tuple[list[Exchange], dict[str, Path]]:
    """Run one storm until everything has a receipt, and return what came by."""
    gateways = [await _prepared(ingest, folder, number) for number in range(count)]
    send = _send if patient else _send_impatiently
    async with HttpFaults(ingest.port, random.Random(0), share=0.0) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        tasks = [asyncio.create_task(send(gateway, url)) for gateway in gateways]
        done, late = await asyncio.wait(tasks, timeout=_BOUND_S)
        for task in late:
            task.cancel()
        for task in done:
            task.result()
        exchanges = list(proxy.exchanges)
    for gateway in gateways:
        gateway.journal.close()
    return exchanges, {gateway.name: gateway.database for gateway in gateways}


async def _prepared(ingest: Ingest, folder: Path, number: int) -> _Gateway:
    """Return a gateway with a batch that waits."""
    name = f"gw-{number:03d}"
    clock = SystemClock()
    database = folder / name / "gateway.sqlite"
    journal = Journal.open(database, clock, max_bytes=MAX_BYTES)
    await journal.append([block("position", 0, 20, start_ns=clock.utc_ns(), origin=name, sensor=name)])
    await journal.run(journal.outbox.fill)
    return _Gateway(name=name, token=ingest.enrol(name), database=database, journal=journal)


async def _send(gateway: _Gateway, url: str) -> None:
    """Let the real uploader send until nothing waits."""
    settings = SyncSettings(url=url, timeout_s=30.0, retry_cap_s=_RETRY_CAP_S)
    clock = SystemClock()
    uploader = Uploader(settings, gateway.name, gateway.token, gateway.journal, clock, url=url)
    draining = asyncio.create_task(uploader.drain())
    outbox = gateway.journal.outbox
    while (await gateway.journal.run(outbox.backlog)).batches:
        if draining.done():
            draining.result()
        await asyncio.sleep(0.25)
    await end([draining])


async def _send_impatiently(gateway: _Gateway, url: str) -> None:
    """Send until there is a receipt, at once and again at once."""
    outbox = gateway.journal.outbox
    async with CloudClient(url, gateway.name, gateway.token, timeout_s=30.0) as client:
        while (batch := await gateway.journal.run(outbox.next_pending, gateway.name)) is not None:
            with contextlib.suppress(ServerBusy):
                receipt = await client.put(batch)
                await gateway.journal.run(outbox.record_receipt, batch.header.epoch, batch.header.seq, receipt.status)


def _judge(name: str, exchanges: Sequence[Exchange], at_most: int, notes: Counter[str]) -> list[str]:
    """Return who came back too early, and whether more than `at_most` came back within a tenth of a second."""
    words: list[str] = []
    by_gateway: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in sorted(exchanges, key=lambda one: one.asked_s):
        by_gateway[exchange.path.split("/")[3]].append(exchange)
    early = 0
    slots: Counter[int] = Counter()
    for own in by_gateway.values():
        for before, after in pairwise(own):
            if before.status in (429, 503):
                waited_s = after.asked_s - before.answered_s
                early += _ON_ITS_WAY_S < waited_s < before.retry_after_s - 0.05
                slots[int(after.asked_s / _SLOT_S)] += 1
    most = max(slots.values(), default=0)
    refused = sum(exchange.status in (429, 503) for exchange in exchanges)
    notes.update({"requests": len(exchanges), "sent away with Retry-After": refused})
    if not refused:
        words.append(f"{name}: nobody was sent away: no storm")
    if early:
        words.append(f"{name}: {early} requests came before their Retry-After was over")
    if most > at_most:
        words.append(f"{name}: {most} gateways came back within the same tenth of a second")
    return words
