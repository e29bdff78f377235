"""A gateway's store and upload without its sensors: the real Journal, Outbox and Uploader, fed with numbered readings.

As a program it is killed at any moment and started again: it goes on behind what stands in its journal, and writes what
was acknowledged to it into a file as soon as it was.
"""

import asyncio
import os
import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edge.settings import SyncSettings
from edge.store.journal import Journal
from edge.store.outbox import Pending
from edge.sync.client import CloudClient
from edge.sync.uploader import Uploader
from shared.clock import SystemClock
from shared.errors import BatchRefused, LinkDown, ServerBusy
from shared.ids import new_epoch
from shared.log import configure
from tests.faults.ending import end
from tests.faults.numbered import STREAM_NAMES, Key, block, journal_readings

GATEWAY = "gw-test"
ORIGIN = "boot-0"
MAX_BYTES = 2**30
READINGS = 20
"""In a batch."""
_BATCHES_WAITING = 12
DONE = "done"
_ACKNOWLEDGED = "acknowledged"


def sync_settings(url: str, *, timeout_s: float = 0.25) -> SyncSettings:
    """Return settings that try again at once."""
    return SyncSettings(url=url, batch_s=0.05, timeout_s=timeout_s, retry_cap_s=0.05)


def acknowledged(folder: Path) -> set[Key]:
    """Return the readings that the client's journal has acknowledged."""
    file = folder / _ACKNOWLEDGED
    groups = len(file.read_bytes()) if file.is_file() else 0
    return {(stream, "tag-01", ORIGIN, number) for stream in STREAM_NAMES for number in range(groups * READINGS)}


def receipts(database: Path) -> dict[tuple[int, str], str | None]:
    """Return what a gateway holds to have become of each of its batches, by number and digest."""
    connection = sqlite3.connect(database)
    rows = connection.execute("SELECT seq, sha256, receipt FROM batch").fetchall()
    connection.close()
    return {(seq, sha256): receipt for seq, sha256, receipt in rows}


def run_client(words: Sequence[str]) -> None:
    """`FOLDER URL TOKEN BATCHES KIND`: store and upload until so many batches have a receipt.

    KIND `naive` sends each attempt under another name.
    """
    folder, url, token, batches, kind = Path(words[0]), words[1], words[2], int(words[3]), words[4]
    configure(level="error")
    asyncio.run(_run(folder, url, token, batches, naive=kind == "naive"))


async def _run(folder: Path, url: str, token: str, batches: int, *, naive: bool) -> None:
    clock = SystemClock()
    journal = Journal.open(folder / "gateway.sqlite", clock, max_bytes=MAX_BYTES)
    group = max((number for *_, number in journal_readings(folder / "gateway.sqlite")), default=-1) // READINGS + 1
    _note(folder, group)
    await journal.run(journal.outbox.fill)
    uploader = Uploader(sync_settings(url), GATEWAY, token, journal, clock, url=url)
    draining = asyncio.create_task(drain_in_order(journal, url, token, renamed=True) if naive else uploader.drain())
    while True:
        assert not draining.done(), draining.exception()
        waiting = (await journal.run(journal.outbox.backlog)).batches
        if group * len(STREAM_NAMES) >= batches and not waiting:
            break
        if waiting < _BATCHES_WAITING and group * len(STREAM_NAMES) < batches:
            start_ns = clock.utc_ns()
            blocks = [
                block(name, group * READINGS, READINGS, start_ns=start_ns, origin=ORIGIN) for name in STREAM_NAMES
            ]
            await journal.append(blocks)
            group += 1
            _note(folder, group)
            await journal.run(journal.outbox.fill)
        else:
            await asyncio.sleep(0.01)
    await end([draining])
    journal.close()
    (folder / DONE).touch()


def _note(folder: Path, groups: int) -> None:
    """Note that so many groups were acknowledged, in one system call that outlives the process."""
    file = os.open(folder / _ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT, 0o644)
    os.ftruncate(file, groups)
    os.close(file)


async def drain_in_order(journal: Journal, url: str, token: str, *, renamed: bool = False) -> None:
    """Send one batch after the other by its number, and hold every receipt for final: what an uploader must not do.

    `renamed` makes each attempt a batch of another name.
    """
    rng = random.Random(0)
    async with CloudClient(url, GATEWAY, token, timeout_s=0.25) as client:
        while True:
            batch = await journal.run(journal.outbox.next_pending, GATEWAY)
            if batch is None:
                await asyncio.sleep(0.01)
                continue
            epoch = new_epoch() if renamed else batch.header.epoch
            sent = Pending(header=msgspec.structs.replace(batch.header, epoch=epoch), body=batch.body)
            try:
                receipt = await client.put(sent)
            except (LinkDown, ServerBusy, BatchRefused):
                await asyncio.sleep(rng.uniform(0, 0.05))
                continue
            if receipt.status != "rejected":
                header = batch.header
                await journal.run(journal.outbox.record_receipt, header.epoch, header.seq, receipt.status)
