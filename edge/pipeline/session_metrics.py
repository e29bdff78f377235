"""Every metric of one athlete's session, with numpy's cost by call in mind: few of them are looked at each second."""

from typing import Any
from zlib import crc32

from shared.clock import NS_PER_S
from shared.metrics.base import Metric, MetricValue, Profile
from shared.metrics.heart import ZoneSeconds
from shared.metrics.motion import SpeedBandDistance
from shared.metrics.registry import METRICS, MetricTracker
from shared.metrics.trimp import BanisterTrimp
from shared.windows import Window, joined

SHOWN: tuple[Metric[Any], ...] = (ZoneSeconds(), BanisterTrimp(), SpeedBandDistance())
"""What tiles and alert rules are made of."""
_SHOWN_IDS = frozenset(metric.metric_id for metric in SHOWN)
# Longer than from one summary for the cloud to the next, which asks for all; what is shown is asked for every second.
_LEAST_NS, _MOST_NS = 12 * NS_PER_S, 20 * NS_PER_S


class SessionMetrics:
    """A `MetricTracker` for windows of a second, whose values are those of one that takes each window as it comes.

    Windows wait for up to 20 s and are taken as one; whoever asks for a metric has those that wait for it taken first.
    """

    def __init__(self, profile: Profile) -> None:
        # Everybody's own, so that not all are taken in the same turn.
        patience_ns = _LEAST_NS + crc32(profile.athlete.encode()) % (_MOST_NS - _LEAST_NS)
        others = tuple(one for one in METRICS if one.metric_id not in _SHOWN_IDS)
        self._shown = _Patient(MetricTracker(profile, SHOWN), patience_ns)
        self._others = _Patient(MetricTracker(profile, others), patience_ns)

    def update(self, window: Window) -> None:
        """Take the athlete's next window."""
        self._shown.update(window)
        self._others.update(window)

    def value(self, metric_id: str, *, until_ns: int | None = None) -> MetricValue | None:
        """Return one metric's value, None if the athlete has no such metric; see `MetricTracker.value`."""
        tracker = self._shown if metric_id in _SHOWN_IDS else self._others
        return tracker.upto_now().value(metric_id, until_ns=until_ns)

    def values(self, *, until_ns: int | None = None) -> dict[str, MetricValue]:
        """Return every metric's value by `metric_id`, in the order of `METRICS`."""
        found = ((metric.metric_id, self.value(metric.metric_id, until_ns=until_ns)) for metric in METRICS)
        return {metric_id: value for metric_id, value in found if value is not None}


class _Patient:
    """Keeps windows from a tracker until somebody asks for a value, or for so long."""

    def __init__(self, tracker: MetricTracker, patience_ns: int) -> None:
        self._tracker = tracker
        self._patience_ns = patience_ns
        self._waiting: list[Window] = []

    def update(self, window: Window) -> None:
        """Take the next window."""
        self._waiting.append(window)
        if window.end_ns - self._waiting[0].start_ns >= self._patience_ns:
            self.upto_now()

    def upto_now(self) -> MetricTracker:
        """Return the tracker with every window taken."""
        if self._waiting:
            self._tracker.update(joined(self._waiting))
            self._waiting = []
        return self._tracker
