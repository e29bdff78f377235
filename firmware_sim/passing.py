"""What the player on the ball decides: dribble, pass or shoot."""

import numpy as np

from firmware_sim.arrays import Floats, Ints
from firmware_sim.ball import Ball, kick
from firmware_sim.motion import Bodies

_SHOT_M = 20.0
_LEAD_S = 0.8


def decide(ball: Ball, bodies: Bodies, side: Ints, half_m: Floats, rng: np.random.Generator) -> None:
    """Let the owner shoot when near the goal, else pass to the teammate who offers most; alone he keeps dribbling."""
    owner = ball.owner
    attack = 1.0 if side[owner] == 0 else -1.0
    goal_m = np.array([attack * half_m[0], 0.0])
    if float(np.hypot(*(goal_m - bodies.position_m[owner]))) < min(_SHOT_M, 0.35 * half_m[0]):
        _shoot(ball, goal_m, bodies, side, rng)
        return
    mates = np.flatnonzero(side == side[owner])
    mates = mates[mates != owner]
    if mates.size == 0:
        ball.decision_s = 2.0
        return
    chosen = int(mates[np.argmax(_offers(owner, mates, bodies, side, attack) + rng.gumbel(0.0, 0.6, mates.size))])
    lead_m = bodies.position_m[chosen] + bodies.velocity_mps[chosen] * _LEAD_S
    kick(ball, np.clip(lead_m, -half_m + 1.0, half_m - 1.0))
    ball.receiver = chosen


def restart(ball: Ball, position_m: Floats, side: Ints) -> None:
    """Let the nearest player of the team that did not touch the ball last fetch it."""
    distance = np.hypot(position_m[:, 0] - ball.position_m[0], position_m[:, 1] - ball.position_m[1])
    others = side != side[ball.last]
    if others.any():
        distance[~others] = np.inf
    ball.receiver = int(np.argmin(distance))


def _shoot(ball: Ball, goal_m: Floats, bodies: Bodies, side: Ints, rng: np.random.Generator) -> None:
    shooter = ball.owner
    kick(ball, goal_m + np.array([0.0, rng.normal(0.0, 2.5)]), arrive_mps=14.0)
    rivals = np.flatnonzero(side != side[shooter])
    if rivals.size:
        gap = bodies.position_m[rivals] - goal_m
        ball.receiver = int(rivals[np.argmin(np.hypot(gap[:, 0], gap[:, 1]))])


def _offers(owner: int, mates: Ints, bodies: Bodies, side: Ints, attack: float) -> Floats:
    """Score teammates: open, about 15 m away, further forward."""
    rivals = bodies.position_m[side != side[owner]]
    gap = bodies.position_m[mates] - bodies.position_m[owner]
    distance = np.hypot(gap[:, 0], gap[:, 1])
    if rivals.size:
        to_rivals = np.linalg.norm(bodies.position_m[mates][:, None, :] - rivals[None, :, :], axis=2).min(axis=1)
    else:
        to_rivals = np.full(mates.size, 10.0)
    scores: Floats = 0.25 * np.minimum(to_rivals, 8.0) + 0.05 * attack * gap[:, 0] - 0.09 * np.abs(distance - 15.0)
    return scores
