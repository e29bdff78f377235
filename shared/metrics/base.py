"""What a metric is: a pure, streaming function of windows, the same live, replayed and in the pipeline."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from shared.ids import AthleteId
from shared.windows import Window

S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What metrics need to know of an athlete; `sex` ("m" or "f") selects the TRIMP constants."""

    athlete: AthleteId
    sex: str
    hr_rest_bpm: float
    hr_max_bpm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricValue:
    """A metric's value(s) and the share (0..1) of elapsed time that had data; values are 0 where nothing was seen."""

    values: tuple[float, ...]
    coverage: float

    @property
    def value(self) -> float:
        """The first value; the only one of most metrics."""
        return self.values[0]


class Metric(Protocol[S]):
    """One metric: `metric_id` is `name@version`; a change of formula or edge rule is a new version.

    `labels` names the values, `unit` is theirs. `update` takes the windows of one athlete in time order and returns
    the new state without changing the old one.
    """

    @property
    def metric_id(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def formula(self) -> str: ...  # noqa: D102

    def start(self, profile: Profile) -> S:
        """Return the state before any window."""

    def update(self, state: S, window: Window) -> S:
        """Return the state after `window`."""

    def value(self, state: S, *, until_ns: int | None = None) -> MetricValue:
        """Return the value so far; time up to `until_ns` counts as elapsed."""
