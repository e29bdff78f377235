"""Steps of recorded movement: how far back and ahead of each position somebody is known without a gap or a jump."""

import numpy as np
from numpy.typing import NDArray

from shared.features.team import BALL_TEAM

_LONGEST_M, _LONGEST_OF_BALL_M = 1.5, 6.0
"""Longer than this in 0.1 s is a jump of the tracking, not a movement."""


def plausible_steps(
    xy_m: NDArray[np.float32], team: NDArray[np.integer], first: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many plausible steps in a row lead to, and follow, each position of [F,P]; -1 where there is none.

    `team` [N,P] tells the ball; scene n is frames first[n] up to first[n + 1], and no step crosses from one to another.
    A step is plausible below 1.5 m in 0.1 s, the ball's below 6 m.
    """
    known = np.asarray(np.isfinite(xy_m).all(-1))
    limit_m = np.where(np.repeat(team, np.diff(first), axis=0) == BALL_TEAM, _LONGEST_OF_BALL_M, _LONGEST_M)
    step = np.zeros_like(known)
    with np.errstate(invalid="ignore"):  # NaN is no plausible step
        step[1:] = np.linalg.norm(np.diff(xy_m, axis=0), axis=-1) < limit_m[1:]
    step[first[:-1][np.diff(first) > 0]] = False
    following = np.zeros_like(step)
    following[:-1] = step[1:]
    return _in_a_row(step, known), _in_a_row(following[::-1], known[::-1])[::-1].copy()


def _in_a_row(step: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of steps in a row up to each frame of [F,P], -1 where nothing is known."""
    frames = np.arange(len(step))[:, None]
    broken = np.maximum.accumulate(np.where(step, -1, frames), axis=0) if len(step) else np.zeros(step.shape, np.int64)
    return np.where(known, frames - broken, -1)
