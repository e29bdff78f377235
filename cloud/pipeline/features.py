"""One athlete's session to metrics and feature rows, by the same windows, metrics and features as at the gateway."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput

from cloud.pipeline.blobs import pack, to_readings, unpack_all
from cloud.pipeline.facts import SKIPPED, fact
from cloud.pipeline.tables import FEATURES, METRICS, TABLES
from shared.batch import ProfileSummary, profile_of
from shared.clock import NS_PER_S
from shared.features import athlete as effort
from shared.features.athlete import ATHLETE_EFFORT
from shared.features.base import FeatureRow
from shared.ids import AthleteId
from shared.metrics.base import MetricValue, Profile
from shared.metrics.offline_registry import OFFLINE_METRICS, offline_values
from shared.metrics.registry import METRICS as ALL_METRICS
from shared.metrics.registry import WITHOUT_PROFILE, MetricTracker
from shared.readings import Quality, Readings
from shared.windows import Window, Windower

ROWS, FACTS = "rows", "facts"
NO_PROFILE = "no profile"
# The readings of one span of all streams go in before the next, so no window closes before all streams have filled it.
_SPAN_NS = 60 * NS_PER_S
_UNUSABLE = np.uint8(Quality.IMPLAUSIBLE | Quality.NO_CONTACT)
# Windows of any length give the same metrics; long ones cost less.
_METRIC_WINDOW_NS = 60 * NS_PER_S


@dataclass(kw_only=True)
class Derived:
    """What one athlete's session comes to; `labels_bpm` stands beside `features`, NaN without a usable heart rate."""

    metrics: dict[str, MetricValue]
    features: list[FeatureRow] = field(default_factory=list)
    labels_bpm: list[float] = field(default_factory=list)
    start_ns: int = 0
    end_ns: int = 0


def derive_rows(
    keyed: tuple[tuple[str, str, str], Iterable[tuple[str, bytes]]], profiles: Mapping[str, list[ProfileSummary]]
) -> Iterator[Any]:
    """Yield an athlete's metric and feature rows by (table, session), and what had to be skipped."""
    (gateway, session, athlete), blobs = keyed
    by_stream: dict[str, list[bytes]] = {}
    for stream, blob in blobs:
        by_stream.setdefault(stream, []).append(blob)
    blocks = [block for stream, packed in by_stream.items() for block in to_readings(unpack_all(packed), stream)]
    known = {profile.athlete: profile for profile in profiles.get(gateway, [])}.get(athlete)
    derived = derive(blocks, AthleteId(athlete), known)
    yield TaggedOutput(ROWS, ((METRICS, session), pack(_metric_rows(derived, session, gateway, athlete))))
    if known is None:
        for metric in (m for m in ALL_METRICS if m.needs and by_stream.keys() & set(m.streams)):
            yield TaggedOutput(FACTS, fact(SKIPPED, f"{metric.metric_id}: {NO_PROFILE}", 1))
        yield TaggedOutput(FACTS, fact(SKIPPED, f"{ATHLETE_EFFORT.set_id}: {NO_PROFILE}", 1))
    elif derived.features:
        yield TaggedOutput(ROWS, ((FEATURES, session), pack(_feature_rows(derived, session, athlete))))


def derive(blocks: list[Readings], athlete: AthleteId, known: ProfileSummary | None) -> Derived:
    """Replay an athlete's readings through windows; without a profile only what needs none is computed."""
    profile = _profile(athlete, known)
    tracker = MetricTracker(profile, ALL_METRICS if known else WITHOUT_PROFILE)
    for window in windows_of(blocks, size_ns=_METRIC_WINDOW_NS):
        tracker.update(window)
    times_ns = [time_ns for block in blocks if len(block) for time_ns in (block.time_ns.min(), block.time_ns.max())]
    derived = Derived(metrics=tracker.values() | offline_values(blocks, profile))
    if times_ns:
        derived.start_ns = int(min(times_ns)) // NS_PER_S * NS_PER_S
        derived.end_ns = (int(max(times_ns)) // NS_PER_S + 1) * NS_PER_S
    if known is None:
        return derived
    state = effort.start(profile)
    for window in windows_of(blocks):
        state = effort.update(state, window)
        row = effort.row(state)
        if row is not None:
            derived.features.append(row)
            derived.labels_bpm.append(mean_bpm(window))
    return derived


def windows_of(blocks: list[Readings], *, size_ns: int = NS_PER_S) -> Iterator[Window]:
    """Yield one athlete's windows in time order, however the readings are cut into blocks; none is late."""
    windower = Windower(size_ns=size_ns, lateness_ns=_SPAN_NS)
    spans = sorted({int(span) for block in blocks for span in np.unique(block.time_ns // _SPAN_NS)})
    starts = {id(block): 0 for block in blocks}
    for span in spans:
        for block in blocks:
            start = starts[id(block)]
            end = int(np.searchsorted(block.time_ns, (span + 1) * _SPAN_NS))
            if end > start:
                starts[id(block)] = end
                yield from windower.push(_slice(block, start, end))
    yield from windower.flush()


def mean_bpm(window: Window) -> float:
    """Return the mean usable heart rate of a window, NaN without one."""
    block = window.streams.get("heart_rate")
    if block is None:
        return float("nan")
    rates = block.column("heart_rate_bpm")[(block.quality & _UNUSABLE) == 0]
    rates = rates[np.isfinite(rates)]
    return float(rates.mean()) if len(rates) else float("nan")


def _profile(athlete: AthleteId, known: ProfileSummary | None) -> Profile:
    if known is None:
        # Never looked at: only metrics that need no profile are given this one.
        return Profile(athlete=athlete, sex="m", hr_rest_bpm=60.0, hr_max_bpm=200.0)
    return profile_of(known)


def _slice(block: Readings, start: int, end: int) -> Readings:
    return Readings(
        sensor=block.sensor,
        stream=block.stream,
        origin=block.origin,
        sequence=block.sequence[start:end],
        time_ns=block.time_ns[start:end],
        values=block.values[start:end],
        quality=block.quality[start:end],
        athlete=block.athlete,
    )


def _metric_rows(derived: Derived, session: str, gateway: str, athlete: str) -> pa.Table:
    by_id = {metric.metric_id: metric for metric in (*ALL_METRICS, *OFFLINE_METRICS)}
    rows = [
        {
            "session": session,
            "gateway": gateway,
            "athlete": athlete,
            "metric": metric_id,
            "label": label,
            "value": None if math.isnan(value) else value,
            "unit": by_id[metric_id].unit,
            "coverage": values.coverage,
            "start_ns": derived.start_ns,
            "end_ns": derived.end_ns,
            "quality": values.quality,
        }
        for metric_id, values in derived.metrics.items()
        if values.coverage
        for label, value in zip(by_id[metric_id].labels, values.values, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=TABLES[METRICS].schema)


def _feature_rows(derived: Derived, session: str, athlete: str) -> pa.Table:
    count = len(derived.features)
    values = np.stack([row.values for row in derived.features])
    columns: dict[str, Any] = {
        "session": pa.repeat(session, count),
        "athlete": pa.repeat(athlete, count),
        "time_ns": pa.array([row.time_ns for row in derived.features], pa.int64()),
        "coverage": pa.array([row.coverage for row in derived.features], pa.float64()),
        **{name: pa.array(values[:, i]) for i, (name, _) in enumerate(ATHLETE_EFFORT.features)},
        "hr_bpm": pa.array(derived.labels_bpm, pa.float64(), from_pandas=True),
        "feature_hash": pa.repeat(ATHLETE_EFFORT.schema_hash, count),
    }
    return pa.table(columns, schema=TABLES[FEATURES].schema)
