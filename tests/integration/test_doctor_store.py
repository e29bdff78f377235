"""The doctor at real files, good and made bad: folder, database, quota, stored bytes, models."""

import errno
import os
import sqlite3
from pathlib import Path

import msgspec
import pytest

from edge.doctor.check import Probe
from edge.doctor.disk import check_disk
from edge.doctor.models import model_probes
from edge.doctor.store import check_durability, check_store
from edge.doctor.surroundings import Subject
from edge.release.slots import Slot
from edge.store.journal import Journal
from shared.clock import SystemClock
from tests.factories import heart_rates, tamper, write_model
from tests.integration.doctoring import examined, subject

SMALL = 16 * 1024**2


async def stored(given: Subject) -> None:
    """Store three heart rates as the gateway does."""
    journal = Journal.open(given.book, SystemClock(), max_bytes=2**28)
    await journal.append([heart_rates([120, 121, 122])])
    await journal.run(journal.outbox.fill)
    journal.close()


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder but what SQLite makes for readers: shared memory and an empty log."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.stat().st_size and not file.name.endswith("-shm")
    }


async def test_doctor_when_the_disk_is_sound_then_durable_writes_are_measured(tmp_path: Path) -> None:
    """Rule: the figures come from real appends in the data folder, and no file of them stays."""
    given = subject(tmp_path)
    given.data.mkdir()
    found = await examined(check_disk, given)
    assert "appends of 4 kB made durable: p50 " in found["durable write"].found
    assert {"room", "file system", "write speed"} <= set(found)
    assert list(given.data.iterdir()) == []


async def test_doctor_when_nothing_can_be_written_then_the_folder_fails(tmp_path: Path) -> None:
    """Rule: a folder that refuses writes fails with its name and the system's reason, also for the administrator."""
    place = next(path for path in (Path("/sys"), Path("/proc")) if path.is_dir())
    given = subject(tmp_path, f'data_dir = "{place}"\n')
    found = await examined(check_disk, given)
    assert found["writing"].state == "fail"
    reasons = [os.strerror(code) for code in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)]
    assert any(found["writing"].found == f"nothing can be written in {place}: {reason}" for reason in reasons)
    assert (await examined(check_durability, given))["durability"].state == "fail"


async def test_doctor_when_a_database_is_opened_then_its_settings_are_read_back(tmp_path: Path) -> None:
    """Rule: durability is what SQLite says after our own opening, in the data folder; the scratch file goes."""
    given = subject(tmp_path, f"[store]\nmax_bytes = {SMALL}\n")
    given.data.mkdir()
    found = await examined(check_durability, given)
    assert found["durability"].state == "ok"
    assert found["durability"].found == "WAL, synchronous=FULL, limit 17 MB, read back"
    assert list(given.data.iterdir()) == []


async def test_doctor_when_readings_are_stored_then_they_are_checked_and_nothing_changes(tmp_path: Path) -> None:
    """Rule: the doctor reads the store and leaves every byte as it was."""
    given = subject(tmp_path)
    await stored(given)
    before = contents(given.data)
    found = await examined(check_store, given)
    assert contents(given.data) == before
    assert [check.name for check in found.values() if check.state != "ok"] == []
    assert found["newest readings"].found.startswith("3 readings in the newest ")
    assert found["backlog"].found.startswith("1 batches")


async def test_doctor_when_readings_stand_in_no_batch_then_they_are_said_to_wait_too(tmp_path: Path) -> None:
    """Rule: a gateway that never reached a cloud, or whose clock is not set, makes no batches and has a backlog."""
    given = subject(tmp_path)
    journal = Journal.open(given.book, SystemClock(), max_bytes=2**28)
    await journal.append([heart_rates([120, 121, 122])])
    waiting = (await examined(check_store, given))["backlog"]
    assert waiting.found.startswith("0 batches, ")
    assert "in no batch yet: 1; the oldest waits for" in waiting.found
    await journal.run(journal.outbox.fill)
    while (batch := await journal.run(journal.outbox.next_pending, "g1")) is not None:
        await journal.run(journal.outbox.record_receipt, batch.header.epoch, batch.header.seq, "stored")
    assert (await examined(check_store, given))["backlog"].found == "nothing waits for the cloud"
    journal.close()


async def test_doctor_when_a_file_of_the_journal_is_gone_then_it_is_named(tmp_path: Path) -> None:
    """Rule: what somebody removed by hand is missed, with its name."""
    given = subject(tmp_path)
    await stored(given)
    (given.data / "journal" / "000001.sqlite").unlink()
    found = await examined(check_store, given)
    assert found["journal files"].state == "fail"
    assert "journal/000001.sqlite" in found["journal files"].found


async def test_doctor_when_a_folder_stands_for_the_database_then_it_fails(tmp_path: Path) -> None:
    """Rule: what the gateway cannot start with is no store yet to be made."""
    given = subject(tmp_path)
    given.book.mkdir(parents=True)
    assert (await examined(check_store, given))["store"].state == "fail"


async def test_doctor_when_stored_bytes_are_damaged_then_it_counts_the_chunks(tmp_path: Path) -> None:
    """Rule: one changed bit in the newest file is found by its digest."""
    given = subject(tmp_path)
    await stored(given)
    file = max((given.data / "journal").glob("*.sqlite"))
    connection = sqlite3.connect(file)
    (row, body) = connection.execute("SELECT id, body FROM chunk").fetchone()
    connection.execute("UPDATE chunk SET body = ? WHERE id = ?", (bytes((body[0] ^ 1, *body[1:])), row))
    connection.commit()
    connection.close()
    newest = (await examined(check_store, given))["newest readings"]
    assert newest.state == "fail"
    assert newest.found.startswith("1 of the newest 1 chunks")


@pytest.mark.parametrize(("percent", "state"), [(60, "ok"), (72, "warn"), (88, "warn"), (97, "fail")])
async def test_doctor_when_the_quota_fills_then_the_watermark_is_said(tmp_path: Path, percent: int, state: str) -> None:
    """Rule: from 70 % on the fill is a warning that says what is given up, from 95 % on a failure."""
    given = subject(tmp_path, f"[store]\nmax_bytes = {SMALL}\n")
    await stored(given)
    held = sum(file.stat().st_size for file in given.data.rglob("*.sqlite*"))
    (given.data / "filler.sqlite").write_bytes(bytes(SMALL * percent // 100 - held))
    fill = (await examined(check_store, given))["fill"]
    assert fill.state == state
    assert f"{percent - 1}." in fill.found or f"{percent}." in fill.found


async def test_doctor_when_the_disk_holds_less_than_the_quota_then_the_fill_is_of_what_it_leaves(
    tmp_path: Path,
) -> None:
    """Rule: a quota that the disk cannot give is no room."""
    given = subject(tmp_path, f"[store]\nmax_bytes = {2**60}\n")
    await stored(given)
    fill = (await examined(check_store, given))["fill"]
    assert "that the disk leaves it" in fill.found
    assert (await examined(check_disk, given))["room"].state == "warn"


async def test_doctor_when_the_database_is_none_then_it_says_so(tmp_path: Path) -> None:
    """Rule: a file that is no database fails, whatever stands in it."""
    given = subject(tmp_path)
    given.data.mkdir()
    given.book.write_bytes(b"not a database at all, but long enough to look like one" * 100)
    assert (await examined(check_store, given))["store"].state == "fail"


async def only(probes: list[Probe], given: Subject) -> dict[str, str]:
    """Return name and state of what the one probe finds."""
    (probe,) = probes
    found = await examined(lambda _, findings: probe.run(findings), given)
    return {name: check.state for name, check in found.items()}


def installed(given: Subject, **card: object) -> Path:
    """Write a model as the gateway installs it, with its slot."""
    folder = write_model(given.data / "models" / "effort" / "1.0.0", **card)
    slot = Slot(name="effort", state="active", active="1.0.0", active_since_ns=1)
    (given.data / "models" / "slots.json").write_bytes(msgspec.json.encode([slot]))
    return folder


async def test_doctor_when_a_model_is_whole_then_it_is_tried(tmp_path: Path) -> None:
    """Rule: a model is loaded and timed in a process of its own, as at its installation."""
    given = subject(tmp_path)
    installed(given)
    assert await only(model_probes(given), given) == {"effort 1.0.0": "ok"}


async def test_doctor_when_a_model_is_damaged_or_slow_then_it_fails(tmp_path: Path) -> None:
    """Rule: one changed bit, or a budget that this machine cannot keep, is a failure with its reason."""
    given = subject(tmp_path)
    tamper(installed(given) / "model.onnx")
    assert await only(model_probes(given), given) == {"effort 1.0.0": "fail"}
    installed(given, latency_budget_ms=1e-6)
    assert await only(model_probes(given), given) == {"effort 1.0.0": "fail"}
