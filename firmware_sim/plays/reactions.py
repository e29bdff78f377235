"""Where the seven want to be and look at each moment, from what they saw a reaction time ago."""

import numpy as np

from firmware_sim.arrays import Floats, Ints
from firmware_sim.plays.defence import NO_RECEIVER, SEVEN, Call, Habits
from firmware_sim.plays.offence import Offence

_NEAR_M = 7.0
_LANE_M = 8.0
_CUSHION_S = 1.3
_CLOSE_M = 1.0
_SWAY_M, _SWAY_S = 0.7, 1.0
_ANTICIPATED = 0.7
_TURN_RAD_S = 6.0
_FOLLOWS_MOTION = {True: 0.85, False: 0.2}
_WATCHES_RECEIVER = {True: 0.7, False: 0.35}
"""Share of the time in which who follows a receiver, and who guards a zone, looks at one and not at the passer."""
_LOOK_S = 0.7
_NOBODY_M = 1e6


class Reactions:
    """The minds of the seven in one play: `call` is played, `shown` is what they stand for until `rotate_s`."""

    def __init__(
        self, call: Call, shown: Call, offence: Offence, habits: Habits, rng: np.random.Generator, dt_s: float
    ) -> None:
        self._call, self._shown, self._offence, self._rng, self._dt_s = call, shown, offence, rng, dt_s
        delay_s = np.clip(rng.normal(habits.reaction_s, 0.08, SEVEN), 0.15, 0.7)
        self.lag: Ints = np.round(delay_s / dt_s).astype(np.int64)
        """Steps between what happens and what each of the seven sees."""
        self._delay_s = delay_s
        self._rotate_s = np.where(shown is call, 0.0, rng.uniform(-1.0, 0.3, SEVEN))
        self._sway_m = np.zeros((SEVEN, 2))
        self._inside_m = rng.normal(0.5, 0.5, SEVEN)
        self._follows = rng.random() < _FOLLOWS_MOTION[shown.man]
        self._watches = rng.random(SEVEN) < _WATCHES_RECEIVER[shown.man]
        self._shown_man = np.full(SEVEN, shown.man)
        self._mine: Ints = call.receiver.copy()
        """Whom each of the seven follows now."""

    def targets(self, time_s: float, seen_m: Floats, seen_mps: Floats, own_m: Floats) -> Floats:
        """Return where the seven want to be, [7,2] m, at `time_s` after the snap.

        `seen_m` and `seen_mps` [7,5,2] are receivers as each of the seven sees them, `own_m` [7,2] where they are.
        """
        noise = self._rng.normal(0.0, _SWAY_M * np.sqrt(2.0 * self._dt_s / _SWAY_S), (SEVEN, 2))
        self._sway_m += noise - self._sway_m * (self._dt_s / _SWAY_S)
        before = self._before(time_s, seen_m)
        after = self._after(max(time_s, 0.0), seen_m, seen_mps, own_m)
        started = (time_s > self._delay_s * 0.6)[:, None]
        return np.where(started, after, before if time_s < 0.3 else own_m) + self._sway_m * (1.0 if time_s > 0 else 0.3)

    def facing(self, time_s: float, seen_m: Floats, own_m: Floats, own_mps: Floats, passer_m: Floats) -> Floats:
        """Return where the seven would look, as directions [7,2] from where they are."""
        mine = np.where(self._mine == NO_RECEIVER, np.argmin(_apart(seen_m, own_m[:, None]), axis=1), self._mine)
        receiver = seen_m[np.arange(SEVEN), mine] - own_m
        passer = passer_m - own_m
        follows = (self._mine != NO_RECEIVER) & ~self._offence.blocks[mine]
        share = np.where(follows if time_s > 0.0 else self._shown_man, *_WATCHES_RECEIVER.values())
        again = self._rng.random(SEVEN) < self._dt_s / _LOOK_S
        self._watches = np.where(again, self._rng.random(SEVEN) < share, self._watches)
        looks = np.where(self._watches[:, None], receiver, passer)
        running = (np.hypot(*own_mps.T) > 5.0) & follows & (time_s > 0.5)
        return np.where(running[:, None], own_mps, looks)

    def _before(self, time_s: float, seen_m: Floats) -> Floats:
        """Return the places [7,2] of what is shown, or called for who has given that up; motion moves some along."""
        place = np.where((time_s >= self._rotate_s)[:, None], self._call.place, self._shown.place)
        mover = self._offence.mover
        if mover is None:
            return place
        off_m = seen_m[:, mover] - self._offence.place[mover]
        follower = self._shown.receiver == mover if self._shown.man else np.arange(SEVEN) == mover
        share = np.where(follower, 1.0 if self._follows else 0.0, 0.08)
        place[:, 1] += share * off_m[:, 1]
        return place

    def _after(self, time_s: float, seen_m: Floats, seen_mps: Floats, own_m: Floats) -> Floats:
        guarded = self._guard(seen_m)
        rows, mine = np.arange(SEVEN), np.maximum(self._mine, 0)
        ahead = seen_m[rows, mine] + seen_mps[rows, mine] * (self._delay_s * _ANTICIPATED)[:, None]
        cushion_m = _CLOSE_M + np.maximum(self._call.place[:, 0] - _CLOSE_M, 0.0) * np.exp(-time_s / _CUSHION_S)
        follow = ahead + np.column_stack([cushion_m, -np.sign(ahead[:, 1]) * self._inside_m])
        # Whose receiver stays to block waits for him in front of the line, as a guard underneath does.
        waiting = self._offence.blocks[mine]
        wait = np.column_stack([np.full(SEVEN, 4.0), own_m[:, 1]])
        follow = np.where(waiting[:, None], wait, follow)
        return np.where((self._mine == NO_RECEIVER)[:, None], guarded, follow)

    def _guard(self, seen_m: Floats) -> Floats:
        """Return places [7,2] between each zone's middle and the receiver in it that counts most there."""
        call = self._call
        runs = ~self._offence.blocks
        to_spot = _apart(seen_m, call.spot[:, None])
        in_lane = np.abs(seen_m[..., 1] - call.spot[:, None, 1]) < _LANE_M
        depth = np.where(in_lane & runs & (seen_m[..., 0] > 5.0), seen_m[..., 0], -_NOBODY_M)
        near = np.where(runs & (to_spot < _NEAR_M) & (seen_m[..., 0] > 1.0), to_spot, _NOBODY_M)
        chosen = np.where(call.deep, np.argmax(depth, axis=1), np.argmin(near, axis=1))
        rows = np.arange(SEVEN)
        there = np.where(call.deep, depth[rows, chosen] > 0.0, near[rows, chosen] < _NOBODY_M)
        threat = seen_m[rows, chosen] + np.where(call.deep, 2.5, 1.0)[:, None] * (1.0, 0.0)
        hold = np.where(there, call.hold, 0.0)[:, None]
        if call.matched:
            taken = there & (self._mine == NO_RECEIVER) & (seen_m[rows, chosen][:, 0] > 4.0) & ~call.rush
            self._mine[taken] = chosen[taken]
        guarded: Floats = (1.0 - hold) * call.spot + hold * threat
        # Nobody may get behind a deep guard.
        deepest = np.where(there, seen_m[rows, chosen, 0] + 2.0, 0.0)
        guarded[:, 0] = np.where(call.deep, np.maximum(guarded[:, 0], deepest), guarded[:, 0])
        return guarded


def turned(facing: Floats, towards: Floats, dt_s: float) -> Floats:
    """Return angles [n] a step of turning nearer to directions [n,2]."""
    gap = np.angle(np.exp(1j * (np.arctan2(towards[:, 1], towards[:, 0]) - facing)))
    most = _TURN_RAD_S * dt_s
    return np.asarray(facing + np.clip(gap, -most, most))


def _apart(one_m: Floats, other_m: Floats) -> Floats:
    gap = one_m - other_m
    return np.asarray(np.hypot(gap[..., 0], gap[..., 1]))
