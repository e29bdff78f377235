"""What a metric is: a pure, streaming function of windows, the same live, replayed and in the pipeline."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from shared.ids import AthleteId
from shared.quantities import STREAMS
from shared.windows import Window

S = TypeVar("S")

# Men's football: high speed 19.8 km/h, sprint 25.2 km/h; below that the usual walk, jog and run bands.
SPEED_EDGES_MPS = (0.0, 2.0, 4.0, 19.8 / 3.6, 25.2 / 3.6)

SESSION_STREAMS = frozenset(STREAMS) - {"battery", "exertion"}
"""Streams whose readings mean that the athlete trains; what is asked afterwards does not lengthen the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What metrics need to know of an athlete; `sex` ("m" or "f") selects the TRIMP constants.

    `hr_max_estimated` says that HRmax comes from age, not from a test. What was not tested is None: first and second
    ventilatory threshold, critical power (W) and W' (J), functional threshold power, critical speed and D' (m), mass.
    `speed_edges_mps` are the lower edges of the speed bands walk, jog, run, high speed, sprint of the athlete's team.
    """

    athlete: AthleteId
    sex: str
    hr_rest_bpm: float
    hr_max_bpm: float
    hr_max_estimated: bool = False
    vt1_bpm: float | None = None
    vt2_bpm: float | None = None
    mass_kg: float | None = None
    critical_power_w: float | None = None
    w_prime_j: float | None = None
    ftp_w: float | None = None
    critical_speed_mps: float | None = None
    d_prime_m: float | None = None
    speed_edges_mps: tuple[float, ...] = SPEED_EDGES_MPS


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """A metric's value(s), NaN where it cannot be said; sums are 0 where nothing was seen.

    `coverage` is the share (0..1) of elapsed time that had data. `quality` is the share (0..1) of that data that
    nothing is wrong with: no artefact, no corrected clock, no estimated threshold. `notes` are reasons for people.
    """

    values: tuple[float, ...]
    coverage: float
    quality: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The first value; the only one of most metrics."""
        return self.values[0]


class Described(Protocol):
    """What people are told of a metric, on the tablet and in `docs/metrics.md`.

    `metric_id` is `name@version`; a change of formula or edge rule is a new version. `labels` names the values, `unit`
    is theirs. `formula` is one line; `rules` say what happens at gaps, edges and thresholds; `source` is the
    publication. `decimals` is how many the noise supports.
    """

    @property
    def metric_id(self) -> str: ...  # noqa: D102
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def decimals(self) -> int: ...  # noqa: D102
    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def formula(self) -> str: ...  # noqa: D102
    @property
    def rules(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> str: ...  # noqa: D102


class Metric(Described, Protocol[S]):
    """One metric of an athlete's session.

    `streams` are the ones it reads; `needs` names the Profile fields that must not be None (an athlete without them
    has no such metric). `update` takes the windows of one athlete in time order, of any length, and returns the new
    state without changing the old one: many short windows and few long ones give the same value.
    """

    @property
    def streams(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def needs(self) -> tuple[str, ...]: ...  # noqa: D102

    def start(self, profile: Profile) -> S:
        """Return the state before any window."""

    def update(self, state: S, window: Window) -> S:
        """Return the state after `window`."""

    def value(self, state: S, *, from_ns: int | None = None, until_ns: int | None = None) -> MetricValue:
        """Return the value so far; time from `from_ns` and up to `until_ns` counts as elapsed.

        Without them it is the time from the metric's own first reading to its last.
        """
