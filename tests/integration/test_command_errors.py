"""What people see of the commands when something is wrong: one whole line that says what and where."""

import sys
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.store.journal import Journal
from shared.clock import ManualClock
from tests.factories import heart_rates, write_gateway_files
from tests.file_samples import RR, fit

CORNERS = "[[51.5560, -0.2800], [51.5566, -0.2800], [51.5566, -0.2785], [51.5560, -0.2785]]"


def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int | str | None, str]:
    """Run a command as the shell does; return its exit status and all that it said."""
    monkeypatch.setattr(sys, "argv", ["sideline-gateway", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return ended.value.code, out + err


async def stored(gateway_file: Path) -> None:
    """Store three heart rates as the gateway does."""
    journal = Journal.open(gateway_file.parent / "data" / "gateway.sqlite", ManualClock(), max_bytes=2**28)
    await journal.append([heart_rates([120, 121, 122])])
    journal.close()


@pytest.mark.parametrize("name", ["run [a].fit", "run [b]old.fit", "a[/b].fit"])
def test_error_when_a_name_looks_like_markup_then_it_stands_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: brackets in names are names."""
    settings = write_gateway_files(tmp_path)
    words = ("import-file", tmp_path / name, "--settings", settings)
    assert said(monkeypatch, capsys, *words) == (1, f"error: {tmp_path / name}: No such file or directory\n")


def test_error_when_it_is_longer_than_a_terminal_then_it_is_one_line_with_all_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a program that reads the line gets it whole; words in brackets are no markup."""
    settings = write_gateway_files(tmp_path, f"[session]\npitch_corners = {CORNERS}\n")
    code, text = said(monkeypatch, capsys, "check-settings", "--settings", settings)
    assert code == 2
    assert text.count("\n") == 1
    assert "[latitude, longitude]" in text


@pytest.mark.parametrize(
    ("line", "reason"),
    [('polar_streams = ["eeg"]', "polar_streams: 'eeg'"), ('movesense_paths = ["IMU"]', "movesense_paths: 'IMU'")],
)
def test_check_settings_when_a_stream_is_none_then_it_says_so_before_the_gateway_runs(
    line: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: what the gateway would refuse at its start is refused here."""
    settings = write_gateway_files(tmp_path, f"[ble]\n{line}\n")
    code, text = said(monkeypatch, capsys, "check-settings", "--settings", settings)
    assert code == 2
    assert reason in text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[sync]\nurl = "cloud.example.org"\n', "sync.url: 'cloud.example.org' is no address"),
        ('[mqtt]\nusername = "gw"\npassword_file = "nowhere"\n', "nowhere: No such file or directory"),
        ('[[alerts]]\nrule = "x"\nvariable = "y"\non = 2\noff = 1\ndwell_s = 1\n', "variable 'y' is not one of"),
    ],
)
def test_check_settings_when_what_they_name_is_wrong_then_it_says_so_before_the_gateway_runs(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: what the gateway would refuse at its start, or never get through with, is refused here."""
    settings = write_gateway_files(tmp_path, text)
    code, answer = said(monkeypatch, capsys, "check-settings", "--settings", settings)
    assert code == 2
    assert reason in answer


async def test_export_when_the_folder_is_a_file_then_it_says_so_and_leaves_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: nothing is written over, and the line names what stands in the way."""
    settings = write_gateway_files(tmp_path)
    await stored(settings)
    (tmp_path / "notes").write_text("mine")
    words = ("export-session", "--format", "csv", "--settings", settings)
    assert said(monkeypatch, capsys, *words, "--output", tmp_path / "notes")[1] == (
        f"error: {tmp_path / 'notes'}: File exists\n"
    )
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize(("form", "name"), [("csv", "training.csv"), ("xlsx", "book.csv"), ("parquet", "a.parquet")])
async def test_export_when_a_folder_is_named_like_a_file_then_it_is_asked_for_again(
    form: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: nobody who asks for training.csv gets a folder of that name."""
    settings = write_gateway_files(tmp_path)
    await stored(settings)
    words = ("export-session", "--format", form, "--output", tmp_path / name, "--settings", settings)
    code, text = said(monkeypatch, capsys, *words)
    assert code == 2
    assert "named like a file" in text
    assert not (tmp_path / name).exists()


def test_import_when_repeated_for_another_then_it_says_that_the_readings_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a file that was stored for nobody is not given to somebody, and nobody is left to believe so."""
    settings = write_gateway_files(tmp_path)
    (tmp_path / "run.fit").write_bytes(fit())
    words = ("import-file", tmp_path / "run.fit", "--settings", settings)
    assert "stored" in said(monkeypatch, capsys, *words, "--unmapped", "keep")[1]
    assert "stay with whom they were given" in said(monkeypatch, capsys, *words, "--athlete", "a01")[1]


def test_import_when_start_names_no_zone_then_it_says_which_moment_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: an hour that is wrong by a time zone is seen at once."""
    settings = write_gateway_files(tmp_path)
    (tmp_path / "beats.txt").write_bytes(RR)
    words = ("import-file", tmp_path / "beats.txt", "--settings", settings, "--athlete", "a01", "--dry-run")
    assert "--start names no time zone" in said(monkeypatch, capsys, *words, "--start", "2026-03-01T19:30")[1]
    assert "time zone" not in said(monkeypatch, capsys, *words, "--start", "2026-03-01T19:30+01:00")[1]


@pytest.mark.parametrize("option", ["--ready-file", "--record"])
def test_run_when_a_folder_is_missing_then_it_says_which_and_starts_nothing(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a path that cannot be written is named before the gateway runs."""
    settings = write_gateway_files(tmp_path)
    words = ("run", "--settings", settings, option, tmp_path / "nowhere" / "file")
    assert said(monkeypatch, capsys, *words) == (2, f"error: {option}: there is no folder {tmp_path / 'nowhere'}\n")
    assert not (tmp_path / "data").exists()


def test_run_when_the_data_folder_is_a_file_then_it_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a folder that cannot be written is said in one line, by whatever system error."""
    settings = write_gateway_files(tmp_path)
    (tmp_path / "data").write_text("")
    code, text = said(monkeypatch, capsys, "run", "--settings", settings)
    assert (code, text) == (2, f"error: data_dir: {tmp_path / 'data'} cannot be written: File exists\n")


def test_replay_when_the_file_is_no_recording_then_it_says_so_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: nobody waits for a gateway that has nothing to play."""
    settings = write_gateway_files(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing of ours, and longer than the mark of a recording")
    words = ("replay", tmp_path / "notes.txt", "--settings", settings)
    assert said(monkeypatch, capsys, *words) == (1, f"error: {tmp_path / 'notes.txt'}: is not a recording of frames\n")
