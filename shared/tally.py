"""Counts and digests of readings by stream and hour: two sides that hold the same readings find the same tallies.

A digest is a sum, so that neither order nor batches matter: a reading that is lost, doubled or changed shows. Each
reading is a multilinear hash of its integers, a distinct odd factor for each column, and then MurmurHash3's final mix
(Appleby 2011). One changed column always changes it: an odd factor has an inverse, and the mix is a bijection.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.quantities import STREAMS
from shared.readings import Readings, select
from shared.resolution import kept_time, scale

NS_PER_HOUR = 3600 * NS_PER_S
Hashes = NDArray[np.uint64]
_SIGN = 1 << 63
_SHIFT = np.uint64(33)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
# Fits a processor's cache with its columns; also bounds the memory beside a long list of small blocks.
_STEP_READINGS = 32_768


@dataclass(frozen=True, slots=True)
class Tally:
    """How many readings, and the sum of their hashes modulo 2^64 as a signed number (SQLite and JSON take it)."""

    count: int
    digest: int

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.count + other.count, signed(self.digest + other.digest))


NOTHING = Tally(0, 0)
Tallies = dict[tuple[str, int], Tally]
"""By stream and hour; hour h begins h * 3600 s after 1970 UTC."""


@dataclass(frozen=True, slots=True)
class HashedReadings:
    """Of readings of one stream: the hash of each one's identity, that of all it says, and its hour."""

    stream: str
    identity: Hashes
    content: Hashes
    hour: NDArray[np.int64]


def signed(number: int) -> int:
    """Return a number modulo 2^64 in -2^63..2^63-1."""
    return (number + _SIGN) % (1 << 64) - _SIGN


def tallies(blocks: Iterable[Readings]) -> Tallies:
    """Return the tallies of all readings as the cloud will decode them: values are whole multiples of resolutions."""
    sums: Tallies = defaultdict(lambda: NOTHING)
    for part in hashed(blocks):
        for hour, chosen in _by_hour(part.hour):
            digest = int(part.content[chosen].sum(dtype=np.uint64))
            sums[part.stream, hour] += Tally(len(part.content[chosen]), signed(digest))
    return dict(sums)


def hashed(blocks: Iterable[Readings]) -> Iterable[HashedReadings]:
    """Yield the hashes of the readings, some ten thousand of one stream at a time."""
    by_stream: dict[str, list[Readings]] = defaultdict(list)
    for block in blocks:
        if len(block):
            by_stream[block.stream].append(block)
    for stream, parts in by_stream.items():
        for step in _steps(parts):
            yield _hash(stream, step)


def _steps(blocks: Sequence[Readings]) -> Iterable[list[Readings]]:
    """Yield runs of blocks of about `_STEP_READINGS`: one block's overhead would otherwise be paid for each."""
    run: list[Readings] = []
    count = 0
    for block in blocks:
        if len(block) > _STEP_READINGS:
            for start in range(0, len(block), _STEP_READINGS):
                yield [select(block, slice(start, start + _STEP_READINGS))]
            continue
        run.append(block)
        count += len(block)
        if count >= _STEP_READINGS:
            yield run
            run, count = [], 0
    if run:
        yield run


def _hash(stream: str, blocks: list[Readings]) -> HashedReadings:
    seeds = np.array([_seed(block.sensor, stream, block.origin) for block in blocks], np.uint64)
    time_ns = _times(blocks)
    values = np.concatenate([block.values for block in blocks])
    quantities = STREAMS[stream].quantities
    factors = _factors(len(quantities) + 3)
    total = np.repeat(seeds, [len(block) for block in blocks])
    total += np.concatenate([block.sequence for block in blocks]).view(np.uint64) * factors[0]
    identity = _mix(total.copy())
    total += time_ns.view(np.uint64) * factors[1]
    total += np.concatenate([block.quality for block in blocks]).astype(np.uint64) * factors[2]
    for i, quantity in enumerate(quantities):
        total += scale(values[:, i], quantity.resolution).view(np.uint64) * factors[3 + i]
    return HashedReadings(stream, identity, _mix(total), time_ns // NS_PER_HOUR)


def _times(blocks: list[Readings]) -> NDArray[np.int64]:
    """Return the times as they are uploaded."""
    device_ns = [block.time_ns if block.clocks is None else block.clocks.device_ns for block in blocks]
    return kept_time(np.concatenate([block.time_ns for block in blocks]), np.concatenate(device_ns))


def _mix(hashes: Hashes) -> Hashes:
    hashes ^= hashes >> _SHIFT
    hashes *= _MIX_1
    hashes ^= hashes >> _SHIFT
    hashes *= _MIX_2
    hashes ^= hashes >> _SHIFT
    return hashes


def _by_hour(hours: NDArray[np.int64]) -> Iterable[tuple[int, slice | NDArray[np.int64]]]:
    first, last = int(hours.min()), int(hours.max())
    if first == last:
        yield first, slice(None)
        return
    order = np.argsort(hours, kind="stable")
    found, starts = np.unique(hours[order], return_index=True)
    for hour, chosen in zip(found.tolist(), np.split(order, starts[1:]), strict=True):
        yield int(hour), chosen


@lru_cache(maxsize=4096)
def _seed(sensor: str, stream: str, origin: str) -> int:
    # Lengths before texts: ("ab", "c") is not ("a", "bc").
    text = "".join(f"{len(part)}:{part}" for part in (sensor, stream, origin))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@cache
def _factors(count: int) -> tuple[np.uint64, ...]:
    words = (hashlib.blake2b(f"sideline tally {i}".encode(), digest_size=8).digest() for i in range(count))
    return tuple(np.uint64(int.from_bytes(word, "little") | 1) for word in words)
