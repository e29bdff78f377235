"""What the simulator emits, step by step, whether it was imagined or recorded."""

from dataclasses import dataclass
from typing import Protocol

from firmware_sim.arrays import Floats
from shared.roster import Roster


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of every wearer; NaN where a tag or strap has nothing to say.

    `x_m`, `y_m`: (tags,) pitch metres. `bpm`: (straps,). `beats_1024`: per strap the RR intervals (1/1024 s) of the
    beats that ended in this step, oldest first.
    """

    time_s: float
    x_m: Floats
    y_m: Floats
    bpm: Floats
    beats_1024: tuple[tuple[int, ...], ...]


class Session(Protocol):
    """A training session that sensors can be put on."""

    @property
    def rate_hz(self) -> int:
        """Steps per second."""

    @property
    def roster(self) -> Roster:
        """Who wears what."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Sensor ids of the position tags, in the order of `Step.x_m`."""

    @property
    def straps(self) -> tuple[str, ...]:
        """Addresses of the heart-rate straps, in the order of `Step.bpm`."""

    def step(self) -> Step:
        """Advance by one step."""
