"""Event-time windows: the same code live, replayed and in the pipeline."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from shared.clock import NS_PER_S
from shared.ids import AthleteId
from shared.readings import Readings


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What one athlete's sensors said in [start_ns, end_ns): one block per stream, in time order, each reading once."""

    athlete: AthleteId
    start_ns: int
    end_ns: int
    streams: dict[str, Readings]


def merge(blocks: Sequence[Readings]) -> Readings:
    """Return blocks of one stream as one block in time order, with each (sensor, origin, sequence) once.

    The result carries the first block's sensor and origin.
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
    )


class Windower:
    """Cuts readings into tumbling windows of `size_ns` per athlete.

    A window closes when the athlete's newest reading, or `advance`, is `lateness_ns` past its end. What comes for a
    closed window is counted in `late` and left out: totals shown live are never rewritten silently; the cloud, which
    reads whole sessions, includes it.
    """

    def __init__(self, *, size_ns: int = NS_PER_S, lateness_ns: int = NS_PER_S) -> None:
        self._size_ns = size_ns
        self._lateness_ns = lateness_ns
        self._pending: dict[AthleteId, dict[int, list[Readings]]] = defaultdict(dict)
        self._closed: dict[AthleteId, int] = {}
        self._newest_ns: dict[AthleteId, int] = {}
        self.late = 0

    @property
    def delay_ns(self) -> int:
        """How far closed windows lie behind the newest reading at most; what came since is not missing yet."""
        return 2 * self._size_ns + self._lateness_ns

    def push(self, block: Readings) -> list[Window]:
        """Take a block and return the windows that it closes, oldest first; a block of nobody is passed over."""
        athlete = block.athlete
        if athlete is None or not len(block):
            return []
        closed = self._closed.get(athlete, -1)
        pending = self._pending[athlete]
        for index, part in self._split(block):
            if index <= closed:
                self.late += len(part)
            else:
                pending.setdefault(index, []).append(part)
        newest = max(int(block.time_ns.max()), self._newest_ns.get(athlete, 0))
        self._newest_ns[athlete] = newest
        last = (newest - self._lateness_ns) // self._size_ns - 1
        if last <= closed:  # the usual case, answered at once: no further window is over
            return []
        return self._close(athlete, newest)

    def advance(self, now_ns: int) -> list[Window]:
        """Return the windows that end `lateness_ns` or more before `now_ns`, also of athletes who fell silent."""
        return [window for athlete in list(self._pending) for window in self._close(athlete, now_ns)]

    def flush(self) -> list[Window]:
        """Return all that is pending, at the end of a recording."""
        return [window for athlete in list(self._pending) for window in self._close(athlete, None)]

    def _split(self, block: Readings) -> list[tuple[int, Readings]]:
        """Return the parts of a block by window number."""
        if len(block) == 1:  # live, nearly every block is one reading
            return [(int(block.time_ns[0]) // self._size_ns, block)]
        indices = block.time_ns // self._size_ns
        return [(int(index), _select(block, indices == index)) for index in np.unique(indices)]

    def _close(self, athlete: AthleteId, watermark_ns: int | None) -> list[Window]:
        pending = self._pending[athlete]
        if watermark_ns is None:
            ready = sorted(pending)
        else:
            last = (watermark_ns - self._lateness_ns) // self._size_ns - 1
            ready = sorted(index for index in pending if index <= last)
            self._closed[athlete] = max(last, self._closed.get(athlete, -1))
        return [self._window(athlete, index, pending.pop(index)) for index in ready]

    def _window(self, athlete: AthleteId, index: int, blocks: list[Readings]) -> Window:
        by_stream: dict[str, list[Readings]] = defaultdict(list)
        for block in blocks:
            by_stream[block.stream].append(block)
        start_ns = index * self._size_ns
        return Window(
            athlete=athlete,
            start_ns=start_ns,
            end_ns=start_ns + self._size_ns,
            streams={stream: merge(parts) for stream, parts in by_stream.items()},
        )


def _select(block: Readings, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Readings:
    return replace(
        block,
        sequence=block.sequence[chosen],
        time_ns=block.time_ns[chosen],
        values=block.values[chosen],
        quality=block.quality[chosen],
    )
