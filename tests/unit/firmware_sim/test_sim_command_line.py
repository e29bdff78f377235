import json
import sys
from pathlib import Path

import pytest

from firmware_sim.__main__ import main
from firmware_sim.squad import SimulatedSession
from shared.roster import read_roster


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Call the command line; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["sideline-sim", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_roster_when_written_then_it_is_the_roster_of_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rule: `roster` and `run` agree for one seed, and the file passes the shared check."""
    path = tmp_path / "roster.json"
    assert call(monkeypatch, "roster", "--athletes", "30", "--seed", "9", "--roster-out", str(path)) == 0
    assert read_roster(path) == SimulatedSession(athletes=30, seed=9).roster
    assert json.loads(path.read_bytes())["athletes"][0]["name"] == "Pell"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("run", "--fault", "flood=1"), "--fault: 'flood' is not a fault; known are duplicate"),
        (("run", "--athletes", "0"), "--athletes: 0 is not between 1 and 100"),
        (("run", "--rate-hz", "0"), "--rate-hz: 0 is not between 1 and 50"),
        (("run", "--mqtt", "nowhere"), "--mqtt: 'nowhere' is not HOST:PORT"),
        (("run", "--recording", "/nowhere"), "/nowhere: does not exist; accepted are"),
        (("export", "--out", "/nowhere/x.parquet"), "--out: /nowhere is no folder"),
        (("run", "--truth-out", "/"), "--truth-out: / is a folder"),
        (("plays", "--out", "/"), "/: is not empty"),
    ],
)
def test_command_when_wrongly_used_then_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], line: str
) -> None:
    """Rule: wrong settings are one clear line on standard error and exit code 2."""
    assert call(monkeypatch, *words) == 2
    shown = capsys.readouterr().err.strip().splitlines()
    assert shown[-1].startswith(f"sideline-sim: {line}")
    assert len([text for text in shown if "sideline-sim" in text]) == 1


@pytest.mark.parametrize("command", ["run", "roster", "export", "plays", "load"])
def test_help_when_asked_for_then_it_shows_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Rule: every command's help has an example."""
    assert call(monkeypatch, command, "--help") == 0
    assert f"sideline-sim {command}" in capsys.readouterr().out
