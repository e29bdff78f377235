"""What a batch of frames says, in columns by stream: numpy sees a whole stream at once, not a sensor at a time."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.pipeline.roster import Wearers
from edge.pipeline.validate import implausible
from shared.ids import SensorId
from shared.quantities import STREAMS
from shared.readings import NO_TIME, Clocks, Quality, Readings
from shared.resolution import kept_device, kept_time

_IMPLAUSIBLE = np.uint8(Quality.IMPLAUSIBLE)
Key = tuple[SensorId, str, str]
"""Sensor, origin and the gateway's boot: what all readings of one block share."""
_Integers = NDArray[np.int64]


@dataclass(slots=True)
class Entries:
    """What one stream gathers, an entry for a row or for rows that a frame holds, equally far apart in time.

    `key` says whose it is. `first` is the number of an entry's first row, `time_ns` and `device_ns` are of its last.
    `values` has the rows of all entries one after another.
    """

    key: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    time_ns: list[int] = field(default_factory=list)
    device_ns: list[int] = field(default_factory=list)
    mono_ns: list[int] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    arrays: list[NDArray[np.float64]] = field(default_factory=list)
    """Rows before those in `values`, where they came as arrays."""
    many: list[tuple[int, int, int]] = field(default_factory=list)
    """(entry, rows, ns from row to row) of those that hold more than one row."""
    doubts: list[tuple[int, Sequence[int]]] = field(default_factory=list)
    """(entry, Quality bits of each row) of those whose rows differ."""

    def add(self, key: int, first: int, time_ns: int, device_ns: int, mono_ns: int, quality: int) -> None:
        """Add an entry; its rows are added next."""
        self.key.append(key)
        self.first.append(first)
        self.time_ns.append(time_ns)
        self.device_ns.append(device_ns)
        self.mono_ns.append(mono_ns)
        self.quality.append(quality)

    def hold(
        self, rows: Sequence[Sequence[float]] | NDArray[np.float64], period_ns: int, row_quality: Sequence[int]
    ) -> None:
        """Give the entry just added its rows."""
        entry = len(self.key) - 1
        if len(rows) > 1:
            self.many.append((entry, len(rows), period_ns))
        if any(row_quality):
            self.doubts.append((entry, row_quality))
        if isinstance(rows, np.ndarray):
            self._close_values(rows.shape[1])
            self.arrays.append(rows)
        else:
            self.values.extend(itertools.chain.from_iterable(rows))

    def rows(self, columns: int) -> NDArray[np.float64]:
        """Return all rows, float64[n, columns]."""
        self._close_values(columns)
        return self.arrays[0] if len(self.arrays) == 1 else np.concatenate(self.arrays)

    def _close_values(self, columns: int) -> None:
        if self.values:
            self.arrays.append(np.array(self.values, np.float64).reshape(-1, columns))
            self.values = []


@dataclass(slots=True)
class Batch:
    """What a batch of frames gives."""

    streams: dict[str, Entries] = field(default_factory=lambda: defaultdict(Entries))
    keys: dict[Key, int] = field(default_factory=dict)

    def blocks(self, wearers: Wearers) -> Iterator[tuple[Readings, bool, int]]:
        """Yield a block per stream, sensor and origin, in order of arrival within each, of its first reading's wearer.

        With it: whether the sensor may have changed hands within the block, and how many readings are implausible.
        """
        keys = list(self.keys)
        for stream, entries in self.streams.items():
            yield from _blocks(stream, entries, keys, wearers)


def _blocks(
    stream: str, entries: Entries, keys: Sequence[Key], wearers: Wearers
) -> Iterator[tuple[Readings, bool, int]]:
    key = np.array(entries.key, np.int64)
    sequence = np.array(entries.first, np.int64)
    time_ns = np.array(entries.time_ns, np.int64)
    device_ns = np.array(entries.device_ns, np.int64)
    mono_ns = np.array(entries.mono_ns, np.int64)
    quality = np.array(entries.quality, np.uint8)
    values = entries.rows(len(STREAMS[stream].quantities))
    if entries.many:
        entry, place, back_ns = _rows(len(key), entries.many)
        key, sequence, mono_ns, quality = key[entry], sequence[entry] + place, mono_ns[entry], quality[entry]
        time_ns, device_ns = time_ns[entry] - back_ns, device_ns[entry]
        device_ns = np.where(device_ns == NO_TIME, device_ns, device_ns - back_ns)
        for one, bits in entries.doubts:
            quality[entry == one] |= np.array(bits, np.uint8)
    # As they are kept: what is shown and what is sent are made of the same numbers.
    time_ns, device_ns = kept_time(time_ns, device_ns), kept_device(device_ns)
    if (key[1:] < key[:-1]).any():
        order = np.argsort(key, kind="stable")
        key, sequence, time_ns, device_ns = key[order], sequence[order], time_ns[order], device_ns[order]
        mono_ns, quality, values = mono_ns[order], quality[order], values[order]
    quality |= implausible(stream, values)
    flagged = quality & _IMPLAUSIBLE
    any_flagged = flagged.any()
    starts = [0, *(np.flatnonzero(key[1:] != key[:-1]) + 1).tolist(), len(key)]
    owners, times = key.tolist(), time_ns.tolist()
    for start, end in itertools.pairwise(starts):
        sensor, origin, boot = keys[owners[start]]
        own = slice(start, end)
        athlete, changed = wearers.wearer_of(sensor, times[own])
        yield (
            Readings(
                sensor=sensor,
                stream=stream,
                origin=origin,
                sequence=sequence[own],
                time_ns=time_ns[own],
                values=values[own],
                quality=quality[own],
                athlete=athlete,
                clocks=Clocks(boot=boot, device_ns=device_ns[own], mono_ns=mono_ns[own]),
            ),
            changed,
            int(np.count_nonzero(flagged[own])) if any_flagged else 0,
        )


def _rows(entries: int, many: Sequence[tuple[int, int, int]]) -> tuple[_Integers, _Integers, _Integers]:
    """Return for each row its entry, its place in it and how long (ns) before the entry's last row it was."""
    count, period_ns = np.ones(entries, np.int64), np.zeros(entries, np.int64)
    which, rows, periods = np.array(many, np.int64).T
    count[which], period_ns[which] = rows, periods
    entry = np.repeat(np.arange(entries), count)
    place = np.arange(len(entry)) - (np.cumsum(count) - count)[entry]
    return entry, place, (count[entry] - 1 - place) * period_ns[entry]
