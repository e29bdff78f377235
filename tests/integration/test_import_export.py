"""`import-file` and `export-session`: from a file into the journal and out again, as people use them."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from edge.__main__ import app
from edge.export.xlsx import write_workbook
from edge.files.registry import read
from edge.store.journal import Journal
from edge.store.reader import JournalReader
from shared.clock import NS_PER_S, ManualClock
from shared.errors import ConfigError, SidelineError, SourceError
from shared.ids import BALL, AthleteId, SensorId
from shared.parquet_codec import decode_parquet
from shared.readings import Readings
from tests.factories import START_NS, heart_rates, positions, readings
from tests.file_samples import RR, fit, tracab
from tests.tools import ROOT

Call = Callable[..., str]


@pytest.fixture
def call(gateway_file: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in this process and returns what it printed; its errors come out as they are."""

    def run(*words: object) -> str:
        capsys.readouterr()
        app([str(word) for word in (*words, "--settings", gateway_file)], standalone_mode=False)
        return capsys.readouterr().out

    return run


def write(folder: Path, name: str, body: bytes) -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(body)
    return path


def unfinished(folder: Path) -> list[Path]:
    """Return the files under another name that an export would leave behind."""
    return list(folder.glob(".*.tmp"))


def held(gateway_file: Path) -> list[Readings]:
    """Return all that the journal holds."""
    path = gateway_file.parent / "data" / "gateway.sqlite"
    if not path.exists():
        return []
    with JournalReader(path) as reader:
        return [block for _, blocks in reader.blocks(imported=True) for block in blocks]


async def live(gateway_file: Path, *blocks: Readings) -> None:
    """Store blocks as the gateway does."""
    journal = Journal.open(gateway_file.parent / "data" / "gateway.sqlite", ManualClock(), max_bytes=2**28)
    await journal.append(blocks)
    journal.close()


def test_import_when_repeated_then_it_is_stored_once_under_its_athlete(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: the same file twice adds nothing, whatever its name, and says so."""
    assert "stored" in call("import-file", write(tmp_path, "run.fit", fit()), "--athlete", "a01")
    before = held(gateway_file)
    assert {block.athlete for block in before} == {"a01"}
    assert "already imported as run.fit" in call("import-file", write(tmp_path, "copy", fit()), "--athlete", "a01")
    assert sum(map(len, held(gateway_file))) == sum(map(len, before))


def test_import_when_dry_then_it_shows_and_stores_nothing(call: Call, gateway_file: Path, tmp_path: Path) -> None:
    """Rule: --dry-run changes nothing on the disk."""
    shown = call("import-file", write(tmp_path, "run.fit", fit()), "--athlete", "a01", "--dry-run")
    assert "heart_rate" in shown
    assert "2026-03-01 18:30:00" in shown
    assert not (gateway_file.parent / "data").exists()


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        ((), ConfigError, "whose the file is"),
        (("--athlete", "a99"), ConfigError, "not in the roster"),
        (("--map", "home-1=a01"), ConfigError, "nobody of that name"),
        (("--athlete", "a01", "--start", "soon"), ConfigError, "not a moment"),
        (("--athlete", "a01", "--with", "nowhere"), SourceError, "No such file"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_import_when_asked_wrongly_then_it_is_refused_and_nothing_is_stored(
    options: tuple[str, ...], kind: type[SidelineError], reason: str, call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: a wrong option is one clear error."""
    with pytest.raises(kind, match=reason):
        call("import-file", write(tmp_path, "run.fit", fit()), *options)
    assert held(gateway_file) == []


def test_import_when_a_match_has_strangers_then_they_are_named_or_kept(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: players without a name stop the import and are listed, unless they are to be kept; the ball is known."""
    frames, meta = (write(tmp_path, name, body) for name, body in zip(("f.dat", "m.xml"), tracab(), strict=True))
    with pytest.raises(ConfigError, match="away-9, home-10"):
        call("import-file", frames, "--with", meta)
    with pytest.raises(ConfigError, match="two players"):
        call("import-file", frames, "--with", meta, "--map", "home-10=a01,away-9=a01")
    with pytest.raises(ConfigError, match="--athlete"):
        call("import-file", frames, "--with", meta, "--athlete", "a01")
    assert held(gateway_file) == []
    players = write(tmp_path, "players.json", json.dumps({"home-10": "a01"}).encode())
    call("import-file", meta, "--with", frames, "--players", players, "--unmapped", "keep")
    assert {str(block.sensor)[13:]: block.athlete for block in held(gateway_file)} == {
        "home-10": "a01",
        "away-9": None,
        "ball": "ball",
    }


def test_import_when_the_roster_knows_the_sensor_then_no_name_is_asked(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: a file's sensor id can be assigned in the roster like any other."""
    file = write(tmp_path, "run.fit", fit())
    with pytest.raises(ConfigError, match="file-") as refused:
        call("import-file", file)
    sensor = next(word for word in str(refused.value).replace(",", " ").split() if word.startswith("file-"))
    roster_file = gateway_file.parent / "roster.json"
    roster = json.loads(roster_file.read_text())
    roster["assignments"].append({"sensor": sensor, "athlete": "a01"})
    roster_file.write_text(json.dumps(roster))
    call("import-file", file)
    assert {block.athlete for block in held(gateway_file)} == {"a01"}


def test_import_when_the_file_says_no_date_then_start_puts_it_in_time(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: without a date the import is refused; --start is when the first reading was taken, in its own zone."""
    file = write(tmp_path, "beats.txt", RR)
    with pytest.raises(SourceError, match="--start"):
        call("import-file", file, "--athlete", "a01")
    call("import-file", file, "--athlete", "a01", "--start", "2026-03-01T19:30:00+01:00")
    (block,) = held(gateway_file)
    assert (block.time_ns - block.time_ns[0]).tolist() == [0, 809_000_000, 1_585_000_000]
    assert block.time_ns[0] == 1_772_389_800 * NS_PER_S


def test_import_when_the_fit_is_damaged_then_it_is_refused_or_salvaged(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: a corrupt file changes nothing; what precedes the damage comes when asked for, and the damage is told."""
    file = write(tmp_path, "cut.fit", fit(count=10)[:-60])
    with pytest.raises(SourceError, match="damaged FIT"):
        call("import-file", file, "--athlete", "a01")
    assert held(gateway_file) == []
    assert "damaged" in call("import-file", file, "--athlete", "a01", "--salvage")
    assert all(block.quality.all() for block in held(gateway_file))


def test_commands_when_refused_then_people_see_one_line_and_no_traceback(gateway_file: Path, tmp_path: Path) -> None:
    """Rule: an error of ours is one clear line on the real command line."""
    file = write(tmp_path, "what.fit", b"nothing of ours")
    words = [sys.executable, "-m", "edge", "import-file", str(file), "--settings", str(gateway_file)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "none of the known formats" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


async def test_export_when_as_fit_then_an_import_of_it_gives_the_same(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: out and in again: the same heart rates, speeds, distances and places, at the same times."""
    speeds = readings("speed", [(n / 10, n * 3.0, 160.0, np.nan) for n in range(60)])
    places = readings("location", [(48 + n / 1e5, 11 - n / 1e5, 500.0, np.nan) for n in range(60)])
    made = [heart_rates(np.arange(100, 160)), speeds, places]
    await live(gateway_file, *made)
    call("export-session", "--format", "fit", "--output", tmp_path / "out")
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "a01.fit"
    _, content = read([file.read_bytes()])
    for block in made:
        found = next(series for series in content.series if series.stream == block.stream)
        assert found.time_ns.tolist() == block.time_ns.tolist()
        np.testing.assert_allclose(found.values[:, 0], block.values[:, 0], atol=5e-8)
        if block.stream != "heart_rate":
            np.testing.assert_allclose(found.values[:, 1:3], block.values[:, 1:3], atol=5e-8)


async def test_export_when_a_squad_goes_out_as_fit_then_each_athlete_has_a_file(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: one FIT file an athlete; who has nothing that FIT holds, and the ball, has none."""
    ecg = readings("ecg", [(1.0,)], athlete=AthleteId("a03"), sensor=SensorId("c"))
    ball = positions([(0, 0)], athlete=BALL, sensor=SensorId("b"))
    await live(gateway_file, heart_rates([120]), heart_rates([99], athlete=AthleteId("a02")), ecg, ball)
    call("export-session", "--format", "fit", "--output", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a01.fit", "a02.fit"}
    with pytest.raises(ConfigError, match="2 athletes"):
        call("export-session", "--format", "fit", "--output", tmp_path / "all.fit")
    with pytest.raises(ConfigError, match="no athlete"):
        call("export-session", "--format", "fit", "--output", tmp_path / "b", "--athlete", "a03")


async def test_export_when_as_parquet_then_it_reads_back_equal(call: Call, gateway_file: Path, tmp_path: Path) -> None:
    """Rule: every reading, its identity, time, flags and values."""
    await live(gateway_file, heart_rates([120, 121, 122]), positions([(1.5, 2.25)]))
    call("export-session", "--format", "parquet", "--output", tmp_path / "out")
    (block,) = decode_parquet((tmp_path / "out" / "heart_rate.parquet").read_bytes())
    made = heart_rates([120, 121, 122])
    for field in ("time_ns", "sequence", "quality", "values"):
        np.testing.assert_array_equal(getattr(block, field), getattr(made, field))
    assert (block.sensor, block.athlete, block.origin) == (made.sensor, made.athlete, made.origin)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"heart_rate.parquet", "position.parquet"}


async def test_export_when_as_csv_then_units_times_and_metrics_stand_in_it(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: UTF-8 with units; times for people and programs; no text that a spreadsheet would run."""
    await live(gateway_file, heart_rates([120, 121], origin="=cmd()"), positions([(0.1 * n, 0) for n in range(600)]))
    call("export-session", "--format", "csv", "--output", tmp_path / "out")
    with (tmp_path / "out" / "heart_rate.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["heart_rate_bpm (bpm)"] for row in rows] == ["120.0", "121.0"]
    assert [int(row["time_ns"]) for row in rows] == [START_NS, START_NS + NS_PER_S]
    assert rows[0]["time (UTC)"] == "2026-09-21T14:13:20.000000000Z"
    assert rows[0]["energy_kj (kJ)"] == ""
    assert rows[0]["origin"] == "'=cmd()"
    with (tmp_path / "out" / "summary.csv").open(encoding="utf-8", newline="") as file:
        summary = list(csv.DictReader(file))
    assert {(row["athlete"], row["number"], row["name"]) for row in summary} == {("a01", "1", "Player 1")}
    assert all("@" in row["metric"] and row["title"] and row["unit"] for row in summary)
    way = next(row for row in summary if row["metric"].startswith("distance@"))
    assert float(way["value"]) == pytest.approx(60, rel=0.05)
    assert 0 <= float(way["coverage (0..1)"]) <= 1


async def test_export_when_two_straps_are_worn_then_metrics_and_fit_are_of_one_at_a_time(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: the exported numbers are those of the tablet: two sensors on one stream never mix; all readings stay."""
    await live(gateway_file, heart_rates([100] * 60), heart_rates([190] * 60, sensor=SensorId("pod")))
    call("export-session", "--format", "csv", "--output", tmp_path / "out")
    with (tmp_path / "out" / "summary.csv").open(encoding="utf-8", newline="") as file:
        zones = [row for row in csv.DictReader(file) if row["metric"].startswith("hr_zone_seconds@")]
    assert sum(float(row["value"]) > 0 for row in zones) == 1
    assert len((tmp_path / "out" / "heart_rate.csv").read_text().splitlines()) == 1 + 120
    call("export-session", "--format", "fit", "--output", tmp_path / "a01.fit")
    _, content = read([(tmp_path / "a01.fit").read_bytes()])
    (rates,) = (series for series in content.series if series.stream == "heart_rate")
    assert len(set(rates.values[:, 0].tolist())) == 1


async def test_export_when_as_workbook_then_numbers_are_numbers_under_frozen_headers(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: one workbook, a sheet of metrics first, one sheet per stream."""
    await live(gateway_file, heart_rates([120, 121]), positions([(1.5, 2.25)]))
    call("export-session", "--format", "xlsx", "--output", tmp_path / "training.xlsx")
    book = openpyxl.load_workbook(tmp_path / "training.xlsx")
    assert book.sheetnames == ["Summary", "heart_rate", "position"]
    sheet = book["heart_rate"]
    assert sheet.freeze_panes == "A2"
    head = [cell.value for cell in sheet[1]]
    first = dict(zip(head, [cell.value for cell in sheet[2]], strict=True))
    assert (first["heart_rate_bpm (bpm)"], first["athlete"], first["energy_kj (kJ)"]) == (120, "a01", None)
    assert first["time (UTC)"].isoformat() == "2026-09-21T14:13:20"
    assert isinstance(book["Summary"]["F2"].value, int | float)


async def test_export_when_a_file_is_there_then_it_is_kept_unless_forced(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: nothing is overwritten by accident, and no half file is left behind."""
    await live(gateway_file, heart_rates([120]))
    file = write(tmp_path, "mine.xlsx", b"mine")
    with pytest.raises(ConfigError, match="--force"):
        call("export-session", "--format", "xlsx", "--output", file)
    assert file.read_bytes() == b"mine"
    call("export-session", "--format", "xlsx", "--output", file, "--force")
    assert file.read_bytes() != b"mine"
    assert unfinished(tmp_path) == []


async def test_export_when_times_and_athletes_are_chosen_then_only_they_come(
    call: Call, gateway_file: Path, tmp_path: Path
) -> None:
    """Rule: [from, to), the athletes asked for, imported files too; nothing found is an error."""
    await live(
        gateway_file,
        heart_rates(np.arange(100, 110)),
        heart_rates([200], athlete=AthleteId("a02"), sensor=SensorId("other")),
    )
    call("import-file", write(tmp_path, "run.fit", fit()), "--athlete", "a01")
    words = ("export-session", "--format", "parquet", "--output", tmp_path / "out")
    call(*words, "--from", "2026-09-21T14:13:22", "--to", "2026-09-21T16:13:25+02:00", "--athlete", "a01")
    (block,) = decode_parquet((tmp_path / "out" / "heart_rate.parquet").read_bytes())
    assert block.values[:, 0].tolist() == [102, 103, 104]
    call(*words, "--from", "2026-01-01", "--to", "2026-06-01", "--force")
    (block,) = decode_parquet((tmp_path / "out" / "heart_rate.parquet").read_bytes())
    assert block.values[:, 0].tolist() == [120, 121, 122]
    for wrong, reason in (
        (("--athlete", "a03"), "no readings of a03"),
        (("--from", "2027-01-01"), "no readings"),
        (("--from", "2027-01-01", "--to", "2026-01-01"), "not after"),
    ):
        with pytest.raises(ConfigError, match=reason):
            call(*words, *wrong)


def test_export_when_only_files_were_imported_then_the_latest_session_is_none(call: Call, tmp_path: Path) -> None:
    """Rule: an import is no session; the error says how to export it."""
    call("import-file", write(tmp_path, "run.fit", fit()), "--athlete", "a01")
    with pytest.raises(ConfigError, match="--from and --to"):
        call("export-session", "--format", "csv", "--output", tmp_path / "out")


def test_workbook_when_a_stream_is_longer_than_a_sheet_then_it_goes_on_in_another(tmp_path: Path) -> None:
    """Rule: no row is lost to the limit of a spreadsheet's sheet."""
    path, seen = tmp_path / "long.xlsx", list[int]()
    write_workbook(path, {"heart_rate": [heart_rates(range(120, 127))]}, [], on_rows=seen.append, max_rows=4)
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["Summary", "heart_rate", "heart_rate 2", "heart_rate 3"]
    column = [row[6] for name in book.sheetnames[1:] for row in book[name].iter_rows(min_row=2, values_only=True)]
    assert column == list(range(120, 127))
    assert sum(seen) == 7
