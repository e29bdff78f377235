"""How bodies move: limited acceleration, limited jerk, no two in one place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from firmware_sim.arrays import Floats
from firmware_sim.athlete import AthleteProfile

_RESPONSE_S = 0.45
_JERK_S = 0.2
_BRAKING_MPS2 = 2.5
_PERSONAL_SPACE_M = 1.3


@dataclass(slots=True, kw_only=True)
class Bodies:
    """Positions, velocities and accelerations (n, 2) of one game's players, and their limits (n,)."""

    position_m: Floats
    velocity_mps: Floats
    acceleration_mps2: Floats
    speed_max_mps: Floats
    acceleration_max_mps2: Floats

    @classmethod
    def at(cls, position_m: Floats, profiles: Sequence[AthleteProfile]) -> "Bodies":
        """Stand still at these places."""
        return cls(
            position_m=position_m,
            velocity_mps=np.zeros_like(position_m),
            acceleration_mps2=np.zeros_like(position_m),
            speed_max_mps=np.array([p.speed_max_mps for p in profiles]),
            acceleration_max_mps2=np.array([p.acceleration_max_mps2 for p in profiles]),
        )

    def speed_mps(self) -> Floats:
        """Return (n,) speeds."""
        speed: Floats = np.hypot(self.velocity_mps[:, 0], self.velocity_mps[:, 1])
        return speed

    def forward_mps2(self) -> Floats:
        """Return (n,) accelerations along the direction of movement."""
        along = np.einsum("ij,ij->i", self.acceleration_mps2, self.velocity_mps)
        forward: Floats = along / np.maximum(self.speed_mps(), 0.3)
        return np.clip(forward, -self.acceleration_max_mps2, self.acceleration_max_mps2)


def move(bodies: Bodies, target_m: Floats, speed_mps: Floats, dt_s: float) -> None:
    """Advance the bodies by `dt_s` towards (n, 2) targets at (n,) wished speeds, within each body's limits."""
    wished = _wished_velocity(bodies, target_m, speed_mps)
    pull = _limit((wished - bodies.velocity_mps) / _RESPONSE_S, bodies.acceleration_max_mps2)
    pull = _limit_forward(bodies, pull)
    bodies.acceleration_mps2 = bodies.acceleration_mps2 + (pull - bodies.acceleration_mps2) * min(1.0, dt_s / _JERK_S)
    before = bodies.velocity_mps
    bodies.velocity_mps = _limit(before + bodies.acceleration_mps2 * dt_s, bodies.speed_max_mps)
    bodies.position_m = bodies.position_m + 0.5 * (before + bodies.velocity_mps) * dt_s


def separation(position_m: Floats) -> Floats:
    """Return (n, 2) velocities that keep bodies out of each other's personal space."""
    offset = position_m[:, None, :] - position_m[None, :, :]
    distance = np.sqrt(np.einsum("ijk,ijk->ij", offset, offset))
    np.fill_diagonal(distance, np.inf)
    push = np.maximum(_PERSONAL_SPACE_M - distance, 0.0) * 2.0
    away: Floats = np.einsum("ij,ijk->ik", push / np.maximum(distance, 0.05), offset)
    return away


def _wished_velocity(bodies: Bodies, target_m: Floats, speed_mps: Floats) -> Floats:
    """Head for the target, slow enough to stop on it (v² = 2 a d)."""
    gap = target_m - bodies.position_m
    distance = np.hypot(gap[:, 0], gap[:, 1])
    arriving = np.minimum(speed_mps, np.sqrt(2.0 * _BRAKING_MPS2 * np.maximum(distance - 0.2, 0.0)))
    wished: Floats = gap * (arriving / np.maximum(distance, 1e-6))[:, None] + separation(bodies.position_m)
    return wished


def _limit(vectors: Floats, longest: Floats) -> Floats:
    """Shorten (n, 2) vectors to at most (n,) lengths."""
    length = np.hypot(vectors[:, 0], vectors[:, 1])
    limited: Floats = vectors * np.minimum(1.0, longest / np.maximum(length, 1e-9))[:, None]
    return limited


def _limit_forward(bodies: Bodies, pull: Floats) -> Floats:
    """Let the forward part of an acceleration fade to nothing at top speed, as a runner's force-velocity line does."""
    speed = bodies.speed_mps()
    heading = bodies.velocity_mps / np.maximum(speed, 0.3)[:, None]
    forward = np.einsum("ij,ij->i", pull, heading)
    ceiling = bodies.acceleration_max_mps2 * np.maximum(1.0 - speed / bodies.speed_max_mps, 0.0)
    limited: Floats = pull - heading * np.maximum(forward - ceiling, 0.0)[:, None]
    return limited
