import json
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cloud.ingest.intake import Intake
from cloud.ingest.ledger import Ledger
from cloud.objects import Objects
from cloud.pipeline import write
from cloud.pipeline.features import derive
from cloud.pipeline.main import run_pipeline
from cloud.pipeline.tables import TABLES, open_table, read_table, versions
from cloud.pipeline.write import Report
from cloud.settings import Layout
from cloud.setup import make_layout
from shared.batch import (
    AlertSummary,
    BatchHeader,
    GapSummary,
    Lane,
    ProfileSummary,
    SessionSummary,
    sha256_hex,
)
from shared.clock import NS_PER_S, ManualClock
from shared.errors import StoreError
from shared.features.athlete import ATHLETE_EFFORT
from shared.ids import AthleteId, SensorId
from shared.parquet_codec import decode_parquet, encode_parquet
from shared.readings import Readings

START_NS = 1_790_000_000 * NS_PER_S
EPOCH = "0" * 16
ATHLETES = ("a1", "a2")
PROFILES = [ProfileSummary(athlete=a, team=0, sex="m", hr_rest_bpm=55, hr_max_bpm=195) for a in ATHLETES]


def positions(athlete: str, first: int, count: int, *, sensor: str | None = None) -> Readings:
    n = np.arange(first, first + count)
    xy = np.stack([30 + 20 * np.cos(n * 0.02), 20 + 10 * np.sin(n * 0.02), np.ones(count)], axis=1)
    return Readings(
        sensor=SensorId(sensor or f"tag-{athlete}"),
        stream="position",
        origin="boot-1",
        sequence=n,
        time_ns=START_NS + n * NS_PER_S // 10,
        values=xy,
        quality=np.zeros(count, np.uint8),
        athlete=AthleteId(athlete),
    )


def heart_rates(athlete: str, first: int, count: int) -> Readings:
    n = np.arange(first, first + count)
    values = np.stack([120.0 + n % 60, np.ones(count), np.full(count, np.nan)], axis=1)
    return Readings(
        sensor=SensorId(f"hr-{athlete}"),
        stream="heart_rate",
        origin="gateway-1",
        sequence=n,
        time_ns=START_NS + n * NS_PER_S,
        values=values,
        quality=np.zeros(count, np.uint8),
        athlete=AthleteId(athlete),
    )


@dataclass
class Cloud:
    """A data directory that is filled as the ingest fills it."""

    layout: Layout
    seq: int = 0
    clock: ManualClock = field(default_factory=ManualClock)

    def put(self, content: str, body: bytes, count: int) -> str:
        """Store a batch and return its object's key."""
        header = BatchHeader(
            gateway="gw-1",
            epoch=EPOCH,
            seq=self.seq,
            lane=Lane.RAW,
            content=content,
            sha256=sha256_hex(body),
            count=count,
            schema=1,
        )
        self.seq += 1
        intake = Intake(ledger=Ledger(self.layout.ledger), objects=Objects(self.layout.objects), clock=self.clock)
        assert intake.take(header, body, received_ns=self.clock.utc_ns()).status == "stored"
        key = intake.ledger.bronze()[-1].object
        intake.ledger.close()
        return key

    def readings(self, *blocks: Readings) -> str:
        """Store blocks of one stream as one batch."""
        return self.put(blocks[0].stream, encode_parquet(blocks), sum(len(block) for block in blocks))

    def summary(self, time_ns: int, **parts: Any) -> None:
        """Store a summary."""
        empty: dict[str, Any] = {"profiles": [], "metrics": [], "alerts": [], "gaps": []}
        summary = SessionSummary(gateway="gw-1", time_ns=time_ns, **(empty | parts))
        self.put("summary", msgspec.json.encode(summary), 0)

    def run(self) -> Report:
        """Run the pipeline."""
        return run_pipeline(self.layout, self.clock, session_gap_s=600.0, beam_options=[])

    def table(self, name: str) -> pa.Table:
        """Return a table as it is now."""
        root = str(self.layout.tables)
        return read_table(root, name, int(open_table(root, name).version()), columns=TABLES[name].schema.names)

    def identities(self, stream: str) -> list[tuple[str, str, int]]:
        """Return the identities of a readings table's rows."""
        table = self.table(f"readings_{stream}")
        return list(zip(*(table[name].to_pylist() for name in ("sensor", "origin", "sequence")), strict=True))


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    made = Layout(tmp_path)
    make_layout(made)
    return Cloud(made)


@pytest.fixture
def session(cloud: Cloud) -> Cloud:
    """Ninety seconds of two athletes in overlapping batches, with profiles."""
    cloud.summary(1, profiles=list(PROFILES))
    cloud.readings(*(positions(a, 0, 500) for a in ATHLETES))
    cloud.readings(*(positions(a, 400, 500) for a in ATHLETES))
    cloud.readings(*(heart_rates(a, 0, 90) for a in ATHLETES))
    return cloud


def test_pipeline_when_batches_overlap_then_each_reading_once_with_its_values(session: Cloud) -> None:
    """Identity is (sensor, stream, origin, sequence); the first to arrive stays, the rest is counted."""
    report = session.run()
    assert report.duplicates == {"readings_position": 200}
    assert report.rows["readings_position"] == 1800
    ids = session.identities("position")
    assert len(ids) == len(set(ids)) == 1800
    table = session.table("readings_position").filter(pc.field("sensor") == "tag-a1").sort_by("sequence")
    sent = decode_parquet(encode_parquet([positions("a1", 0, 900)]))[0]
    np.testing.assert_array_equal(table["x_m"].to_numpy(), sent.column("x_m"))
    np.testing.assert_array_equal(table["time_ns"].to_numpy(), sent.time_ns)
    assert set(table["batch_seq"].to_pylist()) == {1, 2}
    assert set(table["session"].to_pylist()) == {"gw-1-20260921T141320Z"}


def test_table_when_filtered_by_any_column_then_its_rows_are_found(session: Cloud) -> None:
    """File statistics must not hide rows: ranges for some columns made filters on the others find nothing."""
    session.run()
    root = str(session.layout.tables)
    for name in ("readings_position", "readings_heart_rate", "metrics", "features_athlete_effort"):
        rows = session.table(name)
        for column in rows.column_names:
            value = rows[column][0]
            if value.is_valid and value.as_py() == value.as_py():
                found = read_table(root, name, 1, where=pc.field(column).isin([value]))
                assert len(found) == pc.sum(pc.equal(rows[column], value)).as_py(), (name, column)


def test_pipeline_when_run_twice_then_no_table_gets_a_new_version(session: Cloud) -> None:
    """Nothing new, nothing done."""
    session.run()
    before = versions(str(session.layout.tables))
    assert session.run().run == 0
    assert versions(str(session.layout.tables)) == before


def test_pipeline_when_done_then_metrics_equal_the_shared_code_run_directly(session: Cloud) -> None:
    """A metric has one formula, at the gateway and here."""
    session.run()
    blocks = [positions("a1", 0, 900), heart_rates("a1", 0, 90)]
    blocks = [decoded for block in blocks for decoded in decode_parquet(encode_parquet([block]))]
    expected = derive(blocks, AthleteId("a1"), PROFILES[0])
    rows = [row for row in session.table("metrics").to_pylist() if row["athlete"] == "a1"]
    assert [row["value"] for row in rows if row["metric"] == "hr_zone_seconds@1"] == list(
        expected.metrics["hr_zone_seconds@1"].values
    )
    assert {(row["metric"], row["coverage"], row["quality"]) for row in rows} == {
        (metric, value.coverage, value.quality) for metric, value in expected.metrics.items() if value.coverage
    }
    features = session.table("features_athlete_effort").filter(pc.field("athlete") == "a1").sort_by("time_ns")
    for i, (name, _) in enumerate(ATHLETE_EFFORT.features):
        assert features[name].to_pylist() == [float(row.values[i]) for row in expected.features]
    assert features["hr_bpm"].to_pylist() == expected.labels_bpm
    assert set(features["feature_hash"].to_pylist()) == {ATHLETE_EFFORT.schema_hash}


def test_pipeline_when_more_comes_later_then_same_tables_as_all_at_once(session: Cloud, tmp_path: Path) -> None:
    """Readings are appended, what is derived from a touched session is replaced: the way there does not show."""
    session.run()
    extra = (positions("a1", 850, 300), heart_rates("a1", 85, 30))
    for block in extra:
        session.readings(block)
    report = session.run()
    assert report.duplicates == {"readings_heart_rate": 5, "readings_position": 50}
    whole = Cloud(Layout(tmp_path / "whole"))
    make_layout(whole.layout)
    whole.summary(1, profiles=list(PROFILES))
    whole.readings(*(positions(a, 0, 900) for a in ATHLETES))
    whole.readings(*(heart_rates(a, 0, 90) for a in ATHLETES))
    for block in extra:
        whole.readings(block)
    whole.run()
    for name, keys in (
        ("metrics", ("athlete", "metric", "label")),
        ("features_athlete_effort", ("athlete", "time_ns")),
    ):
        order = [(key, "ascending") for key in keys]
        assert session.table(name).sort_by(order).equals(whole.table(name).sort_by(order))
    assert sorted(session.identities("position")) == sorted(whole.identities("position"))


def test_pipeline_when_an_object_is_damaged_then_dead_letter_and_the_rest_goes_on(session: Cloud) -> None:
    """A file that rotted, vanished or never was what it says costs itself only."""
    rotten = session.readings(positions("a1", 2000, 10))
    gone = session.readings(positions("a1", 3000, 10))
    (session.layout.objects / rotten).write_bytes(b"PAR1")
    (session.layout.objects / gone).unlink()
    report = session.run()
    assert (report.objects, report.dead_letters, report.rows["readings_position"]) == (6, 2, 1800)
    assert sorted(row["reason"] for row in session.table("dead_letter").to_pylist()) == [
        "object differs from its digest",
        "object is missing",
    ]
    assert session.run().run == 0


def test_pipeline_when_objects_keep_coming_then_the_run_ends_all_the_same(session: Cloud) -> None:
    """A run takes what is there; a gateway that uploads faster than a run ends must not keep it going for ever."""
    stop = threading.Event()

    def upload() -> None:
        first = 10_000
        while not stop.wait(0.05):
            session.readings(heart_rates("a1", first, 1))
            first += 1

    uploading = threading.Thread(target=upload)
    uploading.start()
    try:
        report = session.run()
    finally:
        stop.set()
        uploading.join()
    assert report.run <= 2
    assert len(session.identities("heart_rate")) > 0


def test_pipeline_when_profiles_come_late_then_counted_as_skipped_and_derived_again(cloud: Cloud) -> None:
    """Without a profile only what needs none is computed; its arrival completes the session."""
    cloud.readings(positions("a1", 0, 900))
    report = cloud.run()
    assert report.skipped == {
        "athlete_effort@1: no profile": 1,
        "d_prime_balance@1: no profile": 1,
        "speed_band_distance@2: no profile": 1,
    }
    movement = {"distance@2", "max_speed@1", "efforts@1", "metabolic_power@1", "metabolic_energy@1"}
    assert set(cloud.table("metrics")["metric"].to_pylist()) == movement
    cloud.summary(5, profiles=[PROFILES[0]])
    assert cloud.run().skipped == {}
    assert set(cloud.table("metrics")["metric"].to_pylist()) == {*movement, "speed_band_distance@2"}
    assert len(cloud.table("features_athlete_effort")) == 31


def test_pipeline_when_a_pause_is_long_then_two_sessions(cloud: Cloud) -> None:
    """More than ten minutes without any reading ends a session."""
    cloud.summary(1, profiles=list(PROFILES))
    cloud.readings(positions("a1", 0, 100), positions("a2", 20_000, 100))
    cloud.readings(replace(positions("a1", 0, 100, sensor="loose"), athlete=None))
    cloud.run()
    sessions = cloud.table("sessions").sort_by("start_ns").to_pylist()
    assert [row["session"] for row in sessions] == ["gw-1-20260921T141320Z", "gw-1-20260921T144640Z"]
    rows = cloud.table("readings_position").to_pylist()
    assert {(row["sensor"], row["session"][-8:-1]) for row in rows} == {
        ("tag-a1", "T141320"),
        ("tag-a2", "T144640"),
        ("loose", "T141320"),
    }


def test_pipeline_when_summaries_repeat_then_alerts_and_gaps_stand_once(cloud: Cloud) -> None:
    """The newest word on an alert stays; a gap told twice is one gap."""
    alert = AlertSummary(alert="al-1", athlete="a1", rule="r", severity="badge", why="w", started_ns=1, ended_ns=None)
    gap = GapSummary(sensor="tag-a1", stream="position", from_ns=1, to_ns=2, count=3, reason="disk full")
    cloud.summary(10, alerts=[alert], gaps=[gap])
    cloud.run()
    cloud.summary(30, alerts=[msgspec.structs.replace(alert, ended_ns=9)], gaps=[gap])
    cloud.summary(20, alerts=[alert], gaps=[gap])
    cloud.run()
    assert [(row["alert"], row["ended_ns"]) for row in cloud.table("alerts").to_pylist()] == [("al-1", 9)]
    assert [row["count"] for row in cloud.table("gaps").to_pylist()] == [3]


def test_pipeline_when_killed_between_two_commits_then_the_repeated_run_leaves_no_duplicates(
    session: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan is repeated exactly: committed tables stay as they are, the others follow, and new objects wait."""
    commit_table = write.commit_table

    def killed(table: write.Table, *rest: object) -> bool:
        if table.name == "metrics":
            raise StoreError("power cut")
        return commit_table(table, *rest)

    monkeypatch.setattr(write, "commit_table", killed)
    with pytest.raises(Exception, match="power cut"):
        session.run()
    monkeypatch.undo()
    half = versions(str(session.layout.tables))
    assert (half["readings_position"], half["metrics"], half["objects"]) == (1, 0, 0)
    session.readings(positions("a1", 900, 10))
    assert session.run().run == 2
    ids = session.identities("position")
    assert len(ids) == len(set(ids)) == 1810
    assert versions(str(session.layout.tables))["readings_position"] == 2
    rows = [(row["athlete"], row["metric"], row["label"]) for row in session.table("metrics").to_pylist()]
    assert len(rows) == len(set(rows)) == 2 * 26


def test_pipeline_command_when_given_beam_options_then_prints_json(session: Cloud) -> None:
    """The command line passes Beam's own options through after --."""
    words = ["pipeline", "--cloud-dir", str(session.layout.root), "--json", "--", "--runner=FnApiRunner"]
    done = subprocess.run([sys.executable, "-m", "cloud", *words], check=True, capture_output=True)
    printed = json.loads(done.stdout)
    assert (printed["run"], printed["objects"], printed["duplicates"]) == (1, 4, {"readings_position": 200})


def test_verify_command_when_a_reading_is_lost_then_exit_1(session: Cloud) -> None:
    """Truth and tables are compared by value, from end to end."""
    session.run()
    sent = decode_parquet(encode_parquet([positions("a1", 0, 901)]))[0]
    lines = [
        {
            "kind": "position",
            "sensor": "tag-a1",
            "boot": "boot-1",
            "n": int(n),
            "t_ns": int(t),
            "acked": True,
            "fault": None,
            "x_mm": round(float(x) * 1000),
            "y_mm": round(float(y) * 1000),
        }
        for n, t, (x, y, _) in zip(sent.sequence, sent.time_ns, sent.values, strict=True)
    ]
    lines += [
        {
            "kind": "heart_rate",
            "sensor": "hr-a1",
            "n": n,
            "t_ns": START_NS + n * NS_PER_S,
            "acked": None,
            "fault": None,
            "bpm": 120 + n % 60,
            "rr_1024": [],
            "contact": True,
        }
        for n in range(90)
    ]
    truth = session.layout.root / "truth.jsonl"
    for count, code in ((901, 1), (900, 0)):
        truth.write_text("".join(json.dumps(one) + "\n" for one in lines[:count] + lines[901:]))
        words = ["verify", "--cloud-dir", str(session.layout.root), "--truth", str(truth), "--json"]
        done = subprocess.run([sys.executable, "-m", "cloud", *words], check=False, capture_output=True)
        outcome = json.loads(done.stdout)
        assert (done.returncode, outcome["lost"], outcome["found"]) == (code, code, 990)
        assert (outcome["duplicates"], outcome["mismatched"], outcome["unexpected"]) == (0, 0, 0)
