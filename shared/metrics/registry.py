"""All metrics, and the tracker that keeps their states for one athlete. A new metric is one file and one line here."""

from typing import Any

from shared.metrics.asymmetry import GaitAsymmetry, PowerAsymmetry
from shared.metrics.base import SESSION_STREAMS, Metric, MetricValue, Profile
from shared.metrics.efforts import Efforts
from shared.metrics.heart import ReserveZoneSeconds, ZoneSeconds
from shared.metrics.hrv import LnRmssd, Pnn50, Rmssd, Sdnn
from shared.metrics.load import AccelLoad, SessionRpe
from shared.metrics.metabolic import MetabolicEnergy, MetabolicPower
from shared.metrics.motion import Distance, MaxSpeed, SpeedBandDistance
from shared.metrics.power import Intensity, MechanicalWork, NormalisedPower, Power, TrainingStress
from shared.metrics.recovery import HeartRateRecovery
from shared.metrics.reserve import DistanceReserve, WorkReserve
from shared.metrics.steady import Decoupling
from shared.metrics.trimp import BanisterTrimp, EdwardsTrimp, LuciaTrimp
from shared.windows import Window

METRICS: tuple[Metric[Any], ...] = (
    ZoneSeconds(),
    ReserveZoneSeconds(),
    BanisterTrimp(),
    EdwardsTrimp(),
    LuciaTrimp(),
    HeartRateRecovery(),
    Rmssd(),
    LnRmssd(),
    Sdnn(),
    Pnn50(),
    Distance(),
    SpeedBandDistance(),
    MaxSpeed(),
    Efforts(),
    MetabolicPower(),
    MetabolicEnergy(),
    DistanceReserve(),
    AccelLoad(),
    Power(),
    MechanicalWork(),
    NormalisedPower(),
    Intensity(),
    TrainingStress(),
    WorkReserve(),
    PowerAsymmetry(),
    GaitAsymmetry(),
    Decoupling(),
    SessionRpe(),
)
WITHOUT_PROFILE: tuple[Metric[Any], ...] = tuple(metric for metric in METRICS if not metric.needs)
"""What can be said of somebody of whom nothing is known."""


class MetricTracker:
    """All metrics of one athlete over one session; one whose needs the profile does not meet is absent."""

    def __init__(self, profile: Profile, metrics: tuple[Metric[Any], ...] = METRICS) -> None:
        self._metrics = {
            metric.metric_id: metric
            for metric in metrics
            if all(getattr(profile, field) is not None for field in metric.needs)
        }
        self._states = {metric_id: metric.start(profile) for metric_id, metric in self._metrics.items()}
        self._readers: dict[str, tuple[str, ...]] = {}
        for metric_id, metric in self._metrics.items():
            for stream in metric.streams:
                self._readers[stream] = (*self._readers.get(stream, ()), metric_id)
        self._from_ns: int | None = None
        self._until_ns = 0

    def update(self, window: Window) -> None:
        """Take the athlete's next window; only metrics that read one of its streams look at it."""
        readers: dict[str, None] = {}
        for stream, block in window.streams.items():
            if not len(block):
                continue
            readers.update(dict.fromkeys(self._readers.get(stream, ())))
            if stream in SESSION_STREAMS:
                first_ns = int(block.time_ns[0])
                self._from_ns = first_ns if self._from_ns is None else min(self._from_ns, first_ns)
                self._until_ns = max(self._until_ns, int(block.time_ns[-1]))
        for metric_id in readers:
            self._states[metric_id] = self._metrics[metric_id].update(self._states[metric_id], window)

    def value(self, metric_id: str, *, until_ns: int | None = None) -> MetricValue | None:
        """Return one metric's value, None if the athlete has no such metric.

        Time from the athlete's first reading of any sensor to the last one, or to `until_ns`, counts as elapsed.
        """
        metric = self._metrics.get(metric_id)
        if metric is None:
            return None
        until_ns = max(self._until_ns, until_ns or 0)
        return metric.value(self._states[metric_id], from_ns=self._from_ns, until_ns=until_ns)

    def values(self, *, until_ns: int | None = None) -> dict[str, MetricValue]:
        """Return every metric's value by `metric_id`."""
        found = ((metric_id, self.value(metric_id, until_ns=until_ns)) for metric_id in self._metrics)
        return {metric_id: value for metric_id, value in found if value is not None}
