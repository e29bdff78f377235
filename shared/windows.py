"""Event-time windows: the same code live, replayed and in the pipeline."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from shared.clock import NS_PER_S
from shared.ids import AthleteId, SensorId
from shared.one_voice import Voice, one_voice
from shared.quantities import STREAMS
from shared.readings import Readings, select

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
        self._pending: dict[AthleteId, dict[int, list[Readings]]] = defaultdict(dict)
        self._closed: dict[AthleteId, int] = {}
        self._voices: dict[AthleteId, dict[str, Voice | None]] = defaultdict(dict)
        self._newest_ns: dict[AthleteId, dict[tuple[SensorId, str], int]] = defaultdict(dict)
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
            if block.athlete is not None and len(block):
                self._file(block.athlete, block)
                athletes[block.athlete] = None
        windows: list[Window] = []
        for athlete in athletes:
            last = (self._reached_ns(athlete) - self._lateness_ns) // self._size_ns - 1
            if last > self._closed.get(athlete, -1):  # mostly not: no further window is over
                windows += self._close(athlete, last)
        return windows

    def advance(self, now_ns: int) -> list[Window]:
        """Return the windows that nothing is waited for any more, also those of athletes who fell silent."""
        last = (now_ns - self._wait_ns) // self._size_ns - 1
        return [window for athlete in list(self._pending) for window in self._close(athlete, last)]

    def flush(self) -> list[Window]:
        """Return all that is pending, at the end of a recording."""
        return [window for athlete in list(self._pending) for window in self._close(athlete, None)]

    def follow(self, earlier: "Windower") -> list[Window]:
        """Go on where a windower of longer windows stands: what it closed stays closed, what it holds is taken over."""
        for athlete, index in earlier._closed.items():  # noqa: SLF001  one of our own kind
            self._closed[athlete] = (index + 1) * earlier._size_ns // self._size_ns - 1  # noqa: SLF001
        self._voices = earlier._voices  # noqa: SLF001
        self.late += earlier.late
        pending = [blocks for held in earlier._pending.values() for blocks in held.values()]  # noqa: SLF001
        return self.push(*(block for blocks in pending for block in blocks))

    def _file(self, athlete: AthleteId, block: Readings) -> None:
        """Put a block's readings into the windows that they belong to."""
        closed = self._closed.get(athlete, -1)
        pending = self._pending[athlete]
        first_ns, last_ns = int(block.time_ns.min()), int(block.time_ns.max())
        for index, part in self._split(block, first_ns // self._size_ns, last_ns // self._size_ns):
            if index <= closed:
                self.late += len(part)
            else:
                pending.setdefault(index, []).append(part)
        newest = self._newest_ns[athlete]
        key = (block.sensor, block.stream)
        newest[key] = max(last_ns, newest.get(key, 0))

    def _reached_ns(self, athlete: AthleteId) -> int:
        """Return the time that all of the athlete's streams that are waited for have reached."""
        newest = self._newest_ns[athlete]
        waited = [time_ns for (_, stream), time_ns in newest.items() if self._is_steady(stream)] or newest.values()
        return min(time_ns for time_ns in waited if time_ns >= max(waited) - PATIENCE_NS)

    def _is_steady(self, stream: str) -> bool:
        return STREAMS[stream].rate_hz * self._size_ns >= NS_PER_S

    def _split(self, block: Readings, first: int, last: int) -> list[tuple[int, Readings]]:
        """Return the parts of a block by window number, of which `first` and `last` are its ends."""
        if first == last:  # live, nearly every block
            return [(first, block)]
        indices = block.time_ns // self._size_ns
        return [(index, select(block, indices == index)) for index in np.unique(indices).tolist()]

    def _close(self, athlete: AthleteId, last: int | None) -> list[Window]:
        """Close the windows up to number `last`, or all."""
        pending = self._pending[athlete]
        if last is None:
            ready = sorted(pending)
        else:
            ready = sorted(index for index in pending if index <= last)
            self._closed[athlete] = max(last, self._closed.get(athlete, -1))
        return [self._window(athlete, index, pending.pop(index)) for index in ready]

    def _window(self, athlete: AthleteId, index: int, blocks: list[Readings]) -> Window:
        by_stream: dict[str, list[Readings]] = defaultdict(list)
        for block in blocks:
            by_stream[block.stream].append(block)
        voices = self._voices[athlete]
        streams: dict[str, Readings] = {}
        for stream, parts in by_stream.items():
            spoken, voices[stream] = one_voice(parts, voices.get(stream))
            if spoken:
                streams[stream] = merge(spoken)
        start_ns = index * self._size_ns
        return Window(athlete=athlete, start_ns=start_ns, end_ns=start_ns + self._size_ns, streams=streams)
