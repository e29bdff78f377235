"""All metrics, and the tracker that keeps their states for one athlete. A new metric is one file and one line here."""

from typing import Any

from shared.metrics.base import Metric, MetricValue, Profile
from shared.metrics.heart import BanisterTrimp, ZoneSeconds
from shared.metrics.motion import Distance, SpeedBandDistance
from shared.windows import Window

METRICS: tuple[Metric[Any], ...] = (ZoneSeconds(), BanisterTrimp(), SpeedBandDistance(), Distance())


class MetricTracker:
    """All metrics of one athlete over one session."""

    def __init__(self, profile: Profile, metrics: tuple[Metric[Any], ...] = METRICS) -> None:
        self._metrics = metrics
        self._states = [metric.start(profile) for metric in metrics]

    def update(self, window: Window) -> None:
        """Take the athlete's next window."""
        self._states = [metric.update(state, window) for metric, state in zip(self._metrics, self._states, strict=True)]

    def values(self, *, until_ns: int | None = None) -> dict[str, MetricValue]:
        """Return every metric's value by `metric_id`."""
        return {
            metric.metric_id: metric.value(state, until_ns=until_ns)
            for metric, state in zip(self._metrics, self._states, strict=True)
        }
