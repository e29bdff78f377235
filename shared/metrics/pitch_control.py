"""Pitch control: the probability that a team controls each place, Fernández & Bornn 2018.

"Wide Open Spaces: a statistical technique for measuring space creation in professional soccer", MIT Sloan Sports
Analytics Conference. Each player's influence is a Gaussian that stretches along his velocity and whose centre lies
where he will be in half a second, relative to its value where he stands; control is the logistic function of the
difference of the two teams' sums. Its width grows with the distance from the ball; the paper gives that curve as a
figure only: here 4 m at the ball, 10 m from 18 m on, in between a third-order curve.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID = (50, 32)
"""Cells along the pitch and across it: about 2 m of a football field."""
MAX_SPEED_MPS = 13.0
"""The paper's: at this speed a Gaussian would have no width across."""
AHEAD_S = 0.5
NEAR_RADIUS_M, FAR_RADIUS_M, FAR_M = 4.0, 10.0, 18.0
# A player's ellipse never gets narrower than at the fastest that anybody runs.
_FASTEST_MPS = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pitch:
    """The field in local metres, x from 0 along it, y from 0 across."""

    length_m: float = 105.0
    width_m: float = 68.0

    def cells(self) -> NDArray[np.float64]:
        """Return the middles of the grid's cells, float64[cells, 2]."""
        along, across = GRID
        x = (np.arange(along) + 0.5) * self.length_m / along
        y = (np.arange(across) + 0.5) * self.width_m / across
        return np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)


def radius_m(ball_distance_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the radius of influence at each distance from the ball."""
    share = np.minimum(ball_distance_m / FAR_M, 1.0) ** 3
    return np.asarray(NEAR_RADIUS_M + (FAR_RADIUS_M - NEAR_RADIUS_M) * share, np.float64)


def influence(
    cells_m: NDArray[np.float64],
    xy_m: NDArray[np.float64],
    velocity_mps: NDArray[np.float64],
    ball_m: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Return each player's influence on each place, float64[players, cells]; 1 where he stands.

    `cells_m` is float64[cells, 2], `xy_m` and `velocity_mps` float64[players, 2], `ball_m` float64[2]; without a ball
    everybody has the widest radius.
    """
    far = np.full(len(xy_m), FAR_M)
    radius = radius_m(far if ball_m is None else np.hypot(*(xy_m - ball_m).T))
    speed = np.hypot(*velocity_mps.T)
    stretch = (np.minimum(speed, _FASTEST_MPS) / MAX_SPEED_MPS) ** 2
    along = 0.5 * radius * (1.0 + stretch)
    across = 0.5 * radius * (1.0 - stretch)
    # A unit vector along the run; one who stands has a circle, whichever way it is turned.
    heading = np.where(speed[:, None] > 0, velocity_mps / np.maximum(speed, 1e-12)[:, None], (1.0, 0.0))
    # The exponent is a polynomial of x and y: one product of matrices for all players and places.
    cos, sin = heading.T
    xx = (cos / along) ** 2 + (sin / across) ** 2
    yy = (sin / along) ** 2 + (cos / across) ** 2
    xy = 2.0 * cos * sin * (1.0 / along**2 - 1.0 / across**2)
    x0, y0 = (xy_m + AHEAD_S * velocity_mps).T
    constant = xx * x0**2 + xy * x0 * y0 + yy * y0**2 - (AHEAD_S * speed / along) ** 2
    weights = np.column_stack((xx, xy, yy, -2 * xx * x0 - xy * y0, -2 * yy * y0 - xy * x0, constant))
    x, y = cells_m.T
    exponent = (-0.5 * weights) @ np.stack((x * x, x * y, y * y, x, y, np.ones(len(x))))
    return np.asarray(np.exp(exponent, out=exponent), np.float64)


def advantage(
    cells_m: NDArray[np.float64],
    xy_m: NDArray[np.float64],
    velocity_mps: NDArray[np.float64],
    team: NDArray[np.int64],
    ball_m: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return team 0's summed influence on each place less team 1's, float64[cells]; `team` int64[players] is 0 or 1."""
    sides = np.where(team == 0, 1.0, -1.0)
    return np.asarray(sides @ influence(cells_m, xy_m, velocity_mps, ball_m), np.float64)


def control(advantages: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability (0..1) that team 0 controls each place; team 1 has the rest."""
    return np.asarray(1.0 / (1.0 + np.exp(-advantages)), np.float64)
