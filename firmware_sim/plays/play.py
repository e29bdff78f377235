"""One simulated passing play with a known call: twenty-two bodies and a ball from before the snap to the end."""

from dataclasses import dataclass

import numpy as np

from firmware_sim.arrays import Floats
from firmware_sim.motion import Bodies, move
from firmware_sim.plays.defence import SEVEN, Call, Habits, draw_call, seven
from firmware_sim.plays.offence import ELIGIBLE, LINE, QUARTERBACK, Offence, draw_offence
from firmware_sim.plays.reactions import Reactions, turned

RATE_HZ = 10
_DT_S = 1.0 / RATE_HZ
_BEFORE_S = 2.0
_PLAYERS = 22
_RUSH, _SEVEN = slice(11, 15), slice(15, 22)
_FRONT, _RUSHERS = ("QB", "T", "G", "C", "G", "T"), ("DE", "DT", "DT", "DE")
_BALL_MPS = 20.0
_WALK_MPS, _MOTION_MPS, _BACKPEDAL_MPS = 2.5, 4.0, 5.5
_FACING_NOISE_RAD, _FACING_HABIT_RAD = 0.2, 0.15
_TRACKED_M = 0.03
_NEAR_BALL_M = 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """F frames at 10 Hz of 22 players (offence first) and the ball, last; the offence runs towards +x.

    `position_m` [F,23,2] from the ball before the snap, `velocity_mps` [F,23,2], `facing_rad` [F,22] anticlockwise from
    +x, as tracking with its noise states them. `snap`, `thrown`, `arrived` are frames; `man` is what was called.
    """

    man: bool
    positions: tuple[str, ...]
    position_m: Floats
    velocity_mps: Floats
    facing_rad: Floats
    snap: int
    thrown: int
    arrived: int


def simulate_play(habits: Habits, rng: np.random.Generator, *, man: bool | None = None) -> Play:
    """Draw a play against a defence of these habits and run it; without `man` the habits decide."""
    offence = draw_offence(rng)
    called = bool(rng.random() < habits.man) if man is None else man
    call = draw_call(habits, offence, rng, man=called)
    shown = draw_call(habits, offence, rng, man=not called) if rng.random() < habits.disguise else call
    return _Running(offence, call, shown, habits, rng).run()


class _Running:
    """The state of a play while it runs."""

    def __init__(self, offence: Offence, call: Call, shown: Call, habits: Habits, rng: np.random.Generator) -> None:
        self._offence, self._call, self._rng = offence, call, rng
        self._minds = Reactions(call, shown, offence, habits, rng, _DT_S)
        start = self._start(shown)
        top = np.concatenate([[7.5], rng.normal(6.2, 0.3, 5), offence.speed_mps, rng.normal(7.0, 0.4, 4)])
        backs = np.array([{"CB": 8.6, "SS": 8.3, "FS": 8.4, "LB": 7.6}[name] for name in seven(offence)])
        self._top = np.concatenate([top, backs * rng.normal(1.0, 0.03, SEVEN)])
        self._bodies = Bodies(
            position_m=start,
            velocity_mps=np.zeros_like(start),
            acceleration_mps2=np.zeros_like(start),
            speed_max_mps=self._top,
            acceleration_max_mps2=rng.normal(6.0, 0.4, _PLAYERS),
        )
        self._facing = np.where(np.arange(_PLAYERS) < 11, 0.0, np.pi)
        self._leg = np.zeros(5, np.int64)
        self._pass: tuple[int, int, Floats, Floats] | None = None
        self._positions: list[Floats] = []
        self._velocities: list[Floats] = []

    def run(self) -> Play:
        """Step until some time after the pass has arrived."""
        snap = round(_BEFORE_S * RATE_HZ)
        throw = snap + round(self._offence.throw_s * RATE_HZ)
        balls, facings, frame, arrived, end = [], [], 0, throw, throw + 1
        while frame <= end:
            time_s = (frame - snap) / RATE_HZ
            self._positions.append(self._bodies.position_m.copy())
            self._velocities.append(self._bodies.velocity_mps.copy())
            facings.append(self._facing.copy())
            if frame == throw:
                arrived = self._throw(frame)
                end = arrived + round(self._rng.uniform(0.5, 1.2) * RATE_HZ)
            balls.append(self._ball(frame, snap))
            self._step(frame, time_s)
            frame += 1
        return self._tracked(np.stack(balls), np.stack(facings), snap, throw, arrived)

    def _start(self, shown: Call) -> Floats:
        rng = self._rng
        line = np.column_stack([rng.normal(-1.0, 0.15, 5), np.linspace(-2.8, 2.8, 5)])
        rush = np.column_stack([rng.normal(1.0, 0.2, 4), (-4.2, -1.3, 1.3, 4.2)])
        passer = np.array([[-rng.choice([1.2, 4.6]), 0.0]])
        return np.concatenate([passer, line, self._offence.start, rush, shown.place]) + rng.normal(0, 0.15, (22, 2))

    def _step(self, frame: int, time_s: float) -> None:
        bodies = self._bodies
        target, speed = bodies.position_m.copy(), np.full(_PLAYERS, _WALK_MPS)
        self._offence_step(target, speed, time_s)
        seen = np.maximum(frame - self._minds.lag, 0)
        seen_m = np.stack([self._positions[row][ELIGIBLE] for row in seen])
        seen_mps = np.stack([self._velocities[row][ELIGIBLE] for row in seen])
        own = bodies.position_m[_SEVEN]
        target[_SEVEN] = self._minds.targets(time_s, seen_m, seen_mps, own)
        passer = bodies.position_m[QUARTERBACK]
        if time_s > 0.0:
            gap = np.hypot(*(target[_SEVEN] - own).T)
            speed[_SEVEN] = np.where(gap > 3.0, self._top[_SEVEN], np.minimum(_BACKPEDAL_MPS, 1.5 + 2.0 * gap))
            rushing = np.concatenate([np.ones(4, np.bool_), self._call.rush])
            target[11:][rushing], speed[11:][rushing] = passer, 0.75 * self._top[11:][rushing]
        self._chase_ball(frame, target, speed)
        looks = bodies.velocity_mps.copy()
        still = np.hypot(*looks.T) < 1.0
        looks[still] = np.where(np.arange(_PLAYERS) < 11, 1.0, -1.0)[still, None] * (1.0, 0.0)
        looks[_SEVEN] = self._minds.facing(time_s, seen_m, own, bodies.velocity_mps[_SEVEN], passer)
        looks[QUARTERBACK] = (1.0, 0.0)
        self._facing = turned(self._facing, looks, _DT_S)
        move(bodies, target, speed, _DT_S)

    def _offence_step(self, target: Floats, speed: Floats, time_s: float) -> None:
        plan = self._offence
        if time_s < 0.0:
            if plan.mover is not None and time_s > -1.8:
                target[ELIGIBLE][plan.mover] = plan.place[plan.mover]
                speed[ELIGIBLE][plan.mover] = _MOTION_MPS
            return
        target[QUARTERBACK] = (-plan.drop_m, 0.0)
        speed[QUARTERBACK] = 4.5
        target[LINE] = self._positions[0][LINE] - (2.2, 0.0)
        here, rows = self._bodies.position_m[ELIGIBLE], np.arange(5)
        self._leg[np.hypot(*(plan.ways[rows, 0] - here).T) < 1.2] = 1
        target[ELIGIBLE] = np.where(plan.blocks[:, None], plan.place, plan.ways[rows, self._leg])
        speed[ELIGIBLE] = np.where(plan.blocks, 1.5, 0.93 * plan.speed_mps)

    def _throw(self, frame: int) -> int:
        """Throw at where the receiver will be; return the frame in which the ball gets there."""
        bodies, plan = self._bodies, self._offence
        start, receiver = bodies.position_m[QUARTERBACK].copy(), ELIGIBLE.start + plan.thrown_to
        place = bodies.position_m[receiver]
        for _ in range(3):
            air_s = float(np.hypot(*(place - start))) / _BALL_MPS
            place = bodies.position_m[receiver] + bodies.velocity_mps[receiver] * air_s
        arrived = frame + max(3, round(air_s * RATE_HZ))
        self._pass = (frame, arrived, start, place)
        return arrived

    def _chase_ball(self, frame: int, target: Floats, speed: Floats) -> None:
        if self._pass is None:
            return
        thrown, _, _, place = self._pass
        receiver = ELIGIBLE.start + self._offence.thrown_to
        target[receiver], speed[receiver] = place, self._top[receiver]
        seen = frame - thrown >= self._minds.lag
        near = np.hypot(*(place - self._bodies.position_m[_SEVEN]).T) < _NEAR_BALL_M
        target[_SEVEN][seen & near], speed[_SEVEN][seen & near] = place, self._top[_SEVEN][seen & near]

    def _ball(self, frame: int, snap: int) -> Floats:
        bodies = self._bodies
        if frame < snap:
            return np.zeros(2)
        if self._pass is None:
            back = bodies.position_m[QUARTERBACK]
            return np.asarray(back * min(1.0, (frame - snap) / 4.0))
        thrown, arrived, start, place = self._pass
        if frame <= arrived:
            return np.asarray(start + (place - start) * (frame - thrown) / (arrived - thrown))
        return np.asarray(bodies.position_m[ELIGIBLE.start + self._offence.thrown_to])

    def _tracked(self, balls: Floats, facings: Floats, snap: int, throw: int, arrived: int) -> Play:
        """Return the play as tracking states it."""
        rng, frames = self._rng, len(balls)
        position = np.concatenate([np.stack(self._positions), balls[:, None]], axis=1)
        velocity = np.gradient(position, _DT_S, axis=0)
        velocity[:, :_PLAYERS] = np.stack(self._velocities)
        habit = rng.normal(0.0, _FACING_HABIT_RAD, _PLAYERS)
        return Play(
            man=self._call.man,
            positions=(*_FRONT, *self._offence.positions, *_RUSHERS, *seven(self._offence)),
            position_m=position + rng.normal(0.0, _TRACKED_M, position.shape),
            velocity_mps=velocity + rng.normal(0.0, 0.1, position.shape),
            facing_rad=facings + habit + rng.normal(0.0, _FACING_NOISE_RAD, (frames, _PLAYERS)),
            snap=snap,
            thrown=throw,
            arrived=arrived,
        )
