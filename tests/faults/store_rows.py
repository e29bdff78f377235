"""The rows about disk and files: power cuts, a full disk, bits that turn over, and errors of the disk."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path

import structlog

from tests.faults import bit_flips, clock_cases, disk_errors, disk_full, power_cut_files, power_cut_store
from tests.faults.arm import Arm, Outcome, Try


@contextmanager
def _quiet() -> Iterator[None]:
    """What the code under test says of thousands of faults is nothing to read."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def _quietly(run: Try) -> Try:
    @wraps(run)
    def quiet(count: int, seed: int, folder: Path) -> Outcome:
        with _quiet():
            return run(count, seed, folder)

    return quiet


STORE_ROWS = (
    Arm(
        name="power-cut-store",
        row=2,
        fault="power cut while the store commits, merges, fills, sends, removes",
        checked="every acknowledged append there once with its values, none torn, sends on, the cloud has each once",
        count=20_000,
        portion=2_000,
        slice_count=100,
        run=_quietly(power_cut_store.power_cut),
        control=_quietly(power_cut_store.power_cut_normal),
        control_count=40,
        control_fault="syncs of `synchronous=NORMAL`",
    ),
    Arm(
        name="power-cut-files",
        row=3,
        fault="power cut between file operations of model slots and roster",
        checked="one valid model runs, the one before or the one after; none refused for it; the roster reads",
        count=5_000,
        portion=1_000,
        slice_count=200,
        run=_quietly(power_cut_files.power_cut),
        control=_quietly(power_cut_files.power_cut_without_sync),
        control_count=60,
        control_fault="no sync before the rename",
    ),
    Arm(
        name="disk-full",
        row=6,
        fault="disk full: tmpfs and ext4, 3 sizes, 20 fill points, with and without a cloud",
        checked="no crash; acknowledged is stored or told as a gap, to the reading; the rest is withheld; it recovers",
        count=120,
        portion=12,
        slice_count=4,
        run=_quietly(disk_full.disk_full),
        control=_quietly(disk_full.disk_full_acknowledged_early),
        control_count=1,
        control_fault="acknowledged before the commit",
    ),
    Arm(
        name="bit-flips",
        row=7,
        fault="one bit turned over in database, log or journal file",
        checked="told or harmless: no wrong reading is read, none is missing there or in the cloud untold, no crash",
        count=10_000,
        portion=1_000,
        slice_count=80,
        run=_quietly(bit_flips.bit_flips),
        control=_quietly(bit_flips.bit_flips_unchecked),
        control_count=100,
        control_fault="chunks decoded without their digest",
    ),
    Arm(
        name="disk-errors",
        row=8,
        fault="I/O error, short write, failed sync or read, no space; then a power cut",
        checked="nothing acknowledged after a failed sync is lost; the store goes on when the disk does",
        count=2_000,
        portion=250,
        slice_count=25,
        run=_quietly(disk_errors.disk_errors),
        control=_quietly(disk_errors.swallowed_errors),
        control_count=25,
        control_fault="write or sync left out and reported as done",
    ),
    Arm(
        name="clocks",
        row=9,
        fault="clock days behind, a year ahead, in 1970, 200 ppm fast, a leap second, summer time",
        checked="order kept, no time runs back, readings within 0.1 s of the truth once the clock is set",
        count=60,
        portion=60,
        slice_count=6,
        run=_quietly(clock_cases.clocks),
        control=_quietly(clock_cases.clocks_unwatched),
        control_count=6,
        control_fault="nobody looks whether the clock was set",
    ),
)
