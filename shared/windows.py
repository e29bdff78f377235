"""Event-time windows: the same code live, replayed and in the pipeline."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.ids import AthleteId, SensorId
from shared.one_voice import Voice, one_voice
from shared.quantities import STREAMS
from shared.readings import Readings, select, span_ns

B = TypeVar("B")
R = TypeVar("R")

PATIENCE_NS = 15 * NS_PER_S
"""How long a window waits for one of its athlete's streams: a tag's clock may be seconds slow, a silent one is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What one athlete's sensors said in [start_ns, end_ns): one block per stream, in time order, each reading once."""

    athlete: AthleteId
    start_ns: int
    end_ns: int
    streams: dict[str, Readings]
    _derived: dict[tuple[object, int], tuple[object, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def once(self, derive: "Callable[[B, Window], R]", before: B) -> R:
        """Return `derive(before, self)`, worked out once for all who ask with the same `before`.

        `derive` is pure and `before`, what it carries over from the window before, never changes: metrics that read
        one stream share its filtering without knowing of each other.
        """
        key = (derive, id(before))
        found = self._derived.get(key)
        if found is None:
            # Kept with its result, `before` cannot give its identity to another object.
            found = self._derived[key] = (before, derive(before, self))
        result: R = found[1]
        return result


def merge(blocks: Sequence[Readings]) -> Readings:
    """Return blocks of one stream as one block in time order, with each (sensor, origin, sequence) once.

    The result carries the first block's sensor and origin, and no clocks.
    """
    first = blocks[0]
    if len(blocks) == 1 and len(first) == 1:
        return first
    alone = all(block.sensor == first.sensor and block.origin == first.origin for block in blocks)
    if alone and _is_in_order(whole := _end_to_end(blocks)):  # mostly
        return whole
    times = np.concatenate([block.time_ns for block in blocks])
    sequences = np.concatenate([block.sequence for block in blocks])
    sources = {key: i for i, key in enumerate(dict.fromkeys((block.sensor, block.origin) for block in blocks))}
    source = np.concatenate([np.full(len(block), sources[block.sensor, block.origin]) for block in blocks])
    identity = np.lexsort((sequences, source))
    same = np.zeros(len(identity), bool)
    same[1:] = (np.diff(source[identity]) == 0) & (np.diff(sequences[identity]) == 0)
    kept = identity[~same]
    order = kept[np.lexsort((sequences[kept], source[kept], times[kept]))]
    return replace(
        first,
        sequence=sequences[order],
        time_ns=times[order],
        values=np.concatenate([block.values for block in blocks])[order],
        quality=np.concatenate([block.quality for block in blocks])[order],
        clocks=None,
    )


def joined(windows: Sequence[Window]) -> Window:
    """Return an athlete's windows, in time order and none twice, as one; the blocks carry the first's sensor."""
    if len(windows) == 1:
        return windows[0]
    by_stream: dict[str, list[Readings]] = defaultdict(list)
    for window in windows:
        for stream, block in window.streams.items():
            by_stream[stream].append(block)
    streams = {stream: parts[0] if len(parts) == 1 else _end_to_end(parts) for stream, parts in by_stream.items()}
    first, last = windows[0], windows[-1]
    return Window(athlete=first.athlete, start_ns=first.start_ns, end_ns=last.end_ns, streams=streams)


def _is_in_order(block: Readings) -> bool:
    times, sequences = block.time_ns, block.sequence
    return bool((sequences[1:] > sequences[:-1]).all() and (times[1:] >= times[:-1]).all())


def _end_to_end(blocks: Sequence[Readings]) -> Readings:
    first = blocks[0]
    return Readings(
        sensor=first.sensor,
        stream=first.stream,
        origin=first.origin,
        sequence=np.concatenate([block.sequence for block in blocks]),
        time_ns=np.concatenate([block.time_ns for block in blocks]),
        values=np.concatenate([block.values for block in blocks]),
        quality=np.concatenate([block.quality for block in blocks]),
        athlete=first.athlete,
    )


@dataclass(slots=True)
class _Open:
    """One athlete's windows that are not over: their blocks by number, and who speaks and how far each sensor is."""

    closed: int = -1
    pending: dict[int, list[Readings]] = field(default_factory=dict)
    voices: dict[str, Voice | None] = field(default_factory=dict)
    newest_ns: dict[tuple[SensorId, str], int] = field(default_factory=dict)
    top_ns: int = 0
    slowest: tuple[SensorId, str] | None = None
    """Whose newest reading all waited for when this was last looked at."""


class Windower:
    """Cuts readings into tumbling windows of `size_ns` per athlete.

    A window closes when every stream of the athlete is `lateness_ns` past its end. A stream more than PATIENCE_NS
    behind the athlete's newest reading is not waited for, nor one of under a reading per window (battery). What comes
    for a closed window is counted in `late` and left out: totals shown live are never rewritten silently; the cloud,
    which reads whole sessions, includes it. Of several sensors on one stream one at a time is heard (`one_voice`).
    """

    def __init__(self, *, size_ns: int = NS_PER_S, lateness_ns: int = NS_PER_S) -> None:
        self._size_ns = size_ns
        self._lateness_ns = lateness_ns
        self._open: dict[AthleteId, _Open] = {}
        self.late = 0

    @property
    def delay_ns(self) -> int:
        """How far closed windows lie behind the newest reading at most; what came since is not missing yet."""
        return 2 * self._size_ns + self._wait_ns

    @property
    def _wait_ns(self) -> int:
        return max(PATIENCE_NS, self._lateness_ns)

    def push(self, *blocks: Readings) -> list[Window]:
        """Take blocks that came together and return the windows that they close, each athlete's oldest first.

        A block of nobody is passed over.
        """
        athletes: dict[AthleteId, None] = {}
        for block in blocks:
            if block.athlete is not None and len(block) and self._file(block.athlete, block):
                athletes[block.athlete] = None
        windows: list[Window] = []
        for athlete in athletes:
            open_ = self._open[athlete]
            last = (self._reached_ns(open_) - self._lateness_ns) // self._size_ns - 1
            if last > open_.closed:
                windows += self._close(athlete, open_, last)
        return windows

    def advance(self, now_ns: int, *athletes: AthleteId) -> list[Window]:
        """Return the windows that nothing is waited for any more, also those of athletes who fell silent.

        Only of `athletes`, where some are named.
        """
        last = (now_ns - self._wait_ns) // self._size_ns - 1
        asked = [athlete for athlete in athletes if athlete in self._open] if athletes else self._open
        return [window for athlete in asked for window in self._close(athlete, self._open[athlete], last)]

    def flush(self) -> list[Window]:
        """Return all that is pending, at the end of a recording."""
        return [window for athlete, open_ in self._open.items() for window in self._close(athlete, open_, None)]

    def follow(self, earlier: "Windower") -> list[Window]:
        """Go on where a windower of longer windows stands: what it closed stays closed, what it holds is taken over."""
        pending: list[Readings] = []
        for athlete, held in earlier._open.items():  # noqa: SLF001  one of our own kind
            open_ = self._open.setdefault(athlete, _Open())
            if held.closed >= 0:
                open_.closed = (held.closed + 1) * earlier._size_ns // self._size_ns - 1  # noqa: SLF001
            open_.voices = held.voices
            pending += [block for blocks in held.pending.values() for block in blocks]
        self.late += earlier.late
        return self.push(*pending)

    def _file(self, athlete: AthleteId, block: Readings) -> bool:
        """Put a block's readings into the windows that they belong to; return whether one of them may be over now."""
        open_ = self._open.get(athlete)
        if open_ is None:
            open_ = self._open[athlete] = _Open()
        first_ns, last_ns = span_ns(block)
        first = first_ns // self._size_ns
        if first == last_ns // self._size_ns:  # live, nearly every block
            self._put(open_, first, block)
        else:
            for index, chosen in self._cuts(block.time_ns):
                self._put(open_, index, select(block, chosen))
        key = (block.sensor, block.stream)
        known_ns = open_.newest_ns.get(key)
        if known_ns is None or last_ns > known_ns:
            open_.newest_ns[key] = last_ns
            open_.top_ns = max(open_.top_ns, last_ns)
        # Whom all wait for still is where no window is over, and not so late that nobody waits any more.
        slowest = open_.slowest
        if known_ns is None or slowest is None:
            return True
        slowest_ns = open_.newest_ns[slowest]
        over_ns = (open_.closed + 2) * self._size_ns + self._lateness_ns
        return slowest_ns >= over_ns or slowest_ns < open_.top_ns - PATIENCE_NS

    def _cuts(self, time_ns: NDArray[np.int64]) -> list[tuple[int, slice | NDArray[np.bool_]]]:
        """Return the numbers of the windows that these times lie in, and which lie in each."""
        indices = time_ns // self._size_ns
        steps = indices[1:] - indices[:-1]
        if (steps < 0).any():
            return [(index, indices == index) for index in np.unique(indices).tolist()]
        edges = [0, *(np.flatnonzero(steps) + 1).tolist(), len(indices)]
        return [(int(indices[begin]), slice(begin, end)) for begin, end in itertools.pairwise(edges)]

    def _put(self, open_: "_Open", index: int, part: Readings) -> None:
        if index <= open_.closed:
            self.late += len(part)
        elif (blocks := open_.pending.get(index)) is None:
            open_.pending[index] = [part]
        else:
            blocks.append(part)

    def _reached_ns(self, open_: "_Open") -> int:
        """Return the time that all of the athlete's streams that are waited for have reached."""
        newest = open_.newest_ns
        waited = {key: time_ns for key, time_ns in newest.items() if self._is_steady(key[1])} or newest
        given_up_ns = max(waited.values()) - PATIENCE_NS
        open_.slowest = min((key for key, time_ns in waited.items() if time_ns >= given_up_ns), key=waited.__getitem__)
        return waited[open_.slowest]

    def _is_steady(self, stream: str) -> bool:
        return STREAMS[stream].rate_hz * self._size_ns >= NS_PER_S

    def _close(self, athlete: AthleteId, open_: "_Open", last: int | None) -> list[Window]:
        """Close the windows up to number `last`, or all."""
        pending = open_.pending
        if last is None:
            ready = sorted(pending)
        else:
            ready = sorted(index for index in pending if index <= last)
            open_.closed = max(last, open_.closed)
        return [self._window(athlete, open_.voices, index, pending.pop(index)) for index in ready]

    def _window(
        self, athlete: AthleteId, voices: dict[str, Voice | None], index: int, blocks: list[Readings]
    ) -> Window:
        by_stream: dict[str, list[Readings]] = defaultdict(list)
        for block in blocks:
            by_stream[block.stream].append(block)
        streams: dict[str, Readings] = {}
        for stream, parts in by_stream.items():
            spoken, voices[stream] = one_voice(parts, voices.get(stream))
            if spoken:
                streams[stream] = merge(spoken)
        start_ns = index * self._size_ns
        return Window(athlete=athlete, start_ns=start_ns, end_ns=start_ns + self._size_ns, streams=streams)
