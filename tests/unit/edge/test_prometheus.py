"""`/metrics`: every family described, with a unit, bounded, and listed in docs/operations.md."""

import re

import msgspec
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from edge.counters import COMMIT_BOUNDS_S, Measures, QueueState, ReconcileCounts, Timing, UploadCounts
from edge.health_messages import GapEntry, Health, QuarantineEntry, SessionEntry
from edge.lanes import Lane, Policy
from edge.ui.prometheus import prometheus_text
from edge.ui.prometheus_names import DESCRIBED, PROCESS
from tests.e2e.tablet.scripted import Squad, health_of
from tests.tools import ROOT

OPERATIONS = ROOT / "docs" / "operations.md"
UNITS = {
    "seconds", "bytes", "ratio", "frames", "readings", "batches", "attempts", "items", "sensors", "connections",
    "commits", "epochs", "hours", "runs", "tablets", "sessions", "level", "bool", "1",
}  # fmt: skip


def health(**given: object) -> Health:
    """Return an ordinary evening's health, with `given` replaced."""
    return msgspec.structs.replace(health_of(Squad().athletes), **given)


def measures() -> Measures:
    """Return measures in which everything has happened."""
    uploads = UploadCounts()
    uploads.ended("stored", 12_000, 0.2)
    uploads.ended("no answer", 12_000, 30.0)
    took = Timing((0.001, 0.01))
    took.add(0.001)
    return Measures(
        queues=[QueueState(queue="durable", waiting=3, capacity=256, dropped=0)],
        withheld_frames=7,
        ble_dropped_frames=2,
        uploads=uploads,
        epoch_renewals=1,
        reconciled=ReconcileCounts(agreed=12, resent=300, given_up=2),
        inference={"effort": took},
        inference_failures={"effort": 1},
    )


def families(told: Health, counted: Measures) -> dict[str, Metric]:
    """Return what a Prometheus server would read."""
    text = prometheus_text(told, counted, tablets=2).decode()
    found = list(text_string_to_metric_families(text))
    assert len({family.name for family in found}) == len(found)
    return {family.name: family for family in found}


def values(family: Metric) -> dict[tuple[str, ...], float]:
    """Return a family's plain values by label values."""
    described = DESCRIBED.get(family.name) or DESCRIBED[f"{family.name}_total"]
    return {tuple(sample.labels[label] for label in described.labels): sample.value for sample in family.samples}


def test_metrics_when_read_then_every_family_has_help_type_and_unit() -> None:
    """Rule: each family says what it is; counters end in _total, and seconds and bytes are in base units."""
    found = families(health(), measures())
    text = prometheus_text(health(), measures(), tablets=2).decode()
    for name, described in DESCRIBED.items():
        family = found[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (described.kind, described.meaning)
        assert described.unit in UNITS, name
        assert name.endswith("_total") is (described.kind == "counter")
        if described.unit in ("seconds", "bytes", "ratio"):
            assert described.unit in name
        assert f"# HELP {name} " in text
        assert f"# TYPE {name} " in text
    strangers = {family.name for family in found.values()} - {name.removesuffix("_total") for name in DESCRIBED}
    assert strangers <= {name.removesuffix("_total") for name in PROCESS}
    assert found["process_resident_memory_bytes"].samples[0].value > 1e6


def test_metrics_when_parts_count_then_their_numbers_are_told() -> None:
    """Rule: queues, acknowledgements, drops, uploads and models show what their owners counted."""
    found = families(health(), measures())
    assert values(found["sideline_queue_items"]) == {("durable",): 3}
    assert values(found["sideline_queue_capacity_items"]) == {("durable",): 256}
    assert values(found["sideline_withheld_frames"]) == {(): 7}
    assert values(found["sideline_ble_dropped_frames"]) == {(): 2}
    assert values(found["sideline_upload_answers"]) == {("stored",): 1, ("no answer",): 1}
    assert values(found["sideline_upload_bytes"]) == {(): 24_000}
    assert values(found["sideline_epoch_renewals"]) == {(): 1}
    assert values(found["sideline_reconciled_hours"]) == {("agreed",): 12, ("given up",): 2}
    assert values(found["sideline_resent_readings"]) == {(): 300}
    assert values(found["sideline_inference_failures"]) == {("effort",): 1}
    assert values(found["sideline_backlog_batches"]) == {(): 38}
    assert values(found["sideline_link_up"])["cloud",] == 0
    assert values(found["sideline_tablets"]) == {(): 2}


def test_metrics_when_commits_were_timed_then_the_histogram_adds_up() -> None:
    """Rule: buckets are cumulative, a bound belongs to its own, and +Inf is the count."""
    counted = Measures()
    for seconds in (0.0005, 0.001, 0.0011, 9.0):
        counted.commit.add(seconds)
    samples = families(health(), counted)["sideline_commit_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    assert len(buckets) == len(COMMIT_BOUNDS_S) + 1
    assert (buckets["0.001"], buckets["0.0025"], buckets["2.5"], buckets["+Inf"]) == (2, 3, 3, 4)
    told = {s.name: s.value for s in samples if not s.labels}
    assert told["sideline_commit_seconds_count"] == 4
    assert told["sideline_commit_seconds_sum"] == pytest.approx(9.0026)


def test_metrics_when_reasons_are_many_then_the_series_are_bounded_and_the_sum_stays() -> None:
    """Rule: a neighbour's odd devices cannot fill the monitoring: beyond 64 reasons the rest is one."""
    odd = [QuarantineEntry(sensor=f"s{n}", reason=f"reason {n}", count=n + 1, last_ns=1) for n in range(200)]
    told = values(families(health(quarantine=odd), measures())["sideline_quarantined_frames"])
    assert len(told) == 65
    assert sum(told.values()) == sum(entry.count for entry in odd)
    assert told["reason 199",] == 200


def test_metrics_when_labelled_then_nobody_and_no_sensor_is_named() -> None:
    """Rule: no label holds a sensor's address or an athlete."""
    squad = Squad()
    text = prometheus_text(health_of(squad.athletes), measures(), tablets=0).decode()
    named = [a.name for a in squad.athletes] + [s.sensor for s in health_of(squad.athletes).sensors]
    labels = set(re.findall(r'="([^"]*)"', text))
    assert not {word for word in named if word in labels}


@pytest.mark.parametrize(
    ("percent", "name", "level"),
    [(0.0, "normal", 0), (70.0, "thin_imu", 1), (85.0, "thin_positions", 2), (96.5, "essential", 3)],
)
def test_metrics_when_the_store_fills_then_the_level_is_a_number(percent: float, name: str, level: int) -> None:
    """Rule: an alert can be set on a number that grows with each watermark."""
    store = msgspec.structs.replace(health().store, pressure_percent=percent, pressure=name)
    found = families(health(store=store), measures())
    assert values(found["sideline_store_pressure_level"]) == {(): level}
    assert values(found["sideline_store_fill_ratio"]) == {(): percent / 100}


def test_metrics_when_sessions_and_gaps_are_told_then_they_are_counted_by_kind() -> None:
    """Rule: gaps are summed by stream and reason, sessions by what became of them."""
    gap = GapEntry(stream="imu", reason="thinned", count=40, last_ns=1)
    session = SessionEntry(
        started_ns=1, ended_ns=2, readings=1, size_bytes=1, unsent_batches=0, complete=True, removed=False
    )
    gone = msgspec.structs.replace(session, removed=True)
    found = families(health(gaps=[gap, gap], sessions=[session, gone]), measures())
    assert values(found["sideline_gap_readings"]) == {("imu", "thinned"): 80}
    assert values(found["sideline_sessions"]) == {("kept",): 1, ("complete",): 2, ("removed",): 1}


async def test_lane_when_full_then_its_state_counts_what_it_gave_up() -> None:
    """Rule: what waits, what fits and what was dropped is told by the lane itself."""
    lane: Lane[int] = Lane("live", capacity=2, policy=Policy.DROP_OLDEST)
    for number in range(3):
        await lane.put(number)
    assert lane.state == QueueState(queue="live", waiting=2, capacity=2, dropped=1)


def test_operations_when_read_then_they_list_every_metric() -> None:
    """Rule: the table in docs/operations.md is what the gateway tells, line for line."""
    rows = [
        f"| `{d.name}` | {d.kind} | {d.unit} | {', '.join(f'`{label}`' for label in d.labels)} | {d.meaning} |"
        for d in DESCRIBED.values()
    ]
    table = re.findall(r"^\| `sideline_.*$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert table == rows


def test_operations_when_alerts_are_given_then_their_metrics_are_told() -> None:
    """Rule: no rule in docs/operations.md watches what no gateway tells."""
    rules = OPERATIONS.read_text(encoding="utf-8").partition("## Alert rules")[2]
    named = set(re.findall(r"\b(?:sideline|process)_\w+", rules))
    known = {*DESCRIBED, *PROCESS, *(f"{d.name}_bucket" for d in DESCRIBED.values() if d.kind == "histogram")}
    assert len(named) > 10
    assert named - known == set()
