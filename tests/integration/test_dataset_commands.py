import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cloud.__main__ import build, main
from cloud.datasets.scene_set import held_out_games, read_scene_set
from tests import tracking_files as files


def run(*words: object) -> Result:
    return CliRunner().invoke(build(), [str(word) for word in words], catch_exceptions=False)


def test_validate_when_all_is_good_then_it_exits_0_and_says_so(tmp_path: Path) -> None:
    """A good data set passes; the page is written all the same."""
    folder = files.big_data_bowl(tmp_path / "data", weeks=(1, 2))
    result = run("dataset", "validate", folder, "--weeks", "2", "--html", tmp_path / "report.html")
    assert result.exit_code == 0
    assert f"{2 * 23 * files.FRAMES} rows in 1 files, 0 bad" in result.output
    assert "<h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_validate_when_rows_are_bad_then_it_exits_1_and_names_them(tmp_path: Path) -> None:
    """File, row and rule on the terminal and as JSON; the bad row is copied to the quarantine."""
    table = files.rows()
    table[11]["y"] = 99.0
    folder = files.big_data_bowl(tmp_path / "data", tracking=table)
    result = run("dataset", "validate", folder, "--quarantine", tmp_path / "bad.csv")
    assert result.exit_code == 1
    assert "tracking_week_1.csv, row 12: range: y_m 90.5256" in result.output
    assert len((tmp_path / "bad.csv").read_text(encoding="utf-8").splitlines()) == 2
    report = json.loads(run("dataset", "validate", folder, "--json").output)
    assert [(item["row"], item["rule"]) for item in report["findings"] if item["rule"] == "range"] == [(12, "range")]


def test_scenes_when_built_then_data_set_quarantine_and_lineage_are_written(tmp_path: Path) -> None:
    """One command leaves the arrays, the card, the bad row and the events; without validation the row is in."""
    table = files.rows()
    table[11]["y"] = 99.0
    folder, cloud = files.big_data_bowl(tmp_path / "data", tracking=table), tmp_path / "cloud"
    first = run("dataset", "scenes", folder, "--cloud-dir", cloud)
    assert first.exit_code == 0
    assert "1 bad rows left out" in first.output
    [place] = (cloud / "datasets" / "trajectory_scenes").iterdir()
    scenes, held_out, card = read_scene_set(place)
    assert held_out == held_out_games(scenes)
    assert card.rows == 2 * 23 * files.FRAMES - 1
    lines = (cloud / "lineage" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["eventType"] for line in lines] == ["START", "COMPLETE"]
    whole = json.loads(run("dataset", "scenes", folder, "--cloud-dir", cloud, "--no-validation", "--json").output)
    assert whole["rows"] == 2 * 23 * files.FRAMES
    assert whole["digest"] != card.digest


def test_dataset_when_the_path_is_unknown_then_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in no known layout is an error of one line, not a trace."""
    (tmp_path / "letters.txt").write_text("a", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["cloud", "dataset", "validate", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code not in (0, None)
    shown = capsys.readouterr().err
    assert "no layout that is known" in shown
    assert "Traceback" not in shown
