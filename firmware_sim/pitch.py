"""The pitch, how many games share it, and where each player's place in the formation is."""

from dataclasses import dataclass

import numpy as np

from firmware_sim.arrays import Floats

LENGTH_M = 105.0
WIDTH_M = 68.0
_LARGEST_GAME = 30
_FULL_PITCH = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """The part of the pitch one game uses; local axes have their origin at its centre, the first along its length."""

    centre_x_m: float
    centre_y_m: float
    length_m: float
    width_m: float
    turned: bool

    def to_pitch(self, local_m: Floats) -> Floats:
        """Map (n, 2) local metres to pitch metres with the origin in a corner."""
        turned = local_m[:, ::-1] if self.turned else local_m
        placed: Floats = turned + np.array([self.centre_x_m, self.centre_y_m])
        return placed


@dataclass(frozen=True, slots=True, kw_only=True)
class GamePlan:
    """One game: its area and how many players each of its two teams has."""

    area: Area
    sizes: tuple[int, int]


def plan_games(athletes: int) -> tuple[GamePlan, ...]:
    """Split the squad into games of at most 30 players, each on its part of the pitch."""
    games = -(-athletes // _LARGEST_GAME)
    areas = _areas(games, min(1.0, max(0.4, (athletes / _FULL_PITCH) ** 0.5)))
    shares = [athletes // games + (1 if index < athletes % games else 0) for index in range(games)]
    return tuple(
        GamePlan(area=area, sizes=((share + 1) // 2, share // 2)) for area, share in zip(areas, shares, strict=True)
    )


def team_numbers(plans: tuple[GamePlan, ...]) -> tuple[int, ...]:
    """Return the team of every athlete, in squad order: the first game is 0 and 1, the second 2 and 3."""
    return tuple(2 * game + side for game, plan in enumerate(plans) for side in (0, 1) for _ in range(plan.sizes[side]))


def formation(size: int) -> tuple[Floats, Floats]:
    """Return ((size, 2) places in [-1, 1], own goal to the other's; (size,) 1.0 for the goalkeeper)."""
    keeper = np.zeros(size)
    if size == 0:
        return np.zeros((0, 2)), keeper
    lines = _lines(size)
    places = [(-1.0, 0.0)] if size >= 5 else []
    if places:
        keeper[0] = 1.0
    depths = np.linspace(-0.75, 0.8, len(lines)) if len(lines) > 1 else np.array([0.0])
    for depth, count in zip(depths, lines, strict=True):
        spread = np.linspace(-0.85, 0.85, count) if count > 1 else np.array([0.0])
        places.extend((float(depth), float(across)) for across in spread)
    return np.array(places), keeper


def _lines(size: int) -> list[int]:
    """Split the outfield players into lines, back to front: 10 gives 4-4-2, 4 gives 2-2."""
    outfield = size - 1 if size >= 5 else size
    if outfield <= 2:
        return [outfield]
    if outfield <= 5:
        return [outfield - outfield // 2, outfield // 2]
    front = max(1, round(outfield * 0.2))
    back = (outfield - front + 1) // 2
    return [back, outfield - front - back, front]


def _areas(games: int, scale: float) -> tuple[Area, ...]:
    columns, rows = {1: (1, 1), 2: (2, 1)}.get(games, (2, 2))
    cell_x_m, cell_y_m = LENGTH_M / columns, WIDTH_M / rows
    margin_m = 0.0 if games == 1 else 1.5
    turned = cell_y_m > cell_x_m
    long_m, short_m = (cell_y_m, cell_x_m) if turned else (cell_x_m, cell_y_m)
    return tuple(
        Area(
            centre_x_m=(index % columns + 0.5) * cell_x_m,
            centre_y_m=(index // columns + 0.5) * cell_y_m,
            length_m=(long_m - 2 * margin_m) * scale,
            width_m=(short_m - 2 * margin_m) * scale,
            turned=turned,
        )
        for index in range(games)
    )
