"""Row 7: one bit of the store's files turns over; no wrong reading is ever read, and no wrong bytes reach the cloud."""

import asyncio
import logging
import random
import shutil
import sqlite3
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray
from structlog.testing import capture_logs

from edge.store.journal import Journal
from edge.store.reader import JournalReader
from shared.batch import sha256_hex
from shared.chunk_codec import decode_chunk, encode_tail
from shared.clock import ManualClock
from shared.errors import SidelineError
from shared.parquet_codec import decode_parquet
from shared.tally import NOTHING, Tally, tallies
from tests.faults.arm import Outcome
from tests.faults.crash import write_image
from tests.faults.sqlite_disk import Answer
from tests.faults.store_files import watched_files
from tests.faults.store_work import MAX_BYTES, Ledger, work

_APPENDS = 60
_FLIPS_EACH = 500
_SENT_SHARE = 0.5
"""Share of the flips after which the gateway sends what it has, beside being read and started."""
_MOST_BATCHES = 200


@dataclass(frozen=True, slots=True)
class _Season:
    """What a gateway left: files by path, what it had been handed, and its chunks as a commit writes them."""

    files: dict[str, bytes]
    ledger: Ledger
    end_ns: int
    stood: NDArray[np.int64]
    """How many readings of each append stood there before the flip."""
    chunks: list[bytes]
    sent: list[bytes]
    """What the cloud has already."""


@dataclass(slots=True)
class _Found:
    """What came of one flip."""

    wrong: list[str] = field(default_factory=list)
    told: bool = False
    missing: int = 0
    """Appends of which readings are not there any more, or never reach the cloud."""


def bit_flips(count: int, seed: int, folder: Path) -> Outcome:
    """Turn over `count` bits, one at a time."""
    failures: list[str] = []
    notes = {"told": 0.0, "harmless": 0.0, "newest commit taken for unfinished": 0.0}
    done = 0
    for run in range(-(-count // _FLIPS_EACH)):
        run_seed = seed * 1000 + run
        dice = random.Random(run_seed)
        season = _season(folder / "season", run_seed)
        for number in range(min(_FLIPS_EACH, count - done)):
            path, bit = _place(season, dice)
            found = _flip(season, path, bit, folder / "flip", sends=dice.random() < _SENT_SHARE)
            where = f"seed {run_seed} flip {number} {path} bit {bit}"
            failures += [f"{where}: {words}" for words in found.wrong[:1]]
            if found.told:
                notes["told"] += 1
            elif not found.missing:
                notes["harmless"] += 1
            elif found.missing == 1 and path.endswith("-wal"):
                # The last commit of a log, not whole, is what a power cut leaves too.
                notes["newest commit taken for unfinished"] += 1
            else:
                failures.append(f"{where}: {found.missing} commits are gone, and nobody says so")
            done += 1
        shutil.rmtree(folder / "season")
    return Outcome(tried=done, failures=failures, notes=notes)


def bit_flips_unchecked(count: int, seed: int, folder: Path) -> Outcome:
    """The same for chunks that are decoded without a look at their digest."""
    failures: list[str] = []
    dice = random.Random(seed)
    season = _season(folder / "season", seed)
    bodies = list(season.chunks)
    for number in range(count):
        body = bytearray(dice.choice(bodies))
        bit = dice.randrange(8 * len(body))
        body[bit // 8] ^= 1 << bit % 8
        try:
            blocks = decode_chunk(bytes(body))
        except SidelineError:
            continue
        wrong = season.ledger.compare(blocks).wrong
        failures += [f"seed {seed} flip {number} bit {bit}: {words}" for words in wrong[:1]]
    return Outcome(tried=count, failures=failures)


def _season(folder: Path, seed: int) -> _Season:
    folder.mkdir(parents=True)
    ledger, clock = Ledger(), ManualClock()
    path = folder / "gateway.sqlite"

    async def run() -> _Season:
        journal = Journal.open(path, clock, max_bytes=MAX_BYTES)
        try:
            await work(journal, clock, ledger, random.Random(seed), _APPENDS)
            files = _files(folder)
        finally:
            journal.close()
        with JournalReader(path) as reader:
            blocks = [members for _, members in reader.blocks(imported=True)]
        stood = ledger.compare([block for members in blocks for block in members]).counts
        chunks = [encode_tail(members) for members in blocks]
        sent = list(ledger.moment.sent.values())
        return _Season(files=files, ledger=ledger, end_ns=clock.utc_ns(), stood=stood, chunks=chunks, sent=sent)

    with watched_files(folder, lambda _: Answer.DONE):
        return asyncio.run(run())


def _files(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith("-shm")
    }


def _place(season: _Season, dice: random.Random) -> tuple[str, int]:
    path = dice.choice([name for name, content in season.files.items() if content])
    return path, dice.randrange(8 * len(season.files[path]))


def _flip(season: _Season, path: str, bit: int, folder: Path, *, sends: bool) -> _Found:
    body = bytearray(season.files[path])
    body[bit // 8] ^= 1 << bit % 8
    write_image(season.files | {path: bytes(body)}, folder)
    found = _Found()
    try:
        with watched_files(folder, lambda _: Answer.DONE), _listening() as said:
            _read(season, folder / "gateway.sqlite", found)
            asyncio.run(_start(season, folder / "gateway.sqlite", found, sends=sends))
        found.told |= any(line["log_level"] in {"error", "warning"} for line in said)
    except (ValueError, TypeError, LookupError, ArithmeticError, sqlite3.Error) as exc:
        found.wrong.append(f"raises {type(exc).__name__}, which nobody expects: {exc}")
    finally:
        shutil.rmtree(folder)
    return found


def _read(season: _Season, path: Path, found: _Found) -> None:
    try:
        with JournalReader(path) as reader:
            chunks = [members for _, members in reader.blocks(imported=True)]
    except SidelineError:
        found.told = True
        return
    found.told |= not all(chunks)
    came = season.ledger.compare([block for members in chunks for block in members])
    found.wrong += came.wrong + (["readings stand twice"] if came.doubled else [])
    found.missing = int((came.counts < season.stood).sum())


async def _start(season: _Season, path: Path, found: _Found, *, sends: bool) -> None:
    """Start a gateway, and let it send what it has to a cloud that takes what matches its digest."""
    try:
        journal = Journal.open(path, ManualClock(utc_ns=season.end_ns, boot_id="boot-1"), max_bytes=MAX_BYTES)
    except SidelineError:
        found.told = True
        return
    try:
        if sends:
            await _send_all(journal, season, found)
    except SidelineError:
        found.told = True
    finally:
        journal.close()


async def _send_all(journal: Journal, season: _Season, found: _Found) -> None:
    while await journal.run(journal.outbox.fill):
        pass
    cloud = [block for body in season.sent for block in decode_parquet(body)]
    for _ in range(_MOST_BATCHES):
        batch = await journal.run(journal.outbox.next_pending, "gateway-1")
        if batch is None:
            break
        taken = sha256_hex(batch.body) == batch.header.sha256
        found.told |= not taken
        if taken:
            cloud += decode_parquet(batch.body)
        status = "stored" if taken else "rejected"
        await journal.run(journal.outbox.record_receipt, batch.header.epoch, batch.header.seq, status)
    came = season.ledger.compare(cloud)
    found.wrong += [f"cloud: {words}" for words in came.wrong]
    found.missing = max(found.missing, int((came.counts < season.stood).sum()))
    held = tallies(cloud)  # the gateway compares them with its own, and sends again what differs
    for line in await journal.run(journal.tallies.kept):
        found.told |= held.get((line.stream, line.hour), NOTHING) != Tally(line.count, line.digest)


@contextmanager
def _listening() -> Iterator[list[MutableMapping[str, Any]]]:
    """Keep what is said, from warnings on."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        with capture_logs() as said:
            yield said
    finally:
        structlog.configure(**before)
