import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cloud.datasets.public.football import YARD_M
from cloud.datasets.validate.check import MOST_BAD, validate, validated
from cloud.datasets.validate.rules import RULES
from shared.errors import ConfigError
from tests import file_samples
from tests import tracking_files as files

Row = dict[str, Any]


def data_set(folder: Path, spoil: Callable[[list[Row]], None]) -> Path:
    """Write a week whose rows `spoil` has changed."""
    table = files.rows()
    spoil(table)
    return files.big_data_bowl(folder, tracking=table)


def change(row: int, **values: object) -> Callable[[list[Row]], None]:
    """Return what changes one row, the first being 1."""
    return lambda table: table[row - 1].update(values)


def second_team(table: list[Row]) -> None:
    for row in table[10:20]:
        row["club"] = "BUF"


def two_ways(table: list[Row]) -> None:
    table[3]["playDirection"] = "left"


def twelfth_man(table: list[Row]) -> None:
    table += [row | {"nflId": 999} for row in table[: files.FRAMES]]


def doubled(table: list[Row]) -> None:
    table.insert(7, dict(table[6]))


def left_out(table: list[Row]) -> None:
    del table[7:10]


BAD = [
    (change(5, x="NA"), "missing", 5),
    (change(5, x="fast"), "type", 5),
    (change(6, frameId="NA"), "missing", 6),
    (change(6, frameId="6.5"), "type", 6),
    (change(7, nflId="nobody"), "type", 7),
    (change(8, playId="NA"), "missing", 8),
    (change(9, s="?"), "type", 9),
    (change(9, dir="north"), "type", 9),
    (change(9, o="north"), "type", 9),
    (change(9, a="?"), "type", 9),
    (change(9, x=150.0), "range", 9),
    (change(9, y=-25.0), "range", 9),
    (change(9, s=25.1), "range", 9),
    (change(9, a=10.1), "range", 9),
    (change(9, a=-10.1), "range", 9),
    (doubled, "duplicate_frame", 8),
    (second_team, "team", 11),
    (twelfth_man, "side", 1),
    (two_ways, "direction", 1),
    (change(40, frameId=4_000), "length", 40),
]


@pytest.mark.parametrize(("spoil", "rule", "row"), BAD)
def test_row_when_it_breaks_a_rule_then_the_report_names_file_row_and_rule(
    tmp_path: Path, spoil: Callable[[list[Row]], None], rule: str, row: int
) -> None:
    """Each rule that makes a row bad finds its fault where it is, and the data set does not pass."""
    report = validate(data_set(tmp_path, spoil))
    first = next(item for item in report.findings if RULES[item.rule].bad)
    assert (Path(first.file).name, first.rule, first.row) == ("tracking_week_1.csv", rule, row)
    assert not report.passed
    assert report.bad_rows >= 1
    assert f"row {row}: {rule}" in report.text()


@pytest.mark.parametrize(
    ("spoil", "rule", "row"),
    [
        (change(9, x=-2.0), "off_field", 9),
        (left_out, "frame_gap", 8),
        (change(9, y=15.0), "step", 9),
        (lambda table: [row.update(event="NA") for row in table if row["playId"] == files.PLAYS[0]], "beginning", 1),
    ],
)
def test_row_when_it_is_odd_but_possible_then_it_is_noted_and_kept(
    tmp_path: Path, spoil: Callable[[list[Row]], None], rule: str, row: int
) -> None:
    """Out of bounds, gaps, jumps and plays without a snap happen in good data: told, not thrown away."""
    report = validate(data_set(tmp_path, spoil), quarantine=tmp_path / "bad.csv")
    first = next(item for item in report.findings)
    assert (first.rule, first.row) == (rule, row)
    assert (report.passed, report.bad_rows, report.quarantine) == (True, 0, None)
    assert not (tmp_path / "bad.csv").exists()


def test_every_rule_when_listed_then_a_test_breaks_it() -> None:
    """No rule stands without a case above; a file's own is below."""
    noted = {"off_field", "frame_gap", "step", "beginning"}
    assert {rule for _, rule, _ in BAD} | noted | {"file"} == set(RULES)


def test_data_set_when_good_then_it_passes_with_nothing_to_say(tmp_path: Path) -> None:
    """No rule is broken by rows that are as they should be, of every layout."""
    writers = (files.big_data_bowl, files.big_data_bowl_2021, files.big_data_bowl_2026, files.next_gen_stats)
    for number, write in enumerate((*writers, files.hockey, files.recording)):
        report = validate(write(tmp_path / str(number)))
        assert report.passed
        assert report.rows > 0
        assert [item for item in report.findings if item.rule != "frame_gap"] == []


def test_bad_rows_when_set_aside_then_the_file_keeps_them_as_they_were(tmp_path: Path) -> None:
    """The quarantine holds file, row, rules and the line itself; the data set is not touched."""
    folder = data_set(tmp_path, lambda table: (change(5, x="fast", s="?")(table), change(90, y=99.0)(table)))
    before = (folder / "tracking_week_1.csv").read_bytes()
    report = validate(folder, quarantine=tmp_path / "kept" / "bad.csv")
    with (tmp_path / "kept" / "bad.csv").open(newline="", encoding="utf-8") as file:
        kept = list(csv.DictReader(file))
    assert [(Path(item["file"]).name, item["row"], item["rules"]) for item in kept] == [
        ("tracking_week_1.csv", "5", "type"),
        ("tracking_week_1.csv", "90", "range"),
    ]
    lines = before.decode().splitlines()
    assert [item["content"] for item in kept] == [lines[5], lines[90]]
    assert (report.bad_rows, report.quarantine) == (2, str(tmp_path / "kept" / "bad.csv"))
    assert (folder / "tracking_week_1.csv").read_bytes() == before


def test_training_data_when_validated_then_bad_rows_are_unknown_positions(tmp_path: Path) -> None:
    """A bad row is left out of the scenes, never mended; with `skip` it is there as the file has it."""
    folder = data_set(tmp_path, change(20, x=150.0))
    checked = validated(folder)
    assert np.isnan(checked.scenes.xy_m[19, 0]).all()
    assert np.isfinite(checked.scenes.xy_m[[18, 20], 0]).all()
    assert checked.validation is not None
    assert (checked.validation.bad_rows, checked.report.rows) == (1, 2 * 23 * files.FRAMES - 1)
    skipped = validated(folder, skip=True)
    assert skipped.validation is None
    assert skipped.scenes.xy_m[19, 0, 0] == pytest.approx(150.0 * YARD_M)


def test_training_data_when_too_much_is_bad_then_training_is_refused(tmp_path: Path) -> None:
    """Over a tenth of bad rows is another thing than the data set it says it is."""

    def spoil(table: list[Row]) -> None:
        for row in table[: round(len(table) * (MOST_BAD + 0.01))]:
            row["y"] = 500.0

    with pytest.raises(ConfigError, match="rows are bad"):
        validated(data_set(tmp_path, spoil))


def test_file_when_a_column_is_missing_then_it_is_reported_and_the_others_are_checked(tmp_path: Path) -> None:
    """One week that cannot be read does not hide what is wrong in another; training is refused."""
    folder = files.big_data_bowl(tmp_path, weeks=(1, 2))
    (folder / "tracking_week_1.csv").write_text("gameId,playId\n1,2\n", encoding="utf-8")
    report = validate(folder)
    assert [item.rule for item in report.findings] == ["file"]
    assert "lacks the columns nflId, frameId" in report.findings[0].what
    assert [Path(file.file).name for file in report.files] == ["tracking_week_1.csv", "tracking_week_2.csv"]
    assert not report.passed
    with pytest.raises(ConfigError, match=r"tracking_week_1\.csv: lacks the columns"):
        validated(folder)


def test_report_when_made_a_page_then_it_says_what_the_text_says_and_escapes_names(tmp_path: Path) -> None:
    """The page is one file without scripts, and a file's name is text in it."""
    folder = files.big_data_bowl(tmp_path / "a<b>", tracking=files.rows())
    (folder / "tracking_week_1.csv").write_text("gameId\n", encoding="utf-8")
    page = validate(folder).html()
    assert "a&lt;b&gt;" in page
    assert "a<b>" not in page
    assert "lacks the columns" in page
    assert "<script" not in page


def test_findings_when_there_are_many_then_all_are_counted_and_a_few_spelt_out(tmp_path: Path) -> None:
    """A page of a million lines helps nobody; the count is of all."""

    def spoil(table: list[Row]) -> None:
        for row in table[:100]:
            row["y"] = -3.0

    report = validate(data_set(tmp_path, spoil))
    assert report.files[0].broken["off_field"] == 100
    assert sum(item.rule == "off_field" for item in report.findings) == 20


def test_activities_when_validated_then_values_out_of_their_sports_range_are_named(tmp_path: Path) -> None:
    """Heart rates nobody has and damaged files are found in FIT and TCX too."""
    (tmp_path / "run.tcx").write_bytes(file_samples.tcx().replace(b"<Value>121<", b"<Value>321<"))
    (tmp_path / "crc.fit").write_bytes(file_samples.fit()[:-3])
    report = validate(tmp_path)
    assert sorted((Path(item.file).name, item.row, item.rule) for item in report.findings) == [
        ("crc.fit", 0, "file"),
        ("run.tcx", 2, "range"),
    ]
    assert report.layout == "activities"
