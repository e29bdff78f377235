"""Heart rate that follows the work: metabolic power in, beats out."""

from collections.abc import Sequence

import numpy as np

from firmware_sim.arrays import Floats
from firmware_sim.athlete import AthleteProfile

GRAVITY_MPS2 = 9.81
RR_UNITS_PER_S = 1024
_JOULES_PER_ML_O2 = 20.9
_POWER_SMOOTHING_S = 6.0
_STANDING_W_KG = 1.5
_FATIGUE_S = 3600.0
_TERRAIN = 1.29


def metabolic_power(speed_mps: Floats, acceleration_mps2: Floats) -> Floats:
    """Return W/kg of running at this speed and forward acceleration.

    Equivalent-slope model: di Prampero et al. 2005 (J Exp Biol 208:2809), KT 1.29 after Osgnach et al. 2010.
    """
    slope = np.clip(acceleration_mps2 / GRAVITY_MPS2, -0.45, 0.45)
    mass = np.sqrt(1.0 + (acceleration_mps2 / GRAVITY_MPS2) ** 2)
    cost = 155.4 * slope**5 - 30.4 * slope**4 - 43.3 * slope**3 + 46.3 * slope**2 + 19.5 * slope + 3.6
    power: Floats = np.maximum(cost, 0.0) * mass * _TERRAIN * speed_mps
    return power


class Hearts:
    """The hearts of a squad, stepped together; state is bpm, smoothed power, fatigue and the phase of the next beat."""

    def __init__(self, profiles: Sequence[AthleteProfile], rng: np.random.Generator) -> None:
        self._rng = rng
        self._rest = np.array([p.hr_rest_bpm for p in profiles], dtype=np.float64)
        self._max = np.array([p.hr_max_bpm for p in profiles], dtype=np.float64)
        self._tau_on_s = np.array([p.tau_on_s for p in profiles])
        self._tau_off_s = np.array([p.tau_off_s for p in profiles])
        self._aerobic_w_kg = np.array([p.vo2max_ml_kg_min for p in profiles]) / 60.0 * _JOULES_PER_ML_O2
        self.bpm: Floats = self._rest + 0.18 * (self._max - self._rest)
        self._power_w_kg = np.full(len(profiles), _STANDING_W_KG)
        self._fatigue = np.zeros(len(profiles))
        self._noise_bpm = np.zeros(len(profiles))
        self._rr_s = 60.0 / self.bpm
        self._next_beat_s = self._rr_s * rng.random(len(profiles))
        self._breath = rng.random(len(profiles)) * 2.0 * np.pi
        self._count = len(profiles)

    def step(self, speed_mps: Floats, acceleration_mps2: Floats, dt_s: float) -> tuple[tuple[int, ...], ...]:
        """Advance by `dt_s`; return per athlete the RR intervals (1/1024 s) of the beats that ended, oldest first."""
        power = _STANDING_W_KG + metabolic_power(speed_mps, acceleration_mps2)
        self._power_w_kg += (power - self._power_w_kg) * (dt_s / _POWER_SMOOTHING_S)
        effort = np.minimum(self._power_w_kg / self._aerobic_w_kg, 1.1)
        self._fatigue = np.minimum(self._fatigue + effort * dt_s / _FATIGUE_S, 1.0)
        reserve = self._max - self._rest
        demand = self._rest + reserve * np.minimum(0.05 + 0.88 * effort + 0.07 * self._fatigue, 0.99)
        tau_s = np.where(demand > self.bpm, self._tau_on_s, self._tau_off_s)
        self.bpm = self.bpm + (demand - self.bpm) * (dt_s / tau_s)
        self._noise_bpm += -self._noise_bpm * (dt_s / 8.0) + self._rng.normal(0.0, 0.35, self._count) * np.sqrt(dt_s)
        self.bpm = np.clip(self.bpm, self._rest, self._max - 1.0)
        self._breath += 2.0 * np.pi * (0.25 + 0.35 * effort) * dt_s
        return self._beats(dt_s)

    def shown_bpm(self) -> Floats:
        """Return what a strap would show: (athletes,), within [rest, max]."""
        shown: Floats = np.clip(self.bpm + self._noise_bpm, self._rest, self._max)
        return shown

    def _beats(self, dt_s: float) -> tuple[tuple[int, ...], ...]:
        beats: list[tuple[int, ...]] = [()] * self._count
        self._next_beat_s -= dt_s
        for index in np.flatnonzero(self._next_beat_s <= 0.0):
            ended = []
            while self._next_beat_s[index] <= 0.0:
                ended.append(round(float(self._rr_s[index]) * RR_UNITS_PER_S))
                self._rr_s[index] = self._draw_rr_s(int(index))
                self._next_beat_s[index] += self._rr_s[index]
            beats[index] = tuple(ended)
        return tuple(beats)

    def _draw_rr_s(self, index: int) -> float:
        """Mean interval, breathing wave and jitter; variability shrinks as the heart speeds up."""
        bpm = float(np.clip(self.bpm[index] + self._noise_bpm[index], self._rest[index], self._max[index]))
        calm = 1.0 - (bpm - self._rest[index]) / (self._max[index] - self._rest[index])
        spread_s = 0.003 + 0.045 * calm**2
        wave_s = spread_s * float(np.sin(self._breath[index]))
        return float(60.0 / bpm + wave_s + self._rng.normal(0.0, 0.4 * spread_s))
