"""Team frames: the live graph's newest moment, or a recording's positions laid on whole seconds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_MS, NS_PER_S
from shared.features.team import RATE_HZ, TeamGraph
from shared.ids import AthleteId
from shared.metrics.team import TeamFrame
from shared.readings import Quality

VELOCITY_S = 0.5
_BACK = round(VELOCITY_S * RATE_HZ)
_VELOCITY_NS = round(VELOCITY_S * NS_PER_S)
# As in the live graph: a player whose positions lie further apart is not interpolated.
_MAX_GAP_NS = 500 * NS_PER_MS
_IMPLAUSIBLE = np.uint8(Quality.IMPLAUSIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """One athlete on whole seconds: `seconds` int64[n] since 1970, `xy_m` and `velocity_mps` float64[n, 2]."""

    seconds: NDArray[np.int64]
    xy_m: NDArray[np.float64]
    velocity_mps: NDArray[np.float64]


def frame_of(graph: TeamGraph) -> TeamFrame:
    """Return the newest moment of a live graph."""
    here = graph.history[:, -1].astype(np.float64)
    before = graph.history[:, -1 - _BACK].astype(np.float64)
    return TeamFrame(
        time_ns=graph.time_ns,
        athletes=graph.athletes,
        xy_m=here,
        velocity_mps=(here - before) / VELOCITY_S,
        team=graph.team.astype(np.int64),
        mask=graph.mask > 0,
    )


def sample(times_ns: NDArray[np.int64], xy_m: NDArray[np.float64], quality: NDArray[np.uint8]) -> Samples:
    """Return an athlete's positions, n in time order, at whole seconds where they and those 0.5 s before are known.

    A place is known between two positions at most 0.5 s apart; flagged ones are left out.
    """
    usable = ((quality & _IMPLAUSIBLE) == 0) & np.isfinite(xy_m).all(axis=1)
    times_ns, xy_m = times_ns[usable], xy_m[usable]
    if len(times_ns) < 2:
        return Samples(seconds=np.zeros(0, np.int64), xy_m=np.zeros((0, 2)), velocity_mps=np.zeros((0, 2)))
    seconds = np.arange(-(-times_ns[0] // NS_PER_S), times_ns[-1] // NS_PER_S + 1)
    grid_ns = seconds * NS_PER_S
    known = _covered(times_ns, grid_ns) & _covered(times_ns, grid_ns - _VELOCITY_NS)
    seconds, grid_ns = seconds[known], grid_ns[known]
    here, before = _at(times_ns, xy_m, grid_ns), _at(times_ns, xy_m, grid_ns - _VELOCITY_NS)
    return Samples(seconds=seconds, xy_m=here, velocity_mps=(here - before) / VELOCITY_S)


def frames(samples: Mapping[AthleteId, Samples], teams: Mapping[AthleteId, int]) -> Iterator[TeamFrame]:
    """Yield a frame for each second from the first position of anybody of `teams` to the last."""
    athletes = tuple(athlete for athlete in teams if athlete in samples)
    team = np.array([teams[athlete] for athlete in athletes], np.int64)
    known = np.concatenate([np.zeros(0, np.int64), *(samples[athlete].seconds for athlete in athletes)])
    every = np.arange(known.min(), known.max() + 1) if len(known) else known
    shape = (len(every), len(athletes))
    xy_m, velocity_mps, mask = np.zeros((*shape, 2)), np.zeros((*shape, 2)), np.zeros(shape, bool)
    for i, athlete in enumerate(athletes):
        rows = samples[athlete].seconds - every[:1]
        mask[rows, i] = True
        xy_m[rows, i], velocity_mps[rows, i] = samples[athlete].xy_m, samples[athlete].velocity_mps
    for row, second in enumerate(every.tolist()):
        yield TeamFrame(
            time_ns=second * NS_PER_S,
            athletes=athletes,
            xy_m=xy_m[row],
            velocity_mps=velocity_mps[row],
            team=team,
            mask=mask[row],
        )


def _covered(times_ns: NDArray[np.int64], at_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each time lies between two positions near each other."""
    after = np.searchsorted(times_ns, at_ns, side="left")
    inside = (after < len(times_ns)) & (at_ns >= times_ns[0])
    right = np.minimum(after, len(times_ns) - 1)
    exact = times_ns[right] == at_ns
    near = times_ns[right] - times_ns[np.maximum(right - 1, 0)] <= _MAX_GAP_NS
    return np.asarray(inside & (exact | near), bool)


def _at(times_ns: NDArray[np.int64], xy_m: NDArray[np.float64], at_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    # Relative to the first: float64 cannot tell nanoseconds since 1970 apart.
    since = (times_ns - times_ns[0]).astype(np.float64)
    at = (at_ns - times_ns[0]).astype(np.float64)
    return np.column_stack([np.interp(at, since, xy_m[:, axis]) for axis in (0, 1)])
