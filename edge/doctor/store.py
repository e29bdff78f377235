"""The store: whether its durability settings are in force, how full it is, what waits, and its newest readings."""

import re

import psutil

from edge.doctor.check import Findings, in_thread
from edge.doctor.surroundings import Subject
from edge.doctor.words import duration, size
from edge.store.condition import Condition, Durability, probe_durability, read_condition
from edge.store.pressure import Level, fullness_percent, next_level
from edge.store.reader import JournalReader
from edge.store.segments import ID_BITS
from shared.clock import NS_PER_S
from shared.errors import StoreError

_GIVEN_UP = {
    Level.THIN_IMU: "every fourth reading of raw motion is kept",
    Level.THIN_POSITIONS: "no raw motion and every fifth position is kept",
    Level.ESSENTIAL: "neither raw motion nor positions are kept",
}
_PAGE_BYTES = 4096
_NEWEST_CHUNKS = 50
# Two writers that fold the log back at the same time can damage the file (sqlite.org/wal.html, "WAL-reset bug").
_RESET_MENDED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
_LONG_UNSENT_S = 86_400.0


async def check_durability(subject: Subject, findings: Findings) -> None:
    """Check what SQLite grants a database in the data folder."""
    folder = subject.data if subject.data.is_dir() else subject.path.resolve().parent
    quota = subject.settings.store.max_bytes
    try:
        granted = await in_thread(probe_durability, folder, quota)
    except (StoreError, OSError) as exc:
        advice = f"put data_dir on a local disk that the gateway's user may write ({folder})"
        findings.fail("durability", f"the settings that survive a power cut do not take: {exc}", advice)
        return
    found = f"{granted.journal_mode.upper()}, synchronous={granted.synchronous}, limit {size(granted.max_bytes)}"
    if (granted.journal_mode, granted.synchronous) == ("wal", "FULL") and abs(granted.max_bytes - quota) < _PAGE_BYTES:
        findings.ok("durability", f"{found}, read back")
    else:
        findings.fail("durability", found, "do not run on this SQLite: an acknowledged reading could be lost")
    _version(granted, findings)


def _version(granted: Durability, findings: Findings) -> None:
    threads = next((option for option in granted.options if option.startswith("THREADSAFE")), "THREADSAFE unknown")
    found = f"{granted.sqlite} ({threads})"
    if resets_well(granted.sqlite):
        findings.ok("SQLite", found)
    else:
        findings.warn(
            "SQLite",
            f"{found}: two programs that write at once can, very rarely, damage its log (mended in 3.51.3)",
            "take a newer SQLite, or run `import-file` only while the gateway does not run",
        )


def resets_well(version: str) -> bool:
    """Return whether a SQLite version resets its log safely with several writers: 3.51.3, or mended older lines."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    return numbers >= _RESET_MENDED[0] or any(
        numbers[:2] == mended[:2] and numbers >= mended for mended in _RESET_MENDED
    )


async def check_store(subject: Subject, findings: Findings) -> None:
    """Check what is stored."""
    if subject.book.exists() and not subject.book.is_file():
        findings.fail("store", f"{subject.book} is no file", "move it away; the gateway makes its database itself")
        return
    if not subject.book.is_file():
        findings.ok("store", f"{subject.book} is made at the first start")
        return
    try:
        condition = await in_thread(read_condition, subject.book)
    except StoreError as exc:
        findings.fail("store", str(exc), "see `Backup and restore` in docs/operations.md")
        return
    findings.ok("schema", f"version {condition.schema}, {condition.sessions} sessions kept")
    if condition.absent_files:
        findings.fail(
            "journal files",
            f"listed and not there: {', '.join(condition.absent_files)}",
            f"put them back into {subject.data} while the gateway is stopped, with their -wal files; what was sent "
            "before is in the cloud",
        )
    _fill(subject, findings)
    _unsent(condition, subject, findings)
    try:
        chunks, readings, damaged = await in_thread(_newest, subject, condition.newest_segment)
    except StoreError as exc:
        findings.fail("newest readings", str(exc), "see `Backup and restore` in docs/operations.md")
        return
    found = f"{readings} readings in the newest {chunks} chunks match their digests"
    if damaged:
        findings.fail(
            "newest readings",
            f"{damaged} of the newest {chunks} chunks are missing or do not match their digests: the disk gives back "
            "other bytes than were written",
            "replace the card or disk; what is damaged is recorded as a gap, and all else goes on",
        )
    else:
        findings.ok("newest readings", found)


def _fill(subject: Subject, findings: Findings) -> None:
    held = sum(file.stat().st_size for file in subject.data.rglob("*.sqlite*"))
    quota, free = subject.settings.store.max_bytes, psutil.disk_usage(str(subject.data)).free
    short = held + free < quota
    room = held + free if short else quota
    percent = fullness_percent(store_bytes=held, quota_bytes=quota, free_bytes=free)
    left = f"the {size(room)} that the disk leaves it" if short else size(room)
    found = f"{size(held)} of {left}, {percent:.1f} % (marks at 70, 85 and 95 %)"
    level = next_level(Level.NORMAL, percent)
    if level is Level.NORMAL:
        findings.ok("fill", found)
        return
    advice = (
        "free room on the disk, which other files fill"
        if short
        else "let the gateway reach the cloud, so that sent sessions can be removed; or raise store.max_bytes"
    )
    say = findings.fail if level is Level.ESSENTIAL else findings.warn
    say("fill", f"{found}: {_GIVEN_UP[level]}", advice)


def _unsent(condition: Condition, subject: Subject, findings: Findings) -> None:
    if condition.missing:
        findings.ok("gaps", f"{condition.missing} readings are recorded as missing, each with its reason")
    if condition.refused:
        findings.warn(
            "refused batches",
            f"{condition.refused} batches were not taken by the cloud; their bytes are kept",
            "look for the reason in the gateway's log and on its health page",
        )
    waits = f"{condition.unsent_batches} batches, {size(condition.unsent_bytes)}"
    if condition.unsent_files:
        waits += f"; journal files with readings that stand in no batch yet: {condition.unsent_files}"
    if condition.oldest_ns is None:
        findings.ok("backlog", "nothing waits for the cloud")
        return
    age_s = (subject.clock.utc_ns() - condition.oldest_ns) / NS_PER_S
    if age_s > _LONG_UNSENT_S:
        findings.warn(
            "backlog", f"{waits}; the oldest waits for {duration(age_s)}", "see the checks of the cloud below"
        )
    else:
        findings.ok("backlog", f"{waits}; the oldest waits for {duration(max(0.0, age_s))}")


def _newest(subject: Subject, segment: int) -> tuple[int, int, int]:
    """Return chunks read of the newest file, readings in them, and how many are missing or damaged."""
    chunks = readings = 0
    with JournalReader(subject.book) as reader:
        first, end = segment << ID_BITS, (segment + 1) << ID_BITS
        while first < end:  # numbers have holes: what is asked for is the first of the last so many
            middle = (first + end) // 2
            first, end = (middle + 1, end) if reader.chunks(middle) > _NEWEST_CHUNKS else (first, middle)
        for _, blocks in reader.blocks(first=first, imported=True):
            chunks += 1
            readings += sum(map(len, blocks))
        damaged = reader.damaged
    return chunks, readings, damaged
