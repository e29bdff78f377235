"""Where every player wants to be, and how fast: play with the ball, warm-up, sprints and rest."""

from dataclasses import dataclass

import numpy as np

from firmware_sim.arrays import Bools, Floats, Ints
from firmware_sim.ball import NOBODY, Ball
from firmware_sim.motion import Bodies

_PACE_DISTANCE_M = np.array([0.0, 1.5, 4.0, 8.0, 14.0, 22.0, 35.0])
_PACE_MPS = np.array([0.2, 0.8, 1.3, 2.1, 3.4, 5.0, 6.4])
_SPRINT_CYCLE_S = 26.0
_SPRINT_M = 32.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """(n, 2) targets in local metres and (n,) wished speeds."""

    target_m: Floats
    speed_mps: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Fixed facts of both teams of a game, per player: side 0 or 1, formation place, goalkeeper."""

    side: Ints
    place: Floats
    keeper: Floats

    def attack(self) -> Floats:
        """Return (n,) +1 for the side that attacks towards +x, -1 for the other."""
        return np.where(self.side == 0, 1.0, -1.0)


def play(team: Team, bodies: Bodies, ball: Ball, half_m: Floats, running: Bools) -> Intent:
    """Hold the formation around the ball, press it, mark the nearest opponent, run into space."""
    holder = ball.owner if ball.owner != NOBODY else ball.receiver
    leader = holder if holder != NOBODY else ball.last
    attacking = team.side == team.side[leader] if leader != NOBODY else np.zeros(team.side.size, dtype=np.bool_)
    target_m = _formation_targets(team, ball, half_m, attacking)
    target_m = _mark(team, bodies, target_m, attacking)
    distance = np.linalg.norm(target_m - bodies.position_m, axis=1)
    speed = np.interp(distance, _PACE_DISTANCE_M, _PACE_MPS)
    runs = running & attacking & (team.keeper == 0.0)
    target_m[runs, 0] += team.attack()[runs] * 18.0
    speed = np.where(runs, 0.93 * bodies.speed_max_mps, speed)
    target_m = np.clip(target_m, -half_m, half_m)
    _press(team, bodies, ball, attacking=attacking, target_m=target_m, speed_mps=speed)
    if holder != NOBODY:
        _lead(team, bodies, ball, holder=holder, half_m=half_m, target_m=target_m, speed_mps=speed)
    return Intent(target_m=target_m, speed_mps=speed)


def warm_up(half_m: Floats, elapsed_s: float, count: int) -> Intent:
    """Jog laps in a line, a little faster every lap."""
    pace_mps = 1.5 + 0.7 * np.sin(min(elapsed_s / 60.0, 1.0) * 0.5 * np.pi)
    radius_m = 0.75 * half_m
    angle = np.arange(count) * (1.8 / max(float(radius_m.mean()), 1.0)) + 0.3
    angle = angle + elapsed_s * pace_mps / max(float(radius_m.mean()), 1.0)
    target_m = np.stack([radius_m[0] * np.cos(angle), radius_m[1] * np.sin(angle)], axis=1)
    return Intent(target_m=target_m, speed_mps=np.full(count, pace_mps + 0.6))


def sprints(bodies: Bodies, half_m: Floats, elapsed_s: float) -> Intent:
    """Three groups sprint one after the other, then walk back."""
    count = bodies.speed_max_mps.size
    local_s = (elapsed_s + (np.arange(count) % 3) * _SPRINT_CYCLE_S / 3.0) % _SPRINT_CYCLE_S
    reach_m = min(_SPRINT_M, 1.4 * float(half_m[0])) / 2.0
    away = local_s < 6.0
    lane_m = np.linspace(-0.85, 0.85, count) * half_m[1] if count > 1 else np.zeros(1)
    target_m = np.stack([np.where(away, reach_m, -reach_m), lane_m], axis=1)
    return Intent(target_m=target_m, speed_mps=np.where(away, bodies.speed_max_mps, 1.7))


def rest(half_m: Floats, count: int) -> Intent:
    """Walk to the touchline, drink, stand about."""
    along_m = np.linspace(-0.4, 0.4, count) * half_m[0] if count > 1 else np.zeros(1)
    across_m = np.where(np.arange(count) % 2 == 0, -1.0, -0.94) * half_m[1] + 1.0
    return Intent(target_m=np.stack([along_m, across_m], axis=1), speed_mps=np.full(count, 1.4))


def _formation_targets(team: Team, ball: Ball, half_m: Floats, attacking: Bools) -> Floats:
    """Shift the block with the ball; stretch it in possession, tighten it without."""
    attack = team.attack()
    push_m = np.where(attacking, 0.10, -0.10) * half_m[0] * attack
    stretch = np.where(attacking, 1.0, 0.72)
    x_m = 0.55 * ball.position_m[0] + push_m + attack * team.place[:, 0] * 0.52 * half_m[0]
    y_m = 0.35 * ball.position_m[1] + team.place[:, 1] * 0.72 * half_m[1] * stretch
    keeper_x_m = -attack * (half_m[0] - 4.0) + 0.12 * (ball.position_m[0] + attack * half_m[0])
    x_m = np.where(team.keeper > 0.0, keeper_x_m, x_m)
    y_m = np.where(team.keeper > 0.0, 0.12 * ball.position_m[1], y_m)
    return np.stack([x_m, y_m], axis=1)


def _mark(team: Team, bodies: Bodies, target_m: Floats, attacking: Bools) -> Floats:
    """Move defenders half-way from their place to the goal side of the nearest opponent around it."""
    apart = np.linalg.norm(target_m[:, None, :] - bodies.position_m[None, :, :], axis=2)
    apart[team.side[:, None] == team.side[None, :]] = np.inf
    if not np.isfinite(apart).any():
        return target_m
    nearest = np.argmin(apart, axis=1)
    near = (apart[np.arange(nearest.size), nearest] < 10.0) & ~attacking & (team.keeper == 0.0)
    goal_side = bodies.position_m[nearest] - np.stack([team.attack() * 1.8, np.zeros(nearest.size)], axis=1)
    marked: Floats = np.where(near[:, None], 0.45 * target_m + 0.55 * goal_side, target_m)
    return marked


def _press(team: Team, bodies: Bodies, ball: Ball, *, attacking: Bools, target_m: Floats, speed_mps: Floats) -> None:
    """Send the two nearest defenders: one at the ball, one behind him on the way to the goal."""
    defenders = np.flatnonzero(~attacking & (team.keeper == 0.0))
    if defenders.size == 0:
        return
    distance = np.linalg.norm(bodies.position_m[defenders] - ball.position_m, axis=1)
    order = defenders[np.argsort(distance)]
    first = order[0]
    target_m[first] = ball.position_m + ball.velocity_mps * 0.35
    speed_mps[first] = (0.8 if distance.min() < 12.0 else 0.5) * bodies.speed_max_mps[first]
    if order.size > 1:
        second = order[1]
        target_m[second] = ball.position_m - np.array([team.attack()[second] * 6.0, 0.0])
        speed_mps[second] = max(float(speed_mps[second]), 0.55 * float(bodies.speed_max_mps[second]))


def _lead(
    team: Team, bodies: Bodies, ball: Ball, *, holder: int, half_m: Floats, target_m: Floats, speed_mps: Floats
) -> None:
    """Send the owner towards the goal with the ball, or the receiver to meet it."""
    if ball.owner == holder:
        goal_m = np.array([team.attack()[holder] * half_m[0], 0.3 * bodies.position_m[holder, 1]])
        target_m[holder] = goal_m
        speed_mps[holder] = 0.62 * bodies.speed_max_mps[holder]
        return
    gap_m = float(np.linalg.norm(ball.position_m - bodies.position_m[holder]))
    ball_mps = float(np.linalg.norm(ball.velocity_mps))
    meet_s = min(gap_m / max(ball_mps + 4.0, 1.0), 2.0)
    target_m[holder] = ball.position_m + ball.velocity_mps * meet_s
    speed_mps[holder] = (0.85 if ball_mps > 0.5 else 0.45) * bodies.speed_max_mps[holder]
