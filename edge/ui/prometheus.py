"""The gateway's numbers in Prometheus' text format: the health page's, and what its parts count of themselves.

Labels are streams, reasons, queues, links, models and kinds of sensor, each bounded; never a sensor or a person.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge.counters import Measures, Timing
from edge.health_messages import Health, SensorHealth
from edge.store.pressure import Level
from edge.ui.prometheus_names import DESCRIBED
from shared.clock import NS_PER_S

_MAX_SERIES = 64
"""Of one metric: what goes beyond, of many reasons or kinds, is summed as one."""
_OTHERS = "others"
Labels = tuple[str, ...]
Values = dict[Labels, float]


class _Family(NamedTuple):
    name: str
    values: Values


def prometheus_text(health: Health, measures: Measures, *, tablets: int) -> bytes:
    """Return everything in Prometheus' text format, version 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Gathered(health, measures, tablets))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Gathered(Collector):
    """One look at the gateway."""

    def __init__(self, health: Health, measures: Measures, tablets: int) -> None:
        self._health = health
        self._measures = measures
        self._tablets = tablets

    def collect(self) -> Iterable[Metric]:
        """Yield every family; one without values is there all the same, with its meaning."""
        for families in (self._gateway, self._queues, self._sensors, self._store, self._sync, self._models):
            for name, values in families():
                yield _metric(name, values)
        measures = self._measures
        yield _histogram("sideline_commit_seconds", {(): measures.commit})
        yield _histogram("sideline_upload_seconds", {(): measures.uploads.took})
        yield _histogram("sideline_inference_seconds", {(name,): took for name, took in measures.inference.items()})

    def _gateway(self) -> Iterator[_Family]:
        health = self._health
        up: Values = {}
        for link in health.links:  # several adapters are one link: up when each is
            up[link.link,] = min(up.get((link.link,), 1), int(link.up))
        yield _Family("sideline_build_info", {(health.version,): 1})
        yield _Family("sideline_start_time_seconds", {(): health.started_ns / NS_PER_S})
        yield _Family("sideline_link_up", up)
        yield _Family("sideline_tablets", {(): self._tablets})

    def _queues(self) -> Iterator[_Family]:
        measures = self._measures
        yield _Family("sideline_queue_items", {(queue.queue,): queue.waiting for queue in measures.queues})
        yield _Family("sideline_queue_capacity_items", {(queue.queue,): queue.capacity for queue in measures.queues})
        yield _Family(
            "sideline_queue_dropped_items_total", {(queue.queue,): queue.dropped for queue in measures.queues}
        )
        yield _Family("sideline_withheld_frames", {(): measures.withheld_frames})
        yield _Family("sideline_ble_dropped_frames_total", {(): measures.ble_dropped_frames})

    def _sensors(self) -> Iterator[_Family]:
        def by_kind(count: Callable[[SensorHealth], int]) -> Values:
            return _summed(((sensor.kind,), count(sensor)) for sensor in self._health.sensors)

        yield _Family("sideline_frames_total", by_kind(lambda sensor: sensor.frames))
        yield _Family("sideline_malformed_frames_total", by_kind(lambda sensor: sensor.malformed))
        yield _Family("sideline_implausible_readings_total", by_kind(lambda sensor: sensor.implausible))
        yield _Family("sideline_duplicate_readings_total", by_kind(lambda sensor: sensor.duplicates))
        yield _Family("sideline_reconnects_total", by_kind(lambda sensor: sensor.reconnects))
        yield _Family("sideline_sensors", by_kind(lambda _: 1))
        yield _Family("sideline_sensors_connected", by_kind(lambda sensor: int(sensor.connected)))

    def _store(self) -> Iterator[_Family]:
        health, store = self._health, self._health.store
        states = Counter({"kept": 0, "complete": 0, "removed": 0})
        for session in health.sessions:
            states["removed" if session.removed else "kept"] += 1
            states["complete"] += session.complete
        quarantined = _summed(((entry.reason,), entry.count) for entry in health.quarantine)
        missing = _summed(((entry.stream, entry.reason), entry.count) for entry in health.gaps)
        yield _Family("sideline_quarantined_frames_total", quarantined)
        yield _Family("sideline_gap_readings_total", missing)
        yield _Family("sideline_stored_readings_total", {(): store.readings})
        yield _Family("sideline_commits_total", {(): store.commits})
        yield _Family("sideline_store_bytes", {(): store.database_bytes})
        yield _Family("sideline_store_quota_bytes", {(): store.quota_bytes})
        yield _Family("sideline_store_fill_ratio", {(): store.pressure_percent / 100})
        yield _Family("sideline_store_pressure_level", {(): Level[store.pressure.upper()].value})
        yield _Family("sideline_sessions", {(state,): count for state, count in states.items()})

    def _sync(self) -> Iterator[_Family]:
        health, uploads = self._health, self._measures.uploads
        yield _Family("sideline_backlog_batches", {(): health.store.backlog_batches})
        yield _Family("sideline_backlog_bytes", {(): health.store.backlog_bytes})
        yield _Family("sideline_sync_lag_seconds", {(): health.sync_lag_s or 0.0})
        yield _Family("sideline_uploaded_batches_total", {(): health.store.uploaded_batches})
        yield _Family("sideline_upload_answers_total", {(answer,): count for answer, count in uploads.answers.items()})
        yield _Family("sideline_upload_bytes_total", {(): uploads.sent_bytes})
        reconciled = self._measures.reconciled
        compared: Values = {("agreed",): reconciled.agreed, ("given up",): reconciled.given_up}
        yield _Family("sideline_epoch_renewals_total", {(): self._measures.epoch_renewals})
        yield _Family("sideline_reconciled_hours_total", compared)
        yield _Family("sideline_resent_readings_total", {(): reconciled.resent})

    def _models(self) -> Iterator[_Family]:
        models, failures = self._health.models, self._measures.inference_failures
        yield _Family("sideline_model_active", {(model.name,): int(model.version is not None) for model in models})
        yield _Family("sideline_inferences_total", {(model.name,): model.inferences for model in models})
        yield _Family("sideline_inference_failures_total", {(name,): count for name, count in failures.items()})


def _summed(pairs: Iterable[tuple[Labels, int]]) -> Values:
    """Return the sums by label; beyond the largest so many everything is one."""
    sums: Counter[Labels] = Counter()
    for labels, count in pairs:
        sums[labels] += count
    kept = sums.most_common(_MAX_SERIES)
    values: Values = dict(kept)
    rest = sums.total() - sum(count for _, count in kept)
    if len(sums) > len(kept):
        values[(_OTHERS,) * len(kept[0][0])] = rest
    return values


def _metric(name: str, values: Values) -> Metric:
    described = DESCRIBED[name]
    family = (CounterMetricFamily if described.kind == "counter" else GaugeMetricFamily)(
        name, described.meaning, labels=described.labels
    )
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram(name: str, timings: dict[Labels, Timing]) -> Metric:
    described = DESCRIBED[name]
    family = HistogramMetricFamily(name, described.meaning, labels=described.labels)
    for labels, timing in timings.items():
        buckets, sum_count = [], 0
        for bound, count in zip((*map(str, timing.bounds_s), "+Inf"), timing.counts, strict=True):
            sum_count += count
            buckets.append((bound, sum_count))
        family.add_metric(labels, buckets, timing.sum_s)
    return family
