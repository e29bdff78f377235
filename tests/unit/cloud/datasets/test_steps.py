from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud.datasets.steps import plausible_steps
from shared.features.team import BALL_TEAM


def counted_slowly(
    xy_m: NDArray[np.float32], team: NDArray[np.int8], first: NDArray[np.int64], *, forwards: bool
) -> NDArray[np.int64]:
    """Return the steps that follow each position, or lead to it, walked one by one."""
    found = np.full(xy_m.shape[:2], -1)
    for scene, (begin, end) in enumerate(pairwise(first)):
        for player in range(xy_m.shape[1]):
            limit = 6.0 if team[scene, player] == BALL_TEAM else 1.5
            path = xy_m[begin:end, player] if forwards else xy_m[begin:end, player][::-1]
            for at in range(len(path)):
                steps = np.linalg.norm(np.diff(path[at:], axis=0), axis=-1) < limit
                count = int(np.argmin([*steps, False]))
                place = begin + at if forwards else end - 1 - at
                found[place, player] = count if np.isfinite(path[at]).all() else -1
    return found


@pytest.mark.parametrize("seed", range(5))
def test_steps_when_gaps_jumps_and_scenes_break_them_then_count_as_walked_one_by_one(seed: int) -> None:
    """Rule: a gap, a jump and a scene's end break a path; the ball may go further in a step than a player."""
    rng = np.random.default_rng(seed)
    first = np.array([0, 25, 25, 26, 60])  # one scene is empty, one a single frame
    team = rng.choice(np.array([0, 1, BALL_TEAM, -2], np.int8), (4, 5))
    xy_m = rng.normal(0.0, 0.9, (60, 5, 2)).cumsum(axis=0).astype(np.float32)
    xy_m[rng.random((60, 5)) < 0.05] = np.nan
    back, ahead = plausible_steps(xy_m, team, first)
    np.testing.assert_array_equal(back, counted_slowly(xy_m, team, first, forwards=False))
    np.testing.assert_array_equal(ahead, counted_slowly(xy_m, team, first, forwards=True))


def test_steps_when_a_step_is_as_long_as_the_limit_then_it_is_a_jump() -> None:
    """Rule: 1.5 m in 0.1 s breaks a player's path and not the ball's, which 6 m breaks."""
    xy_m = np.zeros((3, 2, 2), np.float32)
    xy_m[1:, :, 0] = 1.5
    xy_m[2:, 1, 0] = 7.5
    back, ahead = plausible_steps(xy_m, np.array([[0, BALL_TEAM]], np.int8), np.array([0, 3]))
    assert back.T.tolist() == [[0, 0, 1], [0, 1, 0]]
    assert ahead.T.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_steps_when_there_are_no_scenes_then_none() -> None:
    """Rule: nothing in, nothing out."""
    back, ahead = plausible_steps(np.zeros((0, 3, 2), np.float32), np.zeros((0, 3), np.int8), np.zeros(1, np.int64))
    assert back.shape == ahead.shape == (0, 3)
