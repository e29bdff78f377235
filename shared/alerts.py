"""What alert rules say: Alert, Severity."""

from dataclasses import dataclass
from enum import StrEnum

from shared.ids import AthleteId


class Severity(StrEnum):
    """How loudly an alert is shown: `banner` interrupts, `badge` marks the tile, `log` is only listed."""

    BANNER = "banner"
    BADGE = "badge"
    LOG = "log"


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
