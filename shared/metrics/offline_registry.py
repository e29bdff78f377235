"""All metrics of whole sessions, and their values for one athlete. A new one is a class and one line here."""

from collections import defaultdict
from collections.abc import Iterable

from shared.metrics.base import MetricValue, Profile
from shared.metrics.best_efforts import BestPower, BestSpeed
from shared.metrics.hrv_corrected import CorrectedVariability, ln_rmssd, pnn50_percent, rmssd_ms, sdnn_ms
from shared.metrics.offline import OfflineMetric, Whole
from shared.metrics.wbal_offline import WorkBalanceIntegral
from shared.readings import Readings
from shared.windows import merge

OFFLINE_METRICS: tuple[OfflineMetric, ...] = (
    CorrectedVariability("rmssd_corrected", "RMSSD, corrected", "ms", 1, "√mean(ΔNN²)", rmssd_ms),
    CorrectedVariability("sdnn_corrected", "SDNN, corrected", "ms", 1, "standard deviation (n−1) of NN", sdnn_ms),
    CorrectedVariability(
        "pnn50_corrected", "pNN50, corrected", "%", 1, "100·count(|ΔNN| > 50 ms)/count(ΔNN)", pnn50_percent
    ),
    CorrectedVariability("ln_rmssd_corrected", "ln RMSSD, corrected", "ln ms", 2, "ln √mean(ΔNN²)", ln_rmssd),
    BestPower(),
    BestSpeed(),
    WorkBalanceIntegral(),
)


_STREAMS = frozenset(stream for metric in OFFLINE_METRICS for stream in metric.streams)


def offline_values(blocks: Iterable[Readings], profile: Profile) -> dict[str, MetricValue]:
    """Return by `metric_id` what can be computed of an athlete's session, given as blocks in any order.

    A metric whose stream did not come, or of which the profile lacks a field, is absent.
    """
    parts: dict[str, list[Readings]] = defaultdict(list)
    for block in blocks:
        if block.stream in _STREAMS and len(block):
            parts[block.stream].append(block)
    whole = Whole({stream: merge(found) for stream, found in parts.items()}, profile)
    return {
        metric.metric_id: metric.value(whole)
        for metric in OFFLINE_METRICS
        if all(stream in whole.streams for stream in metric.streams)
        and all(getattr(profile, need) is not None for need in metric.needs)
    }
