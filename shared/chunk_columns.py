"""Columns of whole numbers to bytes and back, for readings of several sensors one after the other.

A column's first number of each sensor stands by itself; the rest are differences to the one before, less the smallest
of them, in as few bytes as the largest takes, byte plane by byte plane, because the high bytes of small differences are
all alike (the "shuffle" filter of HDF5 and Blosc). Differences that are all the same take no bytes at all.
"""

from dataclasses import dataclass
from itertools import accumulate

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_MS
from shared.errors import DecodeError
from shared.resolution import NS_PER_US

_FULL = 8


class Packing(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How one column is packed: numbers are whole multiples of `unit`, differences are at least `least`."""

    unit: int
    width: int
    least: int


@dataclass(frozen=True, slots=True)
class Runs:
    """Where each of m runs of rows begins: `starts` int64[m]; `inside` bool[n - 1] marks differences within a run."""

    starts: NDArray[np.int64]
    inside: NDArray[np.bool_]

    @classmethod
    def of(cls, counts: list[int]) -> "Runs":
        """Return the runs of these lengths, each at least 1."""
        starts = np.array([0, *accumulate(counts)][:-1], np.int64)
        inside = np.ones(sum(counts) - 1, bool)
        inside[starts[1:] - 1] = False
        return cls(starts, inside)

    @property
    def rows(self) -> int:
        """How many rows there are in all."""
        return len(self.inside) + 1


def unit_of(times_ns: NDArray[np.int64]) -> int:
    """Return the coarsest of a millisecond, a microsecond and a nanosecond that all times are whole multiples of."""
    if np.fmod(times_ns, NS_PER_US).any():
        return 1
    return NS_PER_US if np.fmod(times_ns, NS_PER_MS).any() else NS_PER_MS


def pack(column: NDArray[np.int64], runs: Runs, unit: int = 1) -> tuple[Packing, list[bytes]]:
    """Return how a column is packed, and its bytes; all of its numbers are multiples of `unit`."""
    if unit != 1:
        column = column // unit
    differences = np.diff(column)[runs.inside]
    least = int(differences.min()) if len(differences) else 0
    span = int(differences.max()) - least if len(differences) else 0
    width = (span.bit_length() + 7) // 8
    bodies = [_planes(column[runs.starts].view(np.uint64), _FULL)]
    if width:
        bodies.append(_planes((differences - np.int64(least)).view(np.uint64), width))
    return Packing(unit, width, least), bodies


def size(packing: Packing, runs: Runs) -> int:
    """Return how many bytes a packed column takes.

    Raises: DecodeError when there can be no such packing.
    """
    if not 0 <= packing.width <= _FULL or packing.unit not in (1, NS_PER_US, NS_PER_MS):
        raise DecodeError("impossible packing")
    if not -(2**63) <= packing.least < 2**63:
        raise DecodeError("impossible packing")
    return _FULL * len(runs.starts) + packing.width * (runs.rows - len(runs.starts))


def unpack(body: memoryview, packing: Packing, runs: Runs) -> NDArray[np.int64]:
    """Return a column of the `size` bytes that it was packed into."""
    firsts = _FULL * len(runs.starts)
    first = _numbers(body[:firsts], _FULL, len(runs.starts))
    full = np.empty(runs.rows, np.int64)
    full[1:][runs.inside] = _numbers(body[firsts:], packing.width, runs.rows - len(runs.starts)) + np.int64(
        packing.least
    )
    full[runs.starts] = first
    # What the sum has reached where the next run starts is taken off again.
    full[runs.starts[1:]] -= np.add.reduceat(full, runs.starts)[:-1]
    return np.cumsum(full, dtype=np.int64) * np.int64(packing.unit)


def _planes(numbers: NDArray[np.uint64], width: int) -> bytes:
    narrow = numbers.astype("<u4") if width <= 4 else numbers.astype("<u8")
    return narrow.view(np.uint8).reshape(len(numbers), -1)[:, :width].T.tobytes()


def _numbers(body: memoryview, width: int, count: int) -> NDArray[np.int64]:
    wide = np.zeros((count, _FULL), np.uint8)
    wide[:, :width] = np.frombuffer(body, np.uint8).reshape(width, count).T
    return wide.view("<i8").reshape(count)
