"""What models and rules say: Prediction, Alert, Severity."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shared.ids import AthleteId


class Severity(StrEnum):
    """How loudly an alert is shown: `banner` interrupts, `badge` marks the tile, `log` is only listed."""

    BANNER = "banner"
    BADGE = "badge"
    LOG = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One model output for one athlete at one time.

    `value` and `spread` (one standard deviation) share a shape: () for a number, (steps, 2) for a path in metres.
    """

    model: str
    version: str
    athlete: AthleteId
    time_ns: int
    value: NDArray[np.float32]
    spread: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A rule holds (or has ended) for an athlete; `why` is the evidence in plain words."""

    alert: str
    athlete: AthleteId
    rule: str
    severity: Severity
    cause: str
    why: str
    started_ns: int
    ended_ns: int | None = None
