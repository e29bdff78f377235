"""`team_graph@1`: the last second of everybody's positions on one time grid, the trajectory model's input.

Edges, velocities and distances are computed inside the model from these arrays, so that there is nothing else to keep
in step between training and gateway.
"""

import math
import statistics
from collections import deque
from collections.abc import Mapping
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
        self._paths: dict[AthleteId, deque[tuple[int, float, float]]] = {
            athlete: deque(maxlen=_CAPACITY) for athlete in teams
        }

    def push(self, block: Readings) -> None:
        """Take a block of positions in time order; older ones than the newest known, and flagged ones, are left out."""
        path = self._paths.get(block.athlete) if block.athlete is not None else None
        if path is None:
            return
        newest = path[-1][0] if path else 0
        last = slice(-_CAPACITY, None)
        rows = zip(block.time_ns[last].tolist(), block.values[last].tolist(), block.quality[last].tolist(), strict=True)
        for time_ns, values, quality in rows:
            if time_ns > newest and not quality & _IMPLAUSIBLE and math.isfinite(values[0] + values[1]):
                path.append((time_ns, values[0], values[1]))
                newest = time_ns

    def graph(self) -> TeamGraph | None:
        """Return the graph at the newest time that all fresh players have reached, or None if nobody has a history."""
        newest = {athlete: path[-1][0] for athlete, path in self._paths.items() if path}
        if not newest:
            return None
        fresh = _fresh(newest)
        end_ns = min(newest[athlete] for athlete in fresh)
        grid = np.arange(-_SPAN_NS, 1, _STEP_NS, dtype=np.float64)
        history = np.zeros((len(self._athletes), HISTORY, 2), np.float32)
        mask = np.zeros(len(self._athletes), np.float32)
        for i, athlete in enumerate(self._athletes):
            if athlete not in fresh:
                continue
            path = np.array(self._paths[athlete], np.float64)
            times = np.array([point[0] - end_ns for point in self._paths[athlete]], np.float64)
            covering = times >= grid[0] - _MAX_GAP_NS
            times, path = times[covering], path[covering]
            if times[0] > grid[0] or np.diff(times).max(initial=0) > _MAX_GAP_NS:
                continue
            history[i, :, 0] = np.interp(grid, times, path[:, 1])
            history[i, :, 1] = np.interp(grid, times, path[:, 2])
            mask[i] = 1.0
        if not mask.any():
            return None
        return TeamGraph(time_ns=end_ns, athletes=self._athletes, history=history, team=self._team, mask=mask)


def _fresh(newest_ns: Mapping[AthleteId, int]) -> set[AthleteId]:
    """Return whose newest position is near the median of those not silent: a wrong clock costs only its own tag."""
    latest_ns = max(newest_ns.values())
    median_ns = statistics.median_high(time_ns for time_ns in newest_ns.values() if time_ns >= latest_ns - _SILENT_NS)
    return {athlete for athlete, time_ns in newest_ns.items() if abs(time_ns - median_ns) <= _FRESH_NS}
