"""Every number that Sideline computes, described: of a session, of a team, of weeks, and the constants from tests."""

from dataclasses import dataclass

from shared.metrics.base import Described
from shared.metrics.history_registry import HISTORY_METRICS
from shared.metrics.offline_registry import OFFLINE_METRICS
from shared.metrics.registry import METRICS
from shared.metrics.team import TEAM_METRICS


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A number that a function computes on request; see `Described`."""

    metric_id: str
    title: str
    unit: str
    decimals: int
    labels: tuple[str, ...]
    formula: str
    rules: str
    source: str


FITS: tuple[Description, ...] = (
    Description(
        metric_id="critical_power@1",
        title="Critical power and W′",
        unit="W; J",
        decimals=0,
        labels=("critical_power", "w_prime"),
        formula="work = CP·t + W′ by least squares; or P = W′/t + CP",
        rules="at least 3 maximal efforts of different length in 2–20 min; the standard errors stand beside both",
        source="Monod & Scherrer 1965; Moritani 1981, Ergonomics 24:339",
    ),
    Description(
        metric_id="critical_speed@1",
        title="Critical speed and D′",
        unit="m/s; m",
        decimals=2,
        labels=("critical_speed", "d_prime"),
        formula="distance = CS·t + D′ by least squares",
        rules="as critical_power@1",
        source="Hughson 1984, Int J Sports Med 5:23",
    ),
    Description(
        metric_id="hr_max_by_age@1",
        title="HRmax from age",
        unit="bpm",
        decimals=0,
        labels=("hr_max",),
        formula="208 − 0.7·age",
        rules="an estimate with a standard error of about 10 bpm; whatever rests on it is flagged as estimated",
        source="Tanaka 2001, J Am Coll Cardiol 37:153",
    ),
    Description(
        metric_id="target_heart_rate@1",
        title="Target heart rate",
        unit="bpm",
        decimals=0,
        labels=("target",),
        formula="rest + share·(max − rest)",
        rules="the share is one of heart-rate reserve, not of HRmax",
        source="Karvonen 1957",
    ),
)

CATALOGUE: dict[str, tuple[Described, ...]] = {
    "session": METRICS,
    "whole session": OFFLINE_METRICS,
    "team": TEAM_METRICS,
    "history": HISTORY_METRICS,
    "tests": FITS,
}
"""All kinds in the order of the documentation."""
