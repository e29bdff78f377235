"""`team_graph@1`: the last second of everybody's positions on one time grid, the trajectory model's input.

Edges, velocities and distances are computed inside the model from these arrays, so that there is nothing else to keep
in step between training and gateway.
"""

import math
import statistics
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_MS, NS_PER_S
from shared.features.base import FeatureSet
from shared.ids import AthleteId
from shared.readings import Quality, Readings

RATE_HZ = 10
HISTORY = 11
"""Frames of history: 1.0 s at 10 Hz, the newest last."""
HORIZON = 20
"""Steps ahead: 2.0 s at 10 Hz."""
BALL_TEAM = -1
_STEP_NS = NS_PER_S // RATE_HZ
_SPAN_NS = (HISTORY - 1) * _STEP_NS
# A player whose newest position is older than this is left out of the graph; one missed message at 10 Hz is not.
_FRESH_NS = 350 * NS_PER_MS
# Tags whose newest positions lie further apart than two clocks that pass the intake (2 s ahead) have fallen silent.
_SILENT_NS = 3 * NS_PER_S
_MAX_GAP_NS = 500 * NS_PER_MS
_CAPACITY = 64
_IMPLAUSIBLE = int(Quality.IMPLAUSIBLE)
_GRID_NS = np.arange(-_SPAN_NS, 1, _STEP_NS, dtype=np.float64)

TEAM_GRAPH = FeatureSet(
    set_id="team_graph@1",
    features=(("history", "m"), ("team", "1"), ("mask", "1")),
    note=(
        "history float32[B,P,11,2]: x,y in local metres at 10 Hz, newest last, 0 where masked; "
        "team float32[B,P]: -1 ball, 0, 1; mask float32[B,P]: 1 where present. "
        "out: offset float32[B,P,20,2] metres from the newest position at 0.1..2.0 s; sigma float32[B,P,20,2] metres"
    ),
    model="trajectory",
    row_axes=2,
    inputs=(("history", (HISTORY, 2)), ("team", ()), ("mask", ())),
    outputs=(("offset", (HORIZON, 2)), ("sigma", (HORIZON, 2))),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamGraph:
    """One moment's graph: row p of the arrays is `athletes[p]`; only rows with mask 1 mean anything."""

    time_ns: int
    athletes: tuple[AthleteId, ...]
    history: NDArray[np.float32]
    team: NDArray[np.float32]
    mask: NDArray[np.float32]


class TeamHistory:
    """Keeps each player's last positions and lays them on a common grid."""

    def __init__(self, teams: Mapping[AthleteId, int]) -> None:
        """`teams` gives the rows in their order: 0, 1, or -1 for the ball."""
        self._athletes = tuple(teams)
        self._team = np.array(list(teams.values()), np.float32)
        self._paths = {athlete: _Path() for athlete in teams}

    def push(self, block: Readings) -> None:
        """Take a block of positions in time order; older ones than the newest known, and flagged ones, are left out."""
        path = self._paths.get(block.athlete) if block.athlete is not None else None
        if path is None:
            return
        if len(block) == 1:  # live, most blocks
            x_m, y_m, _ = block.values[0].tolist()
            path.add(block.time_ns.item(0), x_m, y_m, block.quality.item(0))
            return
        last = slice(-_CAPACITY, None)
        rows = zip(block.time_ns[last].tolist(), block.values[last].tolist(), block.quality[last].tolist(), strict=True)
        for time_ns, values, quality in rows:
            path.add(time_ns, values[0], values[1], quality)

    def graph(self) -> TeamGraph | None:
        """Return the graph at the newest time that all fresh players have reached, or None if nobody has a history."""
        newest = {athlete: path.newest_ns for athlete, path in self._paths.items() if path.newest_ns}
        if not newest:
            return None
        fresh = _fresh(newest)
        end_ns = min(newest[athlete] for athlete in fresh)
        rows = [row for row, athlete in enumerate(self._athletes) if athlete in fresh]
        whole, xy_m = _on_grid([self._paths[self._athletes[row]] for row in rows], end_ns)
        if not whole.any():
            return None
        present = np.array(rows)[whole]
        history = np.zeros((len(self._athletes), HISTORY, 2), np.float32)
        mask = np.zeros(len(self._athletes), np.float32)
        history[present], mask[present] = xy_m[whole], 1.0
        return TeamGraph(time_ns=end_ns, athletes=self._athletes, history=history, team=self._team, mask=mask)


class _Path:
    """One player's last positions, in time order."""

    __slots__ = ("newest_ns", "times_ns", "x_m", "y_m")

    def __init__(self) -> None:
        self.newest_ns = 0
        self.times_ns, self.x_m, self.y_m = array("q"), array("d"), array("d")

    def add(self, time_ns: int, x_m: float, y_m: float, quality: int) -> None:
        """Take a position, unless it is no newer than the newest, or unusable."""
        if time_ns <= self.newest_ns or quality & _IMPLAUSIBLE or not math.isfinite(x_m + y_m):
            return
        self.newest_ns = time_ns
        self.times_ns.append(time_ns)
        self.x_m.append(x_m)
        self.y_m.append(y_m)
        if len(self.times_ns) >= 2 * _CAPACITY:  # seldom enough that to move the rest costs nothing
            for column in (self.times_ns, self.x_m, self.y_m):
                del column[:-_CAPACITY]


def _on_grid(paths: Sequence[_Path], end_ns: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which paths have a whole history up to `end_ns`, and all on the grid, float64[n, HISTORY, 2].

    Of a path without one the values mean nothing. Between points it is linear, by the very formula of `np.interp`.
    """
    times = np.full((len(paths), _CAPACITY), np.nan)  # NaN where there is none, or too old to be looked at
    xy_m = np.zeros((len(paths), _CAPACITY, 2))
    for row, path in enumerate(paths):
        count = min(len(path.times_ns), _CAPACITY)
        times[row, -count:] = np.frombuffer(path.times_ns, np.int64)[-count:] - end_ns
        xy_m[row, -count:, 0] = np.frombuffer(path.x_m)[-count:]
        xy_m[row, -count:, 1] = np.frombuffer(path.y_m)[-count:]
    times[times < _GRID_NS[0] - _MAX_GAP_NS] = np.nan
    begun = (times <= _GRID_NS[0]).any(axis=1)
    torn = (np.diff(times, axis=1) > _MAX_GAP_NS).any(axis=1)
    # The last point at or before each of the grid's; the newest point stands at or after the end of the grid.
    after = (times[:, None, :] > _GRID_NS[:, None]).sum(axis=2)
    left = np.minimum(_CAPACITY - 1 - after, _CAPACITY - 1)
    right = np.minimum(left + 1, _CAPACITY - 1)
    rows = np.arange(len(paths))[:, None]
    since = _GRID_NS - times[rows, left]
    length = times[rows, right] - times[rows, left]
    slope = (xy_m[rows, right] - xy_m[rows, left]) / np.where(length > 0, length, 1.0)[..., None]
    here = xy_m[rows, left]
    return begun & ~torn, np.where((since > 0)[..., None], slope * since[..., None] + here, here)


def _fresh(newest_ns: Mapping[AthleteId, int]) -> set[AthleteId]:
    """Return whose newest position is near the median of those not silent: a wrong clock costs only its own tag."""
    latest_ns = max(newest_ns.values())
    median_ns = statistics.median_high(time_ns for time_ns in newest_ns.values() if time_ns >= latest_ns - _SILENT_NS)
    return {athlete for athlete, time_ns in newest_ns.items() if abs(time_ns - median_ns) <= _FRESH_NS}
