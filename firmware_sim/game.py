"""One game on its part of the pitch: players with reaction times, a ball, and the drill of the moment."""

from collections.abc import Sequence

import numpy as np

from firmware_sim import ball as balls
from firmware_sim import intent as intents
from firmware_sim.arrays import Floats
from firmware_sim.athlete import AthleteProfile
from firmware_sim.ball import NOBODY, Ball
from firmware_sim.intent import Intent, Team
from firmware_sim.motion import Bodies, move
from firmware_sim.passing import decide, restart
from firmware_sim.pitch import GamePlan, formation
from firmware_sim.scenario import Drill, Phase

_RUNS_PER_S = 1.0 / 28.0
_RUN_S = 3.0
_SWAY_M = 1.6
_SWAY_S = 4.0
_POSSESSION_SHARE = 0.55
_CALM = 0.15
_OUTSIDE_M = 1.0


class Game:
    """Steps one game; `bodies` and `ball` are its state in local metres."""

    def __init__(self, plan: GamePlan, profiles: Sequence[AthleteProfile], rng: np.random.Generator) -> None:
        self._rng = rng
        self._half_m = np.array([plan.area.length_m, plan.area.width_m]) / 2.0
        self.area = plan.area
        count = len(profiles)
        places, keepers = zip(*(formation(size) for size in plan.sizes), strict=True)
        side = np.repeat(np.array([0, 1], dtype=np.int64), plan.sizes)
        self._team = Team(side=side, place=np.concatenate(places), keeper=np.concatenate(keepers))
        start = intents.rest(self._half_m, count).target_m + rng.normal(0.0, 0.3, (count, 2))
        self.bodies = Bodies.at(start, profiles)
        self.ball = Ball()
        self._reaction_s = np.array([p.reaction_s for p in profiles])
        self._work_rate = np.array([p.work_rate for p in profiles])
        self._until_react_s = rng.random(count) * self._reaction_s
        self._run_left_s = np.zeros(count)
        self._sway_m = np.zeros((count, 2))
        self._intent = Intent(target_m=start.copy(), speed_mps=np.full(count, 1.0))
        self._drill = Drill.REST

    def step(self, time_s: float, phase: Phase, dt_s: float) -> None:
        """Advance players and ball by `dt_s` in the drill of `phase`."""
        half_m = self._half_m * (_POSSESSION_SHARE if phase.drill is Drill.POSSESSION else 1.0)
        playing = phase.drill in (Drill.MATCH, Drill.POSSESSION)
        if phase.drill is not self._drill:
            self._change(phase.drill, playing=playing)
        self._start_runs(dt_s)
        self._react(self._wish(phase, half_m, time_s), dt_s)
        self._sway_m += -self._sway_m * (dt_s / _SWAY_S)
        self._sway_m += self._rng.normal(0.0, _SWAY_M * np.sqrt(2.0 * dt_s / _SWAY_S), self._sway_m.shape)
        move(self.bodies, self._intent.target_m, self._intent.speed_mps, dt_s)
        self._step_ball(half_m if playing else self._half_m, dt_s, playing=playing)

    def _change(self, drill: Drill, *, playing: bool) -> None:
        self._drill = drill
        self._run_left_s[:] = 0.0
        if self.ball.owner != NOBODY:
            self.ball.last, self.ball.owner = self.ball.owner, NOBODY
        distance = np.linalg.norm(self.bodies.position_m - self.ball.position_m, axis=1)
        self.ball.receiver = int(np.argmin(distance)) if playing else NOBODY

    def _wish(self, phase: Phase, half_m: Floats, time_s: float) -> Intent:
        count = self._reaction_s.size
        elapsed_s = time_s - phase.start_s
        if phase.drill is Drill.WARM_UP:
            return intents.warm_up(half_m, elapsed_s, count)
        if phase.drill is Drill.SPRINTS:
            return intents.sprints(self.bodies, half_m, elapsed_s)
        if phase.drill is Drill.REST:
            return intents.rest(half_m, count)
        return intents.play(self._team, self.bodies, self.ball, half_m, self._run_left_s > 0.0)

    def _react(self, wish: Intent, dt_s: float) -> None:
        """Let each player take up a new intent only when his reaction time has passed."""
        self._until_react_s -= dt_s
        due = self._until_react_s <= 0.0
        self._until_react_s[due] = self._reaction_s[due] * self._rng.uniform(0.7, 1.4, int(due.sum()))
        sway_m = self._sway_m * (_CALM if self._drill is Drill.REST else 1.0)
        target_m = np.clip(wish.target_m + sway_m, -self._half_m - _OUTSIDE_M, self._half_m + _OUTSIDE_M)
        effort = np.where(wish.speed_mps > 1.5, self._work_rate, 1.0)
        speed = np.minimum(wish.speed_mps * effort, self.bodies.speed_max_mps)
        self._intent = Intent(
            target_m=np.where(due[:, None], target_m, self._intent.target_m),
            speed_mps=np.where(due, speed, self._intent.speed_mps),
        )

    def _start_runs(self, dt_s: float) -> None:
        self._run_left_s = np.maximum(self._run_left_s - dt_s, 0.0)
        starts = (self._rng.random(self._run_left_s.size) < _RUNS_PER_S * dt_s) & (self._run_left_s == 0.0)
        self._run_left_s[starts] = _RUN_S * self._rng.uniform(0.5, 1.3, int(starts.sum()))

    def _step_ball(self, half_m: Floats, dt_s: float, *, playing: bool) -> None:
        ball, bodies = self.ball, self.bodies
        if ball.owner != NOBODY:
            balls.carry(ball, bodies.position_m[ball.owner], bodies.velocity_mps[ball.owner], dt_s)
            if ball.decision_s <= 0.0:
                decide(ball, bodies, self._team.side, half_m, self._rng)
        elif balls.roll(ball, self._half_m, dt_s) and playing:
            restart(ball, bodies.position_m, self._team.side)
        if playing:
            balls.contest(ball, bodies.position_m, self._team.side, self._rng, dt_s)
