"""The plan of a training session: which drill runs when, and how hard it is."""

from dataclasses import dataclass
from enum import Enum

import numpy as np


class Drill(Enum):
    """What the squad does in a phase."""

    WARM_UP = "warm-up"
    POSSESSION = "possession"
    SPRINTS = "sprints"
    REST = "rest"
    MATCH = "match"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One phase: from `start_s` on, for `length_s`."""

    drill: Drill
    start_s: float
    length_s: float


_CYCLE = (
    (Drill.WARM_UP, 90.0),
    (Drill.POSSESSION, 180.0),
    (Drill.REST, 60.0),
    (Drill.MATCH, 300.0),
    (Drill.REST, 75.0),
    (Drill.SPRINTS, 90.0),
    (Drill.REST, 75.0),
    (Drill.MATCH, 420.0),
    (Drill.REST, 120.0),
)


class Plan:
    """An endless session: the cycle of drills, each lasting 85-115 % of its usual time, drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(2,)))
        self._index = 0
        self._phase = self._draw(0.0)

    def at(self, time_s: float) -> Phase:
        """Return the phase at `time_s`, which must not go back."""
        while time_s >= self._phase.start_s + self._phase.length_s:
            self._index += 1
            self._phase = self._draw(self._phase.start_s + self._phase.length_s)
        return self._phase

    def _draw(self, start_s: float) -> Phase:
        drill, usual_s = _CYCLE[self._index % len(_CYCLE)]
        return Phase(drill=drill, start_s=start_s, length_s=usual_s * float(self._rng.uniform(0.85, 1.15)))
