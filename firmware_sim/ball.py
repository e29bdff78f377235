"""The ball: carried, passed, intercepted, won; it rolls and slows and never jumps."""

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.arrays import Floats, Ints

NOBODY = -1
_CONTROL_M = 1.1
_ROLLING_PER_S = 0.45
_TACKLE_M = 1.2
_TACKLES_PER_S = 0.35
_INTERCEPTIONS_PER_S = 3.0
_CONTROLLABLE_MPS = 7.0


def _origin() -> Floats:
    return np.zeros(2)


@dataclass(slots=True, kw_only=True)
class Ball:
    """Where the ball is, who has it (`owner`), who is meant to get it (`receiver`), who had it (`last`)."""

    position_m: Floats = field(default_factory=_origin)
    velocity_mps: Floats = field(default_factory=_origin)
    owner: int = NOBODY
    receiver: int = NOBODY
    last: int = NOBODY
    decision_s: float = 0.0
    flight_s: float = 0.0


def carry(ball: Ball, position_m: Floats, velocity_mps: Floats, dt_s: float) -> None:
    """Keep the ball at its owner's feet, a little ahead."""
    speed = float(np.hypot(*velocity_mps))
    ahead = velocity_mps / speed * min(0.8, 0.3 + 0.1 * speed) if speed > 0.5 else np.zeros(2)
    before = ball.position_m
    ball.position_m = before + (position_m + ahead - before) * min(1.0, dt_s * 7.0)
    ball.velocity_mps = (ball.position_m - before) / dt_s
    ball.decision_s -= dt_s


def roll(ball: Ball, half_m: Floats, dt_s: float) -> bool:
    """Let a free ball roll; it stops on the line. Return True when it just went out of play."""
    ball.flight_s += dt_s
    ball.velocity_mps = ball.velocity_mps * np.exp(-_ROLLING_PER_S * dt_s)
    wanted = ball.position_m + ball.velocity_mps * dt_s
    line_m = np.maximum(half_m, np.abs(ball.position_m))
    ball.position_m = np.clip(wanted, -line_m, line_m)
    out = bool(np.any(wanted != ball.position_m))
    if out:
        ball.velocity_mps = np.zeros(2)
    return out


def kick(ball: Ball, to_m: Floats, arrive_mps: float = 4.0) -> None:
    """Send the ball to a place so that it arrives there at about `arrive_mps`; at most 26 m/s off the foot."""
    gap = to_m - ball.position_m
    distance = float(np.hypot(*gap))
    speed = min(26.0, arrive_mps + _ROLLING_PER_S * distance + 2.0)
    ball.velocity_mps = gap / max(distance, 0.1) * speed
    ball.last, ball.owner, ball.flight_s = ball.owner, NOBODY, 0.0


def take(ball: Ball, player: int, rng: np.random.Generator) -> None:
    """Give the ball to a player, who will decide what to do with it in a second or two."""
    ball.owner, ball.receiver, ball.last = player, NOBODY, player
    ball.decision_s = float(rng.gamma(3.0, 0.55))


def contest(ball: Ball, position_m: Floats, side: Ints, rng: np.random.Generator, dt_s: float) -> None:
    """Settle who gets a free ball near feet, and whether an owner is tackled."""
    distance = np.hypot(position_m[:, 0] - ball.position_m[0], position_m[:, 1] - ball.position_m[1])
    if ball.owner != NOBODY:
        distance[side == side[ball.owner]] = np.inf
        rival = int(np.argmin(distance))
        if distance[rival] < _TACKLE_M and rng.random() < _TACKLES_PER_S * dt_s:
            take(ball, rival, rng)
        return
    if ball.flight_s < 0.25:
        return
    nearest = int(np.argmin(distance))
    if distance[nearest] > _CONTROL_M:
        return
    slow = float(np.hypot(*ball.velocity_mps)) < _CONTROLLABLE_MPS
    if nearest == ball.receiver or slow or rng.random() < _INTERCEPTIONS_PER_S * dt_s:
        take(ball, nearest, rng)
