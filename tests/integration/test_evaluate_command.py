"""`python -m cloud evaluate`: what people see of it, on recordings in Sideline's own layout and on wrong files."""

import sys
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from cloud.__main__ import main
from cloud.evaluation.report import MODEL, Report
from firmware_sim.export import export_positions
from firmware_sim.squad import SimulatedSession
from shared.features.base import FeatureSet
from shared.features.field import FIELD_GRAPH
from shared.features.team import TEAM_GRAPH
from shared.ids import BALL
from shared.roster import write_roster
from tests.tools import ROOT
from tests.tracking_files import big_data_bowl
from tests.unit.cloud.evaluation.made import named, straight_model


def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int | str | None, str]:
    """Run the command as the shell does; return its exit status (None when it just ends) and all that it said."""
    monkeypatch.setattr(sys, "argv", ["sideline-cloud", "evaluate", *map(str, words)])
    try:
        main()
        code: int | str | None = 0
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    return code, out + err


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three recorded sessions of 40 s with five athletes and a ball."""
    folder = tmp_path_factory.mktemp("sessions")
    rng = np.random.default_rng(0)
    for number in range(3):
        steps = np.arange(400)
        parts = []
        for athlete in range(6):
            speed = rng.normal(0.0, 2.0, 2) + rng.normal(0.0, 0.5, (400, 2)).cumsum(axis=0) / 10
            path = rng.normal(0.0, 10.0, 2) + speed.cumsum(axis=0) / 10
            parts.append(
                pd.DataFrame(
                    {
                        "session": f"session-{number}",
                        "time_ns": 1_700_000_000_000_000_000 + steps * 100_000_000,
                        "athlete": BALL if athlete == 5 else f"athlete-{athlete}",
                        "team": -1 if athlete == 5 else athlete % 2,
                        "x_m": path[:, 0],
                        "y_m": path[:, 1],
                    }
                )
            )
        pd.concat(parts).sort_values("time_ns").to_parquet(folder / f"{number}.parquet")
    return folder


def test_evaluate_when_all_is_well_then_report_table_and_pictures(
    sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a table on stdout, the whole report as JSON, pictures in a folder; a horizon too far is said to be."""
    model = straight_model(tmp_path / "model.onnx")
    report, plots = tmp_path / "new" / "out.json", tmp_path / "plots"
    words = ("--model", model, "--data", sessions, "--protocol", "trajectory", "--report", report, "--plots", plots)
    code, text = said(monkeypatch, capsys, *words)
    assert code == 0, text
    found = msgspec.json.decode(report.read_bytes(), type=Report)
    assert [measured.covered for measured in found.horizons] == [True, True, True, False]
    one = found.horizons[1]
    assert one.errors[MODEL].ade.value == pytest.approx(one.errors["constant_velocity"].ade.value, rel=1e-4)
    assert (found.unit, found.data.groups, found.data.layout) == ("m", 3, "recordings")
    assert found.basis == "baselines fitted on other games"
    assert f"{one.errors[MODEL].ade.value:.3f}" in text
    assert "4 s ahead: beyond the model's horizon" in text
    pictures = sorted(path.name for path in plots.iterdir())
    assert pictures == ["error_by_horizon.png", "plays.png", "regions.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots.iterdir())


def test_evaluate_when_recordings_state_roles_then_errors_are_told_by_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: table and report have ADE and FDE of each role, beside ridge and the linear control."""
    model, report = straight_model(tmp_path / "model.onnx"), tmp_path / "out.json"
    season = big_data_bowl(tmp_path / "season", weeks=(1, 2))
    words = ("--model", model, "--data", season, "--protocol", "trajectory", "--report", report)
    code, text = said(monkeypatch, capsys, *words)
    assert code == 0, text
    found = msgspec.json.decode(report.read_bytes(), type=Report).horizons[0]
    assert list(found.by_role) == ["QB", "RB", "WR", "TE", "OL", "DL", "LB", "DB"]
    assert sum(role.forecasts for role in found.by_role.values()) == found.forecasts
    assert all(set(role.errors) == {MODEL, "ridge", "linear_control"} for role in found.by_role.values())
    assert text.count("ADE / FDE by role") == 3  # plays last 2.4 s: no horizon of 4 s
    assert f"  {'OL':18}{found.by_role['OL'].forecasts:>10}" in text


def test_evaluate_when_the_model_knows_a_session_then_it_is_left_out(
    sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: nothing is measured on what a model learnt from; baselines are fitted there instead."""
    metadata = named(TEAM_GRAPH, training_games=["session-0", "session-2"])
    model = straight_model(tmp_path / "model.onnx", metadata=metadata)
    words = ("--model", model, "--data", sessions, "--protocol", "trajectory", "--json")
    code, text = said(monkeypatch, capsys, *words)
    assert code == 0, text
    found = msgspec.json.decode(text, type=Report)
    assert (found.data.groups, found.data.known) == (1, 2)
    assert found.basis == "baselines fitted on training games"


def test_evaluate_when_the_shipped_effort_model_meets_a_new_squad_then_it_is_beside_its_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a model on tables is measured on later rows of new recordings; bars learn from the earlier ones."""
    session = SimulatedSession(athletes=8, seed=77)
    export_positions(session, tmp_path / "new.parquet", seconds=150, name="sim-77", console=Console(quiet=True))
    write_roster(session.roster, tmp_path / "new.roster.json")
    model = ROOT / "deployment" / "models" / "effort" / "model.onnx"
    words = ("--model", model, "--data", tmp_path / "new.parquet", "--protocol", "effort", "--plots", tmp_path)
    code, text = said(monkeypatch, capsys, *words, "--json")
    assert code == 0, text
    found = msgspec.json.decode(text, type=Report)
    assert found.scores is not None
    assert set(found.scores.scores) == {MODEL, "mean", "speed_band_mean"}
    assert found.scores.gain["mean"].value == pytest.approx(
        found.scores.scores["mean"]["mae_bpm"].value - found.scores.scores[MODEL]["mae_bpm"].value
    )
    assert "later rows of a data set it was not trained on" in found.basis
    assert (tmp_path / "predicted_and_measured.png").exists()


@pytest.mark.parametrize(
    ("features", "metadata", "protocol", "problem"),
    [
        (TEAM_GRAPH, {}, "trajectory", "names no feature set"),
        (TEAM_GRAPH, None, "outcome", "not of team_graph@1"),
        (TEAM_GRAPH, None, "pass", "holds no pass"),
        (FIELD_GRAPH, None, "trajectory", "needs the size of the field"),
    ],
)
def test_evaluate_when_model_and_protocol_do_not_fit_then_one_line_says_why(
    features: FeatureSet,
    metadata: dict[str, str] | None,
    protocol: str,
    problem: str,
    sessions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rule: no traceback for a wrong model: what is wrong with it, and exit status 1 or 2."""
    model = straight_model(tmp_path / "model.onnx", features, metadata=metadata)
    code, text = said(monkeypatch, capsys, "--model", model, "--data", sessions, "--protocol", protocol)
    assert code in {1, 2}
    assert problem in text
    assert text.count("\n") == 1


def test_evaluate_when_files_are_rubbish_then_one_line_says_which(
    sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a model that is none, data that are not there, and data with nothing to measure."""
    model, rubbish, empty = straight_model(tmp_path / "model.onnx"), tmp_path / "rubbish.onnx", tmp_path / "empty"
    rubbish.write_bytes(b"\x00" * 100)
    empty.mkdir()
    short = pd.read_parquet(sessions / "0.parquet").iloc[:60]
    (tmp_path / "short").mkdir()
    short.to_parquet(tmp_path / "short" / "short.parquet")
    for given, data, problem in (
        (rubbish, sessions, "the ONNX file cannot be loaded"),
        (tmp_path / "none.onnx", sessions, "none.onnx cannot be read"),
        (model, tmp_path / "nowhere", "nowhere: is not there"),
        (model, empty, "is in no layout that is known"),
        (model, tmp_path / "short", "no player has 1.0 s of history"),
    ):
        code, text = said(monkeypatch, capsys, "--model", given, "--data", data, "--protocol", "trajectory")
        assert code in {1, 2}
        assert problem in text
        assert text.count("\n") == 1
