"""Row 13: an old backup of a gateway's data is put back, or two gateways run on copies of one card."""

import asyncio
import random
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.store.journal import Journal
from edge.sync.uploader import Uploader
from shared.clock import SystemClock
from shared.log import configure
from tests.faults.arm import Outcome
from tests.faults.ending import end
from tests.faults.forkserver import ForkServer
from tests.faults.ingest import Ingest
from tests.faults.numbered import Key, block, cloud_readings
from tests.faults.places import in_memory
from tests.faults.uploading import GATEWAY, MAX_BYTES, drain_in_order, receipts, sync_settings

_BOUND_S = 30.0
_READINGS = 20
Drain = Callable[[Journal, str, str], Coroutine[Any, Any, None]]


def restore_and_clone(count: int, seed: int, folder: Path) -> Outcome:
    """Restore a backup and clone a card in turn, `count` times."""
    return _tries(count, seed, folder, _drain)


def restore_without_check(count: int, seed: int, folder: Path) -> Outcome:
    """Do the same to a gateway that holds a conflict for final."""
    return _tries(count, seed, folder, drain_in_order)


async def _drain(journal: Journal, url: str, token: str) -> None:
    clock = SystemClock()
    await Uploader(sync_settings(url, timeout_s=5.0), GATEWAY, token, journal, clock, url=url).drain()


def _tries(count: int, seed: int, folder: Path, drain: Drain) -> Outcome:
    configure(level="error")
    failures: list[str] = []
    readings = 0
    with in_memory(folder) as place, ForkServer() as server:
        for number in range(count):
            home = place / str(number)
            home.mkdir()
            ingest = Ingest(server, home)
            card = _Card(ingest.url, ingest.enrol(GATEWAY), random.Random(seed + number), drain)
            ingest.start()
            work = _restore if number % 2 == 0 else _clone
            acknowledged, folders = asyncio.run(work(card, home))
            in_cloud, wrong = cloud_readings(ingest.layout)
            ingest.kill()
            name = f"seed {seed}, {work.__name__[1:]} {number}"
            failures += [f"{name}: {problem}" for problem in wrong]
            failures += _compare(name, acknowledged, in_cloud, folders)
            readings += len(acknowledged)
    return Outcome(tried=count, failures=failures, notes={"readings": float(readings)})


def _compare(name: str, acknowledged: set[Key], in_cloud: "dict[Key, int]", folders: list[Path]) -> list[str]:
    """Return what did not reach the cloud, and what gateways still hold for refused."""
    words = [] if acknowledged else [f"{name}: nothing was stored"]
    if missing := sorted(key for key in acknowledged if not in_cloud.get(key)):
        words.append(f"{name}: {len(missing)} of {len(acknowledged)} missing in the cloud, first {missing[0]}")
    for folder in folders:
        refused = [batch for batch, told in receipts(folder / "gateway.sqlite").items() if told == "conflict"]
        if refused:
            words.append(f"{name}: {len(refused)} batches of {folder.name} were set aside as conflicts")
    return words


@dataclass
class _Card:
    """A gateway's data that is used for a while, in one folder or another."""

    url: str
    token: str
    rng: random.Random
    drain: Drain

    async def use(self, folder: Path, origin: str, *, rounds: int, sent: bool) -> set[Key]:
        """Store readings of a device's power-on `origin` in some batches; `sent` waits until each has a receipt."""
        clock = SystemClock()
        journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=MAX_BYTES)
        draining = asyncio.create_task(self.drain(journal, self.url, self.token)) if sent else None
        for number in range(rounds):
            blocks = [block("position", number * _READINGS, _READINGS, start_ns=clock.utc_ns(), origin=origin)]
            await journal.append(blocks)
            await journal.run(journal.outbox.fill)
        if draining is not None:
            async with asyncio.timeout(_BOUND_S):
                while (await journal.run(journal.outbox.backlog)).batches:
                    if draining.done():
                        draining.result()
                    await asyncio.sleep(0.02)
            await end([draining])
        journal.close()
        return {("position", "tag-01", origin, number) for number in range(rounds * _READINGS)}


async def _restore(card: _Card, home: Path) -> tuple[set[Key], list[Path]]:
    """Back up, go on, put the backup back, go on."""
    data, backup = home / "data", home / "backup"
    stored = await card.use(data, "first", rounds=card.rng.randint(1, 4), sent=True)
    stored |= await card.use(data, "waiting", rounds=card.rng.randint(0, 2), sent=False)
    shutil.copytree(data, backup)
    stored |= await card.use(data, "before", rounds=card.rng.randint(1, 6), sent=True)
    shutil.rmtree(data)
    backup.rename(data)
    stored |= await card.use(data, "after", rounds=card.rng.randint(1, 6), sent=True)
    return stored, [data]


async def _clone(card: _Card, home: Path) -> tuple[set[Key], list[Path]]:
    """Copy the card and use both copies, one after the other, twice."""
    data, copy = home / "data", home / "copy"
    stored = await card.use(data, "first", rounds=card.rng.randint(1, 4), sent=True)
    shutil.copytree(data, copy)
    for turn in range(2):
        for folder in (data, copy):
            stored |= await card.use(folder, f"{folder.name}-{turn}", rounds=card.rng.randint(1, 5), sent=True)
    return stored, [data, copy]
