"""How the doctor's checks are run, and figures said."""

import asyncio
import re
import threading
from pathlib import Path

import pytest

from edge.doctor.check import Check, Findings, Probe, examine, in_thread
from edge.doctor.commands import probes_of
from edge.doctor.store import resets_well
from edge.doctor.surroundings import Subject
from edge.doctor.words import duration, size
from edge.settings import load
from shared.clock import SystemClock
from tests.tools import ROOT


async def fine(findings: Findings) -> None:
    findings.ok("there", "all is well")


async def broken(findings: Findings) -> None:
    findings.ok("first", "came before the fault")
    raise ZeroDivisionError("of our own making")


async def never(findings: Findings) -> None:
    findings.ok("first", "came in time")
    await asyncio.Event().wait()


async def run(*probes: Probe) -> list[Check]:
    return await examine(probes, on_start=lambda _: None, on_done=lambda _: None)


async def test_examine_when_a_check_fails_itself_then_the_others_are_made() -> None:
    """Rule: no check can break another, whatever it raises; what it found before stays."""
    checks = await run(Probe(group="a", run=broken), Probe(group="b", run=fine))
    assert [(check.group, check.name, check.state) for check in checks] == [
        ("a", "first", "ok"),
        ("a", "this check", "fail"),
        ("b", "there", "ok"),
    ]
    assert checks[1].found == "ended with ZeroDivisionError: of our own making"


async def test_examine_when_a_check_does_not_end_then_it_is_left_at_its_bound() -> None:
    """Rule: a check that hangs is a failure of its own."""
    checks = await run(Probe(group="a", run=never, bound_s=0.05), Probe(group="b", run=fine))
    assert [(check.name, check.state) for check in checks] == [("first", "ok"), ("time", "fail"), ("there", "ok")]


async def test_examine_when_a_thread_hangs_then_the_check_ends_all_the_same() -> None:
    """Rule: work that blocks for good, as on a dead disk, is left behind."""
    release = threading.Event()

    async def hanging(_findings: Findings) -> None:
        await in_thread(release.wait)

    checks = await run(Probe(group="disk", run=hanging, bound_s=0.05))
    release.set()
    assert [(check.name, check.state) for check in checks] == [("time", "fail")]


async def test_thread_when_work_raises_then_the_error_comes_through() -> None:
    """Rule: an error on the thread is the caller's to name."""
    assert await in_thread(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await in_thread(int, "seven")


@pytest.mark.parametrize(
    ("version", "well"),
    [
        ("3.40.1", False), ("3.44.5", False), ("3.44.6", True), ("3.50.6", False), ("3.50.7", True), ("3.51.2", False),
        ("3.51.3", True), ("3.54.1", True),
    ],
)  # fmt: skip
def test_sqlite_when_old_then_two_writers_are_warned_of(version: str, well: bool) -> None:  # noqa: FBT001
    """Rule: the WAL-reset fault is mended from 3.51.3 on, and in 3.50.7 and 3.44.6."""
    assert resets_well(version) is well


def test_words_when_said_then_units_fit() -> None:
    """Rule: figures are short and carry their unit."""
    assert [size(999), size(8_600_000_000), size(212_400_000)] == ["999 B", "8.6 GB", "212 MB"]
    assert [duration(0.4), duration(90), duration(840), duration(3 * 86_400)] == ["0.4 s", "90 s", "14 min", "3 days"]


async def test_operations_when_read_then_they_name_every_group_of_checks(gateway_file: Path) -> None:
    """Rule: docs/operations.md lists what the doctor checks, in its order."""
    settings = load(gateway_file)
    probes = probes_of(Subject(path=gateway_file, settings=settings, clock=SystemClock(), running=None))
    table = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").partition("| group |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE) == [probe.group for probe in probes]
