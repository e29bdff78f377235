"""The defence of a simulated passing play: man or zone, what it shows before the snap and how its players react.

Seven players stand behind four who rush: corners, strong safety, linebackers and, last, the free safety. In man five
of them follow a receiver each; in zone all who do not rush guard a place and whoever comes near it. Neither is pure: in
man some pass their receiver on and guard, in zone some are told to follow one wherever he goes.
"""

from dataclasses import dataclass

import numpy as np

from firmware_sim.arrays import Bools, Floats, Ints
from firmware_sim.plays.offence import Offence

SEVEN = 7
FREE_SAFETY = 6
NO_RECEIVER = -1
_SHELLS = {"cover 2": 0.3, "cover 3": 0.4, "quarters": 0.3}
_MAN_CALLS = {"cover 1": 0.65, "cover 2 man": 0.2, "cover 0": 0.15}
_LOCKED_IN_MATCHING = 0.5
_UNDER_M = {5: (14.0, 7.0, 0.0, -7.0, -14.0), 4: (13.0, 5.0, -5.0, -13.0), 3: (9.0, 0.0, -9.0), 2: (6.0, -6.0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How one team defends: shares 0..1 of its calls, and how fast its players react, in s.

    `man`, `blitz` and `disguise` (showing the other call before the snap) are of all calls; `press` of corners in man,
    `loose` of those who should follow and guard; `locked` of those who should guard and follow; `matching` of zone
    calls in which whoever comes into a zone is followed as in man, and half of the guards follow from the snap.
    """

    man: float
    blitz: float
    disguise: float
    press: float
    matching: float
    loose: float
    locked: float
    reaction_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the seven do, [7] each: follow a `receiver` (0..4 or NO_RECEIVER), rush, or guard `spot` [7,2] m.

    `place` [7,2] m is where they stand for it at the snap; `hold` 0..1 is how much a receiver in a zone draws its
    guard, `matched` whether for good.
    """

    man: bool
    receiver: Ints
    rush: Bools
    deep: Bools
    spot: Floats
    place: Floats
    hold: float
    matched: bool


def draw_habits(rng: np.random.Generator) -> Habits:
    """Draw a team; leagues play man in about a third of passing plays."""
    return Habits(
        man=rng.uniform(0.25, 0.45),
        blitz=rng.uniform(0.1, 0.35),
        disguise=rng.uniform(0.05, 0.25),
        press=rng.uniform(0.2, 0.6),
        matching=rng.uniform(0.2, 0.6),
        loose=rng.uniform(0.05, 0.25),
        locked=rng.uniform(0.1, 0.3),
        reaction_s=rng.uniform(0.25, 0.4),
    )


def seven(offence: Offence) -> tuple[str, ...]:
    """Return the positions of the seven: a corner for each wide receiver, linebackers for the rest."""
    corners = offence.positions.count("WR")
    return ("CB",) * corners + ("SS",) + ("LB",) * (5 - corners) + ("FS",)


def draw_call(habits: Habits, offence: Offence, rng: np.random.Generator, *, man: bool) -> Call:
    """Draw a call of this kind against a formation."""
    return _man(habits, offence, rng) if man else _zone(habits, offence, rng)


def _man(habits: Habits, offence: Offence, rng: np.random.Generator) -> Call:
    """Five follow a receiver; of the two others none, one or both stay deep, the rest rush or help underneath."""
    positions = seven(offence)
    name = str(rng.choice(list(_MAN_CALLS), p=list(_MAN_CALLS.values())))
    strong_safety = positions.index("SS")
    order = [row for row in range(FREE_SAFETY) if name != "cover 2 man" or row != strong_safety]
    spare = strong_safety if name == "cover 2 man" else order.pop()
    receiver = np.full(SEVEN, NO_RECEIVER)
    receiver[order[:5]] = np.arange(5)
    rush, deep = np.zeros(SEVEN, np.bool_), np.zeros(SEVEN, np.bool_)
    rush[spare] = name == "cover 0" or (name == "cover 1" and rng.random() < habits.blitz)
    rush[FREE_SAFETY] = name == "cover 0" and rng.random() < 0.4
    deep[FREE_SAFETY] = not rush[FREE_SAFETY]
    deep[spare] = name == "cover 2 man"
    place = _zone_places(offence, deep, rng, squat=False)
    for row in order[:5]:
        place[row] = _over(offence, int(receiver[row]), positions[row], habits.press, rng)
    spot = place.copy()
    spot[deep] = _deep_spots(deep, place)
    spot[~deep] = np.column_stack([rng.uniform(6.0, 9.0, int((~deep).sum())), place[~deep, 1] * 0.8])
    receiver[rng.random(SEVEN) < habits.loose] = NO_RECEIVER
    return Call(man=True, receiver=receiver, rush=rush, deep=deep, spot=spot, place=place, hold=0.4, matched=False)


def _zone(habits: Habits, offence: Offence, rng: np.random.Generator) -> Call:
    """Deep zones by the shell, the rest share the space underneath from side to side."""
    positions = seven(offence)
    name = str(rng.choice(list(_SHELLS), p=list(_SHELLS.values())))
    deep, rush = np.zeros(SEVEN, np.bool_), np.zeros(SEVEN, np.bool_)
    deep[FREE_SAFETY] = True
    deep[positions.index("SS")] = name in {"cover 2", "quarters"}
    deep[:2] = name in {"cover 3", "quarters"}
    rush[FREE_SAFETY - 1] = rng.random() < habits.blitz
    place = _zone_places(offence, deep, rng, squat=name == "cover 2")
    spot = place.copy()
    spot[deep] = _deep_spots(deep, place)
    under = np.flatnonzero(~deep & ~rush)
    under = under[np.argsort(-place[under, 1])]
    spot[under] = np.column_stack([rng.uniform(6.0, 10.0, len(under)), _UNDER_M[len(under)]])
    matched = bool(rng.random() < habits.matching)
    follow = (rng.random(SEVEN) < (_LOCKED_IN_MATCHING if matched else habits.locked)) & ~rush
    follow[FREE_SAFETY] = False
    nearest = np.linalg.norm(place[:, None] - offence.place, axis=-1).argmin(axis=1)
    return Call(
        man=False,
        receiver=np.where(follow, nearest, NO_RECEIVER),
        rush=rush,
        deep=deep,
        spot=spot + rng.normal(0.0, 1.0, spot.shape),
        place=place,
        hold=rng.uniform(0.8, 0.95) if matched else rng.uniform(0.3, 0.7),
        matched=matched,
    )


def _over(offence: Offence, receiver: int, position: str, press: float, rng: np.random.Generator) -> Floats:
    """Return where who follows a receiver stands: close or off, rather inside."""
    x_m, y_m = offence.place[receiver]
    if position == "LB" or x_m < -3.0:
        return np.array([rng.normal(4.6, 0.7), 0.75 * y_m + rng.normal(0.0, 1.0)])
    depth_m = rng.uniform(1.0, 2.2) if position == "CB" and rng.random() < press else rng.uniform(4.0, 7.5)
    return np.array([depth_m, y_m - np.sign(y_m) * rng.normal(0.5, 0.6)])


def _zone_places(offence: Offence, deep: Bools, rng: np.random.Generator, *, squat: bool) -> Floats:
    """Return places [7,2] by side and depth: corners outside, linebackers inside, safeties by how many are deep."""
    positions = seven(offence)
    place = np.zeros((SEVEN, 2))
    backers = [row for row, position in enumerate(positions) if position == "LB"]
    spread_m = np.linspace(-4.0, 4.0, len(backers)) if len(backers) > 1 else np.zeros(len(backers))
    place[backers] = np.column_stack([rng.normal(4.6, 0.7, len(backers)), spread_m])
    for row in range(positions.count("CB")):
        _, y_m = offence.place[row]
        depth_m = rng.uniform(2.0, 5.0) if squat else rng.uniform(4.5, 8.0)
        place[row] = depth_m, y_m + (np.sign(y_m) * 0.3 if row < 2 else -np.sign(y_m) * 0.8)
    strong_safety, strong = positions.index("SS"), np.sign(offence.place[2, 1])
    both = bool(deep[strong_safety])
    place[strong_safety] = (rng.normal(12.0, 1.2), strong * 8.0) if both else (rng.normal(7.0, 1.2), strong * 6.0)
    place[FREE_SAFETY] = (rng.normal(12.5, 1.2), -strong * 8.0) if both else (rng.normal(13.5, 1.5), 0.0)
    if not deep[FREE_SAFETY]:
        place[FREE_SAFETY] = rng.normal(8.0, 1.0), -strong * 3.0
    return place + rng.normal(0.0, 0.6, place.shape)


def _deep_spots(deep: Bools, place: Floats) -> Floats:
    """Return the middles [d,2] of as many deep zones as there are guards, shared from side to side."""
    rows = np.flatnonzero(deep)
    width_m = 46.0 / max(len(rows), 1)
    middles = (np.arange(len(rows)) + 0.5) * width_m - 23.0
    spots = np.zeros((len(rows), 2))
    spots[np.argsort(place[rows, 1])] = np.column_stack([np.full(len(rows), 15.0), middles])
    return spots
