"""Speed and acceleration from positions: one filter, stated once, for all metrics of movement.

1. A step between neighbouring positions over more than 1.5 s, or faster than 12 m/s, is a gap: receivers that send
   once a second do not send after exactly one.
2. Between gaps the path is interpolated linearly onto a grid of 10 points a second, the same for everybody: tags of
   10 to 100 Hz, steady or not, are filtered alike.
3. A point is the mean of the five around it (0.5 s); speed is the central difference of these over 0.2 s;
   acceleration the central difference of speed over 0.4 s. Beside a gap the spans shrink: for half a second there
   speed and acceleration are too rough to be told, and only the way counts.

Position noise of 5 cm is then 0.1 m/s and 0.35 m/s².
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.metrics.fold import DOUBTED
from shared.readings import Quality
from shared.windows import Window

GRID_HZ = 10
GRID_S = 1.0 / GRID_HZ
MAX_STEP_S = 1.5
MAX_SPEED_MPS = 12.0
MAX_ACCELERATION_MPS2 = 10.0
MEASURED_STEP_S = 0.25
"""Tags of under 4 Hz are interpolated too far for accelerations: such time lowers the quality."""
FILTER_RULE = "positions at 10 Hz averaged over 0.5 s; a gap of over 1.5 s or a step of over 12 m/s adds nothing"
SETTLED_RULE = "points within 0.5 s of a gap, and those with over 10 m/s², are left out"
_GRID_NS = NS_PER_S // GRID_HZ
# A point's acceleration looks at the speeds two points off, these one further, and those at means of two more.
_REACH = 5
_FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """n points of a path, 0.1 s apart but for gaps.

    `begins` bool[n] marks the first point after a gap. `length_m` float64[n] is the way from the point before (0 after
    a gap), `speed_mps` and `acceleration_mps2` float64[n] are at the point. `believable` bool[n] says that the
    filter was full and the acceleration is one that legs can do.
    """

    begins: NDArray[np.bool_]
    length_m: _FloatArray
    speed_mps: _FloatArray
    acceleration_mps2: _FloatArray
    believable: NDArray[np.bool_]
    first_ns: int
    last_ns: int
    covered_s: float
    sound_s: float
    tail: "PathEnd | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Points:
    """Grid points: `xy_m` float64[n, 2], which stretch between gaps each is of, and whether it was measured closely."""

    xy_m: _FloatArray
    stretch: NDArray[np.int64]
    sound: NDArray[np.bool_]


@dataclass(slots=True, kw_only=True)
class PathEnd:
    """The last position, and the last points of its stretch: `done` of them are told already, the rest wait."""

    time_ns: int
    xy_m: _FloatArray
    sound: bool
    points_xy_m: _FloatArray
    points_sound: NDArray[np.bool_]
    done: int
    joined: bool
    _rest: Trace | None = None

    def rest(self) -> Trace:
        """Return the points that wait, as if the path ended here."""
        if self._rest is None:
            stretch = np.zeros(len(self.points_sound), np.int64)
            points = _Points(xy_m=self.points_xy_m, stretch=stretch, sound=self.points_sound)
            self._rest = _trace(points, slice(self.done, None), first_ns=self.time_ns, last_ns=self.time_ns, tail=None)
        return self._rest


def steps(
    times_ns: NDArray[np.int64], xy_m: _FloatArray, *, longest_s: float = MAX_STEP_S
) -> tuple[_FloatArray, _FloatArray, NDArray[np.bool_]]:
    """Return duration (s), length (m) and acceptance of each step between positions [n, 2] in time order."""
    seconds = (times_ns[1:] - times_ns[:-1]) / NS_PER_S
    metres = np.hypot(*(xy_m[1:] - xy_m[:-1]).T)
    accepted = (seconds > 0) & (seconds <= longest_s) & (metres <= MAX_SPEED_MPS * seconds)
    return seconds, metres, accepted


def trace(before: PathEnd | None, window: Window) -> Trace | None:
    """Return the points that are certain after `window`."""
    block = window.streams.get("position")
    if block is None:
        return None
    xy_m = block.values[:, :2]
    usable = ((block.quality & np.uint8(Quality.IMPLAUSIBLE)) == 0) & ~np.isnan(xy_m).any(axis=1)
    if not usable.any():
        return None
    times, xy_m = block.time_ns[usable], xy_m[usable]
    sound = (block.quality[usable] & DOUBTED) == 0
    first_ns = int(times[0])
    if before is not None:
        times = np.concatenate(([before.time_ns], times))
        xy_m = np.concatenate((before.xy_m[None], xy_m))
        sound = np.concatenate(([before.sound], sound))
    points, going_on = _on_grid(times, xy_m, sound, before)
    count = len(points.stretch)
    open_count = int(np.count_nonzero(points.stretch == going_on)) if count else 0
    waiting = min(_REACH, open_count)
    begin = count - min(2 * _REACH, open_count)
    tail = PathEnd(
        time_ns=int(times[-1]),
        xy_m=xy_m[-1],
        sound=bool(sound[-1]),
        points_xy_m=points.xy_m[begin:],
        points_sound=points.sound[begin:],
        done=count - begin - waiting,
        joined=going_on >= 0,
    )
    told = slice(before.done if before is not None else 0, count - waiting)
    return _trace(points, told, first_ns=first_ns, last_ns=tail.time_ns, tail=tail)


def _on_grid(
    times: NDArray[np.int64], xy_m: _FloatArray, sound: NDArray[np.bool_], before: PathEnd | None
) -> tuple[_Points, int]:
    """Return the points that waited (stretch 0) and those of the new steps, and the stretch that goes on, or -1."""
    seconds, _, accepted = steps(times, xy_m)
    stretch = np.cumsum(~accepted, dtype=np.int64)
    was_joined = np.concatenate(([before is not None and before.joined], accepted[:-1]))[: len(accepted)]
    # A step has the grid points after its first position up to its second; the first step after a gap that one too.
    low = times[:-1] // _GRID_NS + 1 - (~was_joined & (times[:-1] % _GRID_NS == 0))
    counts = np.where(accepted, times[1:] // _GRID_NS - low + 1, 0)
    step = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(step)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = ((low[step] + within) * _GRID_NS - times[step]) / (times[step + 1] - times[step])
    placed = xy_m[step] + share[:, None] * (xy_m[step + 1] - xy_m[step])
    good = ((seconds <= MEASURED_STEP_S) & sound[1:] & sound[:-1])[step]
    going_on = int(stretch[-1]) if len(accepted) and accepted[-1] else -1
    if before is None or not len(before.points_sound):
        return _Points(xy_m=placed, stretch=stretch[step], sound=good), going_on
    return (
        _Points(
            xy_m=np.concatenate((before.points_xy_m, placed)),
            stretch=np.concatenate((np.zeros(len(before.points_sound), np.int64), stretch[step])),
            sound=np.concatenate((before.points_sound, good)),
        ),
        going_on,
    )


def _trace(points: _Points, told: slice, *, first_ns: int, last_ns: int, tail: PathEnd | None) -> Trace:
    """Filter the points, of which those outside `told` are only looked at."""
    index = np.arange(len(points.stretch))
    begins = np.ones(len(index), bool)
    begins[1:] = points.stretch[1:] != points.stretch[:-1]
    ends = np.ones(len(index), bool)
    ends[:-1] = begins[1:]
    earlier = index - np.maximum.accumulate(np.where(begins, index, 0))
    later = np.minimum.accumulate(np.where(ends, index, len(index))[::-1])[::-1] - index
    even = np.minimum(earlier, later)
    smooth = _five_mean(points.xy_m, even)
    near, far = np.minimum(earlier, 1), np.minimum(later, 1)
    speed = np.hypot(*(_slope(smooth, index - near, index + far).T))
    even = np.minimum(even, 2)
    acceleration = _slope(speed, index - np.maximum(even, near), index + np.maximum(even, far))
    way = np.zeros(len(index))
    way[1:] = np.hypot(*(smooth[1:] - smooth[:-1]).T)
    way[begins] = 0.0
    full = (earlier >= _REACH) & (later >= _REACH)
    believable = full & (np.abs(acceleration) <= MAX_ACCELERATION_MPS2)
    chosen = np.flatnonzero((earlier + later)[told] > 0) + (told.start or 0)  # a lone point has no speed
    moved = ~begins[chosen]
    return Trace(
        begins=begins[chosen],
        length_m=way[chosen],
        speed_mps=speed[chosen],
        acceleration_mps2=acceleration[chosen],
        believable=believable[chosen],
        first_ns=first_ns,
        last_ns=last_ns,
        covered_s=GRID_S * int(np.count_nonzero(moved)),
        sound_s=GRID_S * int(np.count_nonzero(moved & points.sound[chosen] & believable[chosen])),
        tail=tail,
    )


def _five_mean(values: _FloatArray, even: NDArray[np.int64]) -> _FloatArray:
    """Return means over up to two neighbours on each side, as many as there are on both."""
    if not len(values):
        return values
    padded = np.concatenate((values[:1], values[:1], values, values[-1:], values[-1:]))
    three = padded[1:-3] + padded[2:-2] + padded[3:-1]
    five = (three + padded[:-4] + padded[4:]) / 5.0
    even = even[:, None]
    return np.where(even >= 2, five, np.where(even == 1, three / 3.0, values))


def _slope(values: _FloatArray, left: NDArray[np.int64], right: NDArray[np.int64]) -> _FloatArray:
    """Return differences per second between grid points; 0 where they are the same."""
    seconds = np.maximum(right - left, 1) * GRID_S
    change = values[right] - values[left]
    return np.asarray(change / (seconds[:, None] if values.ndim == 2 else seconds), np.float64)
