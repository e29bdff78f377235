"""Pitch control: what must hold of it, and the paper's formulas written out once more."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.metrics.pitch_control import Pitch, advantage, influence, radius_m
from shared.metrics.pitch_control import control as probability

PITCH = Pitch()
CELLS = PITCH.cells()


def control(*moment: Any) -> NDArray[np.float64]:
    """Return the probability of control straight from a moment."""
    return probability(advantage(*moment))


def game(seed: int, players: int = 22) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Return places, velocities and teams."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform((0, 0), (105, 68), (players, 2))
    return xy, rng.normal(0, 3, (players, 2)), np.arange(players) % 2


def written_out(place: NDArray[np.float64], at: NDArray[np.float64], v: NDArray[np.float64], ball_m: float) -> float:
    """Return one player's influence on one place by the paper's matrices."""
    radius = 4 + 6 * min(ball_m / 18, 1) ** 3
    speed = math.hypot(*v)
    ratio = speed**2 / 13**2
    angle = math.atan2(v[1], v[0])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    scale = np.diag([(radius + radius * ratio) / 2, (radius - radius * ratio) / 2])
    covariance = turn @ scale @ scale @ np.linalg.inv(turn)
    middle = at + 0.5 * v

    def density(point: NDArray[np.float64]) -> float:
        off = point - middle
        return float(np.exp(-0.5 * off @ np.linalg.inv(covariance) @ off)) / math.sqrt(
            (2 * math.pi) ** 2 * np.linalg.det(covariance)
        )

    return density(place) / density(at)


def test_influence_when_written_out_with_matrices_then_the_same() -> None:
    """Rule: Σ = R S S R⁻¹, μ = p + v/2, relative to the density where the player stands (seed 2)."""
    xy, velocity, _ = game(2)
    ball = np.array([50.0, 30.0])
    found = influence(CELLS, xy, velocity, ball)
    for player in range(len(xy)):
        for cell in range(0, len(CELLS), 97):
            wanted = written_out(
                CELLS[cell], xy[player], velocity[player], math.dist(xy[player].tolist(), ball.tolist())
            )
            assert found[player, cell] == pytest.approx(wanted, rel=1e-9, abs=1e-300)


def test_control_when_written_out_then_the_logistic_of_the_difference() -> None:
    """Rule: σ(own − opponents'), summed player by player."""
    xy, velocity, team = game(3)
    ball = np.array([20.0, 60.0])
    found = control(CELLS, xy, velocity, team, ball)
    for cell in range(0, len(CELLS), 131):
        total = sum(
            (1 if side == 0 else -1) * written_out(CELLS[cell], p, v, math.dist(p.tolist(), ball.tolist()))
            for p, v, side in zip(xy, velocity, team, strict=True)
        )
        assert found[cell] == pytest.approx(1 / (1 + math.exp(-total)), rel=1e-9)


def test_control_when_teams_are_swapped_then_it_is_the_rest() -> None:
    """Rule: both teams' control sums to 1 everywhere."""
    xy, velocity, team = game(4)
    for ball in (None, np.array([50.0, 30.0])):
        own, theirs = (control(CELLS, xy, velocity, sides, ball) for sides in (team, 1 - team))
        np.testing.assert_allclose(own + theirs, 1.0, rtol=1e-12)


def test_control_when_the_game_is_mirrored_then_shared_evenly() -> None:
    """Rule: symmetric: opponents mirrored at the halfway line control the mirrored places, half of the pitch each."""
    rng = np.random.default_rng(5)
    home, run = rng.uniform((0, 0), (105, 68), (11, 2)), rng.normal(0, 3, (11, 2))
    away, back = (105, 0) + home * (-1, 1), run * (-1, 1)
    team = np.repeat((0, 1), 11)
    share = control(CELLS, np.vstack((home, away)), np.vstack((run, back)), team).reshape(50, 32)
    np.testing.assert_allclose(share, 1.0 - share[::-1], atol=1e-12)
    assert share.mean() == pytest.approx(0.5)


def test_control_when_a_player_comes_nearer_then_it_grows_there() -> None:
    """Rule: monotone: the nearer a standing player, the more his team controls a place."""
    place = np.array([[60.0, 34.0]])
    others, still, team = np.array([[70.0, 34.0], [30.0, 10.0]]), np.zeros((3, 2)), np.array([0, 1, 1])
    found = [
        control(place, np.vstack(((60.0 - away, 34.0), others)), still, team)[0] for away in (30.0, 12.0, 6.0, 2.0, 0.0)
    ]
    assert all(less < more for less, more in pairwise(found))


def test_control_when_a_player_runs_then_ahead_of_him_more_than_behind() -> None:
    """Rule: influence stretches along the run."""
    places = np.array([[56.0, 34.0], [44.0, 34.0]])
    ahead, behind = influence(places, np.array([[50.0, 34.0]]), np.array([[7.0, 0.0]]), None)[0]
    assert ahead > 2 * behind


def test_radius_when_near_the_ball_or_far_then_four_to_ten_metres() -> None:
    """Rule: 4 m at the ball, 10 m from 18 m on, growing between."""
    found = radius_m(np.array([0.0, 9.0, 18.0, 60.0]))
    assert found == pytest.approx([4.0, 4.75, 10.0, 10.0])


def test_cells_when_made_then_middles_of_a_grid_over_the_pitch() -> None:
    """Rule: 50 x 32 equal cells."""
    assert CELLS.shape == (1600, 2)
    assert CELLS.mean(axis=0) == pytest.approx((52.5, 34.0))
    assert (CELLS.min(axis=0), CELLS.max(axis=0)) == (pytest.approx((1.05, 1.0625)), pytest.approx((103.95, 66.9375)))
