"""A whole simulated squad: games side by side, hearts that follow the movement, sensors on everybody."""

from dataclasses import dataclass

import numpy as np

from firmware_sim.arrays import Floats
from firmware_sim.athlete import MAX_ATHLETES, AthleteProfile, make_athletes
from firmware_sim.game import Game
from firmware_sim.heart import Hearts
from firmware_sim.pitch import plan_games, team_numbers
from firmware_sim.roster import BALL_TAG, make_roster, strap_address, tag_id
from firmware_sim.scenario import Plan
from firmware_sim.session import Step
from shared.errors import ConfigError

_MAX_RATE_HZ = 50
_TAG_NOISE_M = 0.03
_TAG_NOISE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueMotion:
    """What the athletes really do, without sensor noise: (athletes,) each."""

    speed_mps: Floats
    acceleration_mps2: Floats


def squad_profiles(athletes: int, seed: int) -> tuple[AthleteProfile, ...]:
    """Return the squad of `athletes` and `seed`.

    Raises: ConfigError when the number of athletes is not 1..100.
    """
    if not 1 <= athletes <= MAX_ATHLETES:
        raise ConfigError("--athletes", f"{athletes} is not between 1 and {MAX_ATHLETES}")
    return make_athletes(seed, team_numbers(plan_games(athletes)))


class SimulatedSession:
    """A Session drawn from a seed; the first game's ball wears a tag, those of other games do not."""

    def __init__(self, *, athletes: int, seed: int, rate_hz: int = 10) -> None:
        if not 1 <= rate_hz <= _MAX_RATE_HZ:
            raise ConfigError("--rate-hz", f"{rate_hz} is not between 1 and {_MAX_RATE_HZ}")
        self.profiles = squad_profiles(athletes, seed)
        self.rate_hz = rate_hz
        self.roster = make_roster(self.profiles)
        self.tags = (*(tag_id(i) for i in range(athletes)), BALL_TAG)
        self.straps = tuple(strap_address(i) for i in range(athletes))
        plans = plan_games(athletes)
        streams = np.random.SeedSequence(entropy=seed, spawn_key=(3,)).spawn(len(plans) + 2)
        self._rng = np.random.default_rng(streams[-1])
        self._hearts = Hearts(self.profiles, np.random.default_rng(streams[-2]))
        self._plan = Plan(seed)
        self._games: list[Game] = []
        first = 0
        for plan, stream in zip(plans, streams, strict=False):
            members = self.profiles[first : first + sum(plan.sizes)]
            self._games.append(Game(plan, members, np.random.default_rng(stream)))
            first += len(members)
        self._noise_m = np.zeros((athletes + 1, 2))
        self._steps = 0

    def motion(self) -> TrueMotion:
        """Return how fast everybody moves now."""
        return TrueMotion(
            speed_mps=np.concatenate([game.bodies.speed_mps() for game in self._games]),
            acceleration_mps2=np.concatenate([game.bodies.forward_mps2() for game in self._games]),
        )

    def step(self) -> Step:
        """Advance the squad by 1 / rate_hz seconds."""
        dt_s = 1.0 / self.rate_hz
        self._steps += 1
        time_s = self._steps * dt_s
        phase = self._plan.at(time_s)
        for game in self._games:
            game.step(time_s, phase, dt_s)
        motion = self.motion()
        beats = self._hearts.step(motion.speed_mps, motion.acceleration_mps2, dt_s)
        seen_m = self._positions_m(dt_s)
        return Step(time_s=time_s, x_m=seen_m[:, 0], y_m=seen_m[:, 1], bpm=self._hearts.shown_bpm(), beats_1024=beats)

    def _positions_m(self, dt_s: float) -> Floats:
        """Return what the tags report: true places plus slowly wandering error, as a filtered UWB fix has."""
        self._noise_m += -self._noise_m * (dt_s / _TAG_NOISE_S)
        self._noise_m += self._rng.normal(0.0, _TAG_NOISE_M * np.sqrt(2.0 * dt_s / _TAG_NOISE_S), self._noise_m.shape)
        places = [game.area.to_pitch(game.bodies.position_m) for game in self._games]
        first = self._games[0]
        places.append(first.area.to_pitch(first.ball.position_m[None, :]))
        seen: Floats = np.concatenate(places) + self._noise_m
        return seen
