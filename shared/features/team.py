"""`team_graph@1`: the last second of everybody's positions on one time grid, the trajectory model's input.

Edges, velocities and distances are computed inside the model from these arrays, so that there is nothing else to keep
in step between training and gateway.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_MS, NS_PER_S
from shared.features.base import FeatureSet
from shared.ids import AthleteId
from shared.readings import Readings

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
_MAX_GAP_NS = 500 * NS_PER_MS
_CAPACITY = 64

TEAM_GRAPH = FeatureSet(
    set_id="team_graph@1",
    features=(("history", "m"), ("team", "1"), ("mask", "1")),
    note=(
        "history float32[B,P,11,2]: x,y in local metres at 10 Hz, newest last, 0 where masked; "
        "team float32[B,P]: -1 ball, 0, 1; mask float32[B,P]: 1 where present. "
        "out: offset float32[B,P,20,2] metres from the newest position at 0.1..2.0 s; sigma float32[B,P,20,2] metres"
    ),
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
        self._rows = {athlete: i for i, athlete in enumerate(self._athletes)}
        self._team = np.array(list(teams.values()), np.float32)
        self._times = np.zeros((len(teams), _CAPACITY), np.int64)
        self._xy_m = np.zeros((len(teams), _CAPACITY, 2))

    def push(self, block: Readings) -> None:
        """Take a block of positions in time order; older ones than the newest known are passed over."""
        index = self._rows.get(block.athlete) if block.athlete is not None else None
        if index is None:
            return
        newer = (block.time_ns > self._times[index, -1]) & np.isfinite(block.values[:, :2]).all(axis=1)
        newer &= block.quality == 0
        count = min(int(newer.sum()), _CAPACITY)
        if not count:
            return
        self._times[index] = np.concatenate((self._times[index, count:], block.time_ns[newer][-count:]))
        self._xy_m[index] = np.concatenate((self._xy_m[index, count:], block.values[newer, :2][-count:]))

    def graph(self) -> TeamGraph | None:
        """Return the graph at the newest time that all fresh players have reached, or None if nobody has a history."""
        newest = self._times[:, -1]
        if not newest.any():
            return None
        fresh = newest >= newest.max() - _FRESH_NS
        end_ns = int(newest[fresh].min())
        grid = end_ns - _SPAN_NS + _STEP_NS * np.arange(HISTORY)
        history = np.zeros((len(self._athletes), HISTORY, 2), np.float32)
        mask = np.zeros(len(self._athletes), np.float32)
        for i in np.flatnonzero(fresh):
            times = self._times[i]
            covering = (times >= grid[0] - _MAX_GAP_NS) & (times > 0)
            if times[covering][0] > grid[0] or np.diff(times[covering]).max(initial=0) > _MAX_GAP_NS:
                continue
            known = (times[covering] - end_ns).astype(np.float64)
            wanted = (grid - end_ns).astype(np.float64)
            history[i, :, 0] = np.interp(wanted, known, self._xy_m[i, covering, 0])
            history[i, :, 1] = np.interp(wanted, known, self._xy_m[i, covering, 1])
            mask[i] = 1.0
        if not mask.any():
            return None
        return TeamGraph(time_ns=end_ns, athletes=self._athletes, history=history, team=self._team, mask=mask)
