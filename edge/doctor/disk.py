"""The disk under the data folder: room, kind of file system, and what a durable write costs, measured."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from edge.doctor.check import Findings, in_thread
from edge.doctor.surroundings import Subject
from edge.doctor.words import milliseconds, size
from shared.clock import NS_PER_MS, NS_PER_S, Clock

_SYNCS = 200
_APPEND = bytes(4096)
# Half of the check's bound: a card that takes 100 ms a time has shown it by then.
_SYNC_LIMIT_NS = int(2.5 * NS_PER_S)
_BLOCK = bytes(1024**2)
_BLOCKS = 24
_WRITE_LIMIT_NS = NS_PER_S
_SLOW_SYNC_MS = 50.0
_SLOW_WRITE_BYTES_PER_S = 5e6
# As much as the write-ahead log may hold before SQLite folds it back, twice (edge/store/database.py).
_SPARE_BYTES = 128 * 1024**2
_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "gluster", "fuse.sshfs", "fuse.rclone", "ncpfs")
_WITHOUT_JOURNAL = ("vfat", "exfat", "msdos", "fuseblk", "ntfs")
_MEMORY = ("tmpfs", "ramfs")


async def check_disk(subject: Subject, findings: Findings) -> None:
    """Check the data folder's disk."""
    folder = subject.data
    if not folder.is_dir():
        there = next(parent for parent in folder.parents if parent.is_dir())
        findings.ok("data folder", f"{folder} is made at the first start; measured in {there}")
        folder = there
    _room(folder, subject.settings.store.max_bytes, _held(subject.data), findings)
    _kind(folder, findings)
    try:
        await in_thread(_measure, folder, subject.clock, findings)
    except OSError as exc:
        findings.fail(
            "writing",
            f"nothing can be written in {folder}: {exc.strerror or exc}",
            f"give the gateway's user the folder (chown), mount the disk to be written, or set data_dir ({folder})",
        )


def _held(data: Path) -> int:
    """Return the bytes that the store holds already."""
    return sum(file.stat().st_size for file in data.rglob("*.sqlite*")) if data.is_dir() else 0


def _room(folder: Path, quota: int, held: int, findings: Findings) -> None:
    free = psutil.disk_usage(str(folder)).free
    found = f"{size(free)} free; the store holds {size(held)} and may hold {size(quota)}"
    if free < _SPARE_BYTES:
        findings.fail(
            "room",
            f"{found}; less than {size(_SPARE_BYTES)} is too little",
            "free some room: with a full disk nothing more is stored",
        )
    elif free < quota - held + _SPARE_BYTES:
        findings.warn(
            "room",
            found,
            "the disk is full before the quota is: free room, or set store.max_bytes to what the disk can give",
        )
    else:
        findings.ok("room", found)


def _kind(folder: Path, findings: Findings) -> None:
    kind = filesystem_kind(folder)
    if kind is None:
        findings.warn("file system", "its kind cannot be known here", "make sure that it is a disk of this machine")
    elif kind.startswith(_NETWORK):
        findings.warn(
            "file system",
            f"{kind}, over the network: SQLite's log (WAL) needs memory shared on one machine",
            "put data_dir on a disk of this machine; databases on network drives are damaged sooner or later",
        )
    elif kind.startswith(_WITHOUT_JOURNAL):
        findings.warn(
            "file system",
            f"{kind}, which keeps no journal of its own: a power cut can lose whole files",
            "format the card or stick as ext4 (mkfs.ext4) and mount it again",
        )
    elif kind in _MEMORY:
        findings.warn("file system", f"{kind}, in memory: gone with the power", "put data_dir on a disk")
    else:
        findings.ok("file system", kind)


def filesystem_kind(folder: Path) -> str | None:
    """Return the kind of file system that holds a folder (`ext4`, `nfs4`), or None where it cannot be known."""
    place = folder.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[parent] for parent in (place, *place.parents) if mounts.get(parent)), None)


def _measure(folder: Path, clock: Clock, findings: Findings) -> None:
    with _scratch(folder) as file:
        _say_sync(sync_times_ms(file, clock), findings)
    if psutil.disk_usage(str(folder)).free < _SPARE_BYTES:
        return
    with _scratch(folder) as file:
        speed = _write_speed(file, clock)
    found = f"{size(speed)} a second written and made durable"
    if speed < _SLOW_WRITE_BYTES_PER_S:
        findings.warn("write speed", found, "look for what else writes, or use a faster card (A2) or an SSD")
    else:
        findings.ok("write speed", found)


def sync_times_ms(file: int, clock: Clock) -> list[float]:
    """Return how long each of some 200 appends of 4 kB took until it was on the disk, in ms; blocks."""
    times_ms: list[float] = []
    begun_ns = clock.mono_ns()
    while len(times_ms) < _SYNCS and clock.mono_ns() - begun_ns < _SYNC_LIMIT_NS:
        started_ns = clock.mono_ns()
        os.write(file, _APPEND)
        getattr(os, "fdatasync", os.fsync)(file)  # macOS has only fsync
        times_ms.append((clock.mono_ns() - started_ns) / NS_PER_MS)
    return times_ms


def _say_sync(times_ms: list[float], findings: Findings) -> None:
    p50, p99 = (float(value) for value in np.percentile(times_ms, [50, 99]))
    found = (
        f"{len(times_ms)} appends of 4 kB made durable: p50 {milliseconds(p50)}, p99 {milliseconds(p99)}; "
        "a sensor's readings are acknowledged about so long after the commit interval"
    )
    if p99 > _SLOW_SYNC_MS:
        findings.warn(
            "durable write",
            found,
            "slow, as SD cards are: use an A2 card or an SSD over USB 3, keep logs off it, and raise "
            "store.commit_interval_ms to 250, so that one write carries more",
        )
    else:
        findings.ok("durable write", found)


def _write_speed(file: int, clock: Clock) -> float:
    """Return bytes per second."""
    begun_ns = clock.mono_ns()
    written = 0
    for _ in range(_BLOCKS):
        written += os.write(file, _BLOCK)
        os.fsync(file)
        if clock.mono_ns() - begun_ns > _WRITE_LIMIT_NS:
            break
    return written * NS_PER_S / max(1, clock.mono_ns() - begun_ns)


@contextmanager
def _scratch(folder: Path) -> Iterator[int]:
    """Yield a new file that is gone afterwards."""
    file, name = tempfile.mkstemp(prefix=".doctor-", dir=folder)
    try:
        yield file
    finally:
        os.close(file)
        Path(name).unlink()
