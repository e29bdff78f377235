"""Every published recording that we hold: imported with so many readings of each stream, or refused for one reason."""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.files.importer import Naming, Opened, blocks_of, open_files
from edge.store.database import open_database
from edge.store.imports import find_import, pack, store_import
from edge.store.reader import JournalReader
from shared.errors import DecodeError
from shared.ids import AthleteId
from shared.readings import Readings
from tests.factories import START_NS
from tests.tools import OPEN_DATA, missing

ACTIVITIES, TRACKING = OPEN_DATA / "activities", OPEN_DATA / "tracking_format_samples"
UNKNOWN = "it is none of the known formats"
NOTHING = "it holds none of heart rate, RR, speed, distance, cadence, power, gait, place"
ANYBODY = Naming(athlete=None, players={}, worn=lambda *_: None, keep=True)
"""Whoever it is of: these recordings name nobody."""

EXPECTED: dict[str, dict[str, int] | str] = {
    "goldencheetah/06021201.hrm": {"heart_rate": 2150},
    "goldencheetah/09052101.hrm": {"cadence": 843, "heart_rate": 843, "speed": 843},
    "goldencheetah/10091901.hrm": {"cadence": 811, "heart_rate": 811, "speed": 811},
    "goldencheetah/14582164182.fit.gz": {
        "cadence": 2760,
        "heart_rate": 2760,
        "location": 2760,
        "power": 2760,
        "speed": 2760,
    },
    "goldencheetah/2008_12_28_08_13_27.tcx": {"location": 6568, "speed": 6568},
    "goldencheetah/2009_08_30_21_17_25.tcx": {"heart_rate": 4111, "location": 4106, "speed": 4111},
    "goldencheetah/2009_11_28_11_00_00.csv": {"cadence": 3600, "heart_rate": 3600, "power": 3600, "speed": 3600},
    "goldencheetah/2012_01_11_11_51_01.fit": {"cadence": 1044, "heart_rate": 1143, "location": 1157, "speed": 1157},
    "goldencheetah/2013-04-11-17-32-50.fit": {"heart_rate": 1816, "location": 1744, "speed": 1816},
    "goldencheetah/20130716_202738.fit": {
        "cadence": 437,
        "heart_rate": 437,
        "location": 437,
        "power": 437,
        "speed": 437,
    },
    "goldencheetah/2017_hrv.FIT": {"heart_rate": 3821, "rr": 8174, "speed": 3822},
    "goldencheetah/COPYING": UNKNOWN,
    "goldencheetah/Garmin830_with_Stages.fit": {"cadence": 1798, "heart_rate": 1798, "power": 1798},
    "goldencheetah/Garmin920_withFirstbeat.fit": {"gait": 2103, "heart_rate": 2120, "location": 2125, "speed": 2125},
    "goldencheetah/HRV-Data.fit": {
        "gait": 4242,
        "heart_rate": 4242,
        "location": 4242,
        "power": 4242,
        "rr": 9350,
        "speed": 4242,
    },
    "goldencheetah/Indoor_Cycling2smO2sensors.fit": {"heart_rate": 10, "speed": 16},
    "goldencheetah/Move_2014_01_17_09_33_11.gpx": {"heart_rate": 1405, "location": 1405, "speed": 1405},
    "goldencheetah/SigmaRox11_1.fit": {
        "cadence": 7259,
        "heart_rate": 7259,
        "location": 7257,
        "power": 7259,
        "speed": 7259,
    },
    "goldencheetah/TacxNeo.fit.zip": {"cadence": 627, "heart_rate": 547, "power": 627, "rr": 1166, "speed": 627},
    "goldencheetah/descriptions.txt": UNKNOWN,
    "goldencheetah/moxy.fit": NOTHING,
    "goldencheetah/rr-George_Ron_2017-08-03_08-28-50.txt": {"rr": 979},
    "tormoder_fit/LICENSE": UNKNOWN,
    "tormoder_fit/chained/activity-settings.fit": {"location": 14, "speed": 14},
    "tormoder_fit/corrupt/activity-filecrc.fit": "damaged FIT: mismatching CRC in FIT footer",
    "tormoder_fit/corrupt/activity-unexpected-eof.fit": "damaged FIT: expected 1 bytes, got 0 @ 768",
    "tormoder_fit/dcrainmaker/Edge810-Vector-2013-08-16-15-35-10.fit": {
        "cadence": 4634,
        "heart_rate": 4671,
        "location": 4700,
        "power": 4700,
        "speed": 4700,
    },
    "tormoder_fit/fitsdk/Activity.fit": {"location": 14, "speed": 14},
    "tormoder_fit/fitsdk/DeveloperData.fit": "none of its 3 records has a time",
    "tormoder_fit/fitsdk/MonitoringFile.fit": NOTHING,
    "tormoder_fit/fitsdk/activity_poolswim_with_hr.fit": {"heart_rate": 7579, "speed": 87},
    "tormoder_fit/me/activity-small-fenix2-run.fit": {
        "gait": 2684,
        "heart_rate": 2808,
        "location": 2809,
        "speed": 2809,
    },
    "tormoder_fit/misc/0134902991.fit": {
        "cadence": 739,
        "heart_rate": 739,
        "location": 739,
        "power": 739,
        "speed": 739,
    },
    "tormoder_fit/misc/2015-10-13-08-43-15.fit": {"location": 221, "speed": 221},
    "tormoder_fit/misc/mornindew-broken.fit": {"heart_rate": 6857, "location": 6873, "speed": 6874},
    "tormoder_fit/python-fitparse/antfs-dump.63.fit": {"heart_rate": 685},
    "tormoder_fit/python-fitparse/compressed-speed-distance.fit": {"heart_rate": 754, "speed": 754},
    "tormoder_fit/python-fitparse/sample-activity-indoor-trainer.fit": {
        "cadence": 2222,
        "heart_rate": 2263,
        "power": 2222,
    },
}
"""File and its readings by stream, or the beginning of the refusal."""

UNDATED = {
    "goldencheetah/2009_11_28_11_00_00.csv",
    "goldencheetah/rr-George_Ron_2017-08-03_08-28-50.txt",
    "tormoder_fit/python-fitparse/antfs-dump.63.fit",
    "tormoder_fit/python-fitparse/compressed-speed-distance.fit",
}
"""Files that do not say when they were recorded."""

PAIRS = {
    ("metrica_home.csv", "metrica_away.csv"): (135, 29),
    ("skillcorner_v3_raw_data.jsonl", "skillcorner_meta_data.json"): (138, 32),
    ("skillcorner_v3_raw_data.jsonl", "skillcorner_match_data.json"): "damaged SkillCorner, or files of different",
    ("tracab_raw.dat", "tracab_meta.xml"): (161, 31),
    ("sportec_positional.xml", "sportec_meta.xml"): (487, 4),
}
"""Tracking: positions and bodies, or the refusal of two files of different matches."""

ALONE = {
    "LICENSE_kloppy_BSD3": UNKNOWN,
    "metrica_away.csv": "it looks like Metrica CSV away without its home file",
    "metrica_home.csv": "it looks like Metrica CSV home without its away file",
    "skillcorner_match_data.json": "it looks like SkillCorner metadata without its frames file",
    "skillcorner_meta_data.json": "it looks like SkillCorner metadata without its frames file",
    "skillcorner_v3_raw_data.jsonl": "it looks like SkillCorner frames without its metadata file",
    "sportec_events.xml": UNKNOWN,
    "sportec_meta.xml": "it looks like Sportec match without its positions file",
    "sportec_positional.xml": "it looks like Sportec positions without its match file",
    "tracab_meta.xml": "it looks like Tracab metadata without its frames file",
    "tracab_raw.dat": "it looks like Metrica EPTS frames without its metadata file or Tracab frames",
}


def body(path: Path) -> bytes:
    """Return a recording's bytes."""
    if not path.is_file():
        missing(f"recording {path.name}")
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A real database file."""
    with contextlib.closing(open_database(tmp_path / "gateway.sqlite", max_bytes=2**30)) as connection:
        yield connection


def stored_twice(database: sqlite3.Connection, opened: Opened, start_ns: int | None) -> list[Readings]:
    """Store a file, try it again, and return what the journal then holds of it."""
    folder = Path(database.execute("PRAGMA database_list").fetchone()[2]).parent
    for taken in (True, False):
        blocks = blocks_of(opened, ANYBODY, start_ns=start_ns)
        assert store_import(database, folder, opened.origin, "a file", list(pack(blocks)), START_NS) is taken
    count = sum(map(len, blocks))
    known = find_import(database, opened.origin)
    assert known is not None
    assert known.readings == count
    with JournalReader(folder / "gateway.sqlite") as reader:
        held = [block for _, found in reader.blocks(imported=True) for block in found]
    assert sum(map(len, held)) == count
    keys = {(b.sensor, b.stream, b.origin, n) for b in held for n in b.sequence.tolist()}
    assert len(keys) == count, "two readings of one identity"
    return held


def test_recordings_when_listed_then_the_tables_name_every_one() -> None:
    """Rule: no published file is passed over."""
    if not ACTIVITIES.is_dir():
        missing("published activities")
    found = {path.relative_to(ACTIVITIES).as_posix() for path in ACTIVITIES.rglob("*") if path.is_file()}
    assert found == set(EXPECTED)
    assert {path.name for path in TRACKING.iterdir()} == set(ALONE)
    assert {name for pair in PAIRS for name in pair} <= set(ALONE)


@pytest.mark.parametrize("name", EXPECTED)
def test_activity_when_imported_then_it_is_stored_once_or_refused_with_its_reason(
    name: str, database: sqlite3.Connection
) -> None:
    """Rule: a file is in the journal with every row, once, or not at all for a reason that people understand."""
    whole, expected = body(ACTIVITIES / name), EXPECTED[name]
    if isinstance(expected, str):
        with pytest.raises(DecodeError) as refused:
            open_files([whole], salvage=False)
        assert str(refused.value).startswith(expected)
        return
    opened = open_files([whole], salvage=False)
    if name in UNDATED:
        with pytest.raises(DecodeError, match="--start"):
            blocks_of(opened, ANYBODY, start_ns=None)
    held = stored_twice(database, opened, START_NS if name in UNDATED else None)
    counts: Counter[str] = Counter()
    for block in held:
        counts[block.stream] += len(block)
        assert block.clocks is None
    assert dict(counts) == expected


@pytest.mark.parametrize("pair", PAIRS, ids="+".join)
def test_tracking_when_imported_then_bodies_are_on_or_near_the_pitch(
    pair: tuple[str, str], database: sqlite3.Connection
) -> None:
    """Rule: both teams and the ball come out in metres from a corner of the pitch."""
    bodies, expected = [body(TRACKING / name) for name in pair], PAIRS[pair]
    if isinstance(expected, str):
        with pytest.raises(DecodeError) as refused:
            open_files(bodies, salvage=False)
        assert str(refused.value).startswith(expected)
        return
    opened = open_files(bodies, salvage=False)
    held = stored_twice(database, opened, None if opened.content.dated else START_NS)
    assert (sum(map(len, held)), len({block.sensor for block in held})) == expected
    assert opened.sensor("ball") in {block.sensor for block in held}
    where = np.concatenate([block.values[:, :2] for block in held])
    assert ((where > -10) & (where < (115, 78))).all()


@pytest.mark.parametrize("name", ALONE)
def test_half_of_a_match_when_alone_then_it_is_refused_with_its_reason(name: str) -> None:
    """Rule: a file that lacks its other half says which."""
    with pytest.raises(DecodeError) as refused:
        open_files([body(TRACKING / name)], salvage=False)
    assert str(refused.value).startswith(ALONE[name])


@pytest.mark.parametrize("name", ["activity-filecrc.fit", "activity-unexpected-eof.fit"])
def test_corrupt_fit_when_salvaged_then_it_holds_what_the_whole_one_does(name: str) -> None:
    """Rule: asked to, what precedes the damage is taken: here all 14 rows; the readings are marked as in doubt."""
    parent = ACTIVITIES / "tormoder_fit"
    opened = open_files([body(parent / "corrupt" / name)], salvage=True)
    whole = open_files([body(parent / "fitsdk" / "Activity.fit")], salvage=False)
    assert opened.content.damage is not None
    for found, good in zip(opened.content.series, whole.content.series, strict=True):
        assert found.time_ns.tolist() == good.time_ns.tolist()
    assert all(block.quality.all() for block in blocks_of(opened, ANYBODY, start_ns=None))


def test_activities_when_read_then_values_are_those_that_stand_in_them() -> None:
    """Rule: the numbers are the file's own, as a text editor shows them."""
    for name, stream, column, first in (
        ("06021201.hrm", "heart_rate", 0, 79.0),
        ("10091901.hrm", "speed", 0, 5.1 / 3.6),
        ("Move_2014_01_17_09_33_11.gpx", "location", 0, 47.229716),
        ("2009_08_30_21_17_25.tcx", "heart_rate", 0, 103.0),
        ("2009_11_28_11_00_00.csv", "power", 0, 340.0),
        ("rr-George_Ron_2017-08-03_08-28-50.txt", "rr", 0, 809.0),
    ):
        opened = open_files([body(ACTIVITIES / "goldencheetah" / name)], salvage=False)
        found = next(series for series in opened.content.series if series.stream == stream)
        assert found.values[0, column] == pytest.approx(first), name


def test_file_when_packed_otherwise_then_it_is_the_same_file() -> None:
    """Rule: identity is the content's: gzip or not, whatever its name."""
    import gzip

    packed = body(ACTIVITIES / "goldencheetah" / "14582164182.fit.gz")
    first, second = open_files([packed], salvage=False), open_files([gzip.decompress(packed)], salvage=False)
    assert first.origin == second.origin
    assert first.sensor("") == f"file-{first.origin[:12]}"
    named = Naming(athlete=AthleteId("a01"), players={}, worn=ANYBODY.worn, keep=False)
    assert {block.athlete for block in blocks_of(first, named, start_ns=None)} == {"a01"}
