"""The offence of a simulated passing play: who stands where, who runs which route, when the ball is thrown.

Metres from the ball before the snap, the offence running towards +x; rows 0 quarterback, 1 to 5 line, 6 to 10 the
eligible receivers, widest first.
"""

from dataclasses import dataclass

import numpy as np

from firmware_sim.arrays import Bools, Floats

QUARTERBACK, LINE, ELIGIBLE = 0, slice(1, 6), slice(6, 11)
_PERSONNEL = (("WR", "WR", "WR", "TE", "RB"), ("WR", "WR", "TE", "TE", "RB"), ("WR", "WR", "WR", "WR", "RB"))
_PERSONNEL_SHARES = (0.62, 0.25, 0.13)
_ROUTES = {
    "go": (8.0, 0.0, 40.0),
    "slant": (3.0, 45.0, 25.0),
    "out": (6.0, -90.0, 14.0),
    "dig": (11.0, 90.0, 22.0),
    "post": (11.0, 40.0, 25.0),
    "corner": (11.0, -45.0, 22.0),
    "curl": (10.0, 160.0, 2.5),
    "cross": (3.0, 80.0, 28.0),
    "flat": (1.0, -75.0, 14.0),
}
"""Metres straight ahead, then degrees towards the middle of the field, then metres."""
_OF_RECEIVER = ("go", "slant", "out", "dig", "post", "corner", "curl", "cross")
_OF_BACK = ("flat", "flat", "curl", "cross")
_BLOCKING = {"WR": 0.02, "TE": 0.2, "RB": 0.35}
_SPEED_MPS = {"WR": 8.4, "TE": 7.4, "RB": 7.9}
_SIDE_LINE_M = 22.0
_QUICK_SHARE = 0.3
_MOTION_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Offence:
    """One play's plan; arrays are of the five eligible receivers, in m, m/s and s after the snap.

    `ways` [5,2,2] are the ends of both legs of each route; who `blocks` runs none. `mover` goes from `start` to `place`
    in the last seconds before the snap, None where nobody does.
    """

    positions: tuple[str, ...]
    start: Floats
    place: Floats
    ways: Floats
    blocks: Bools
    speed_mps: Floats
    mover: int | None
    drop_m: float
    throw_s: float
    thrown_to: int


def draw_offence(rng: np.random.Generator) -> Offence:
    """Draw personnel, formation, routes and the throw."""
    positions = _PERSONNEL[rng.choice(len(_PERSONNEL), p=_PERSONNEL_SHARES)]
    place = _formation(positions, rng)
    blocks = np.array([rng.random() < _BLOCKING[position] for position in positions])
    blocks[0] = False
    start, mover = place.copy(), None
    if rng.random() < _MOTION_SHARE:
        mover = int(rng.integers(2, 4))
        start[mover, 1] = -place[mover, 1] * rng.uniform(0.7, 1.2)
    quick = rng.random() < _QUICK_SHARE
    return Offence(
        positions=positions,
        start=start,
        place=place,
        ways=np.stack([_route(p, place[i], rng) for i, p in enumerate(positions)]),
        blocks=blocks,
        speed_mps=np.array([_SPEED_MPS[p] for p in positions]) * rng.normal(1.0, 0.04, 5),
        mover=mover,
        drop_m=float(rng.uniform(2.0, 4.0) if quick else rng.uniform(4.5, 8.0)),
        throw_s=float(rng.uniform(1.3, 2.0) if quick else rng.uniform(2.0, 3.8)),
        thrown_to=int(rng.choice(np.flatnonzero(~blocks))),
    )


def _formation(positions: tuple[str, ...], rng: np.random.Generator) -> Floats:
    """Return the places [5,2] at the snap: two wide, inner receivers on either side, a back behind."""
    strong = rng.choice([-1.0, 1.0])
    place = np.zeros((5, 2))
    place[0] = -0.7, strong * rng.uniform(13.0, 18.0)
    place[1] = -0.7, -strong * rng.uniform(13.0, 18.0)
    side = strong if rng.random() < 0.6 else -strong
    for row in (2, 3):
        wide = rng.uniform(6.0, 10.0) if positions[row] == "WR" else rng.uniform(3.8, 5.5)
        place[row] = -1.2, side * wide
        side = -side if rng.random() < 0.7 else side
    if abs(place[2, 1] - place[3, 1]) < 1.5:
        place[3, 1] += np.sign(place[3, 1]) * 2.5
    place[4] = rng.uniform(-6.5, -4.5), rng.uniform(-2.5, 2.5)
    return place


def _route(position: str, place: Floats, rng: np.random.Generator) -> Floats:
    """Return the ends [2,2] of the legs of a route that suits the position."""
    name = str(rng.choice(_OF_BACK if position == "RB" else _OF_RECEIVER))
    stem_m, angle_deg, length_m = _ROUTES[name]
    inwards = -np.sign(place[1]) if abs(place[1]) > 0.1 else 1.0
    angle = np.deg2rad(angle_deg + rng.normal(0.0, 8.0))
    stem = np.array([stem_m * rng.uniform(0.8, 1.3) - min(place[0], 0.0), rng.normal(0.0, 0.8)])
    turn = place + stem
    ways: Floats = np.stack([turn, turn + length_m * np.array([np.cos(angle), inwards * np.sin(angle)])])
    ways[:, 1] = np.clip(ways[:, 1], -_SIDE_LINE_M, _SIDE_LINE_M)
    return ways
