"""What people see of the commands of data sets, training, evaluation and release when something is wrong.

One whole line that says which file and what, exit status 2, and nothing left behind.
"""

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from cloud.__main__ import main
from cloud.datasets.plays import PLAY_COLUMNS
from shared.features.team import TEAM_GRAPH
from tests import tracking_files as files
from tests.tools import ROOT
from tests.unit.cloud.evaluation.made import elo_model, named, straight_model

RUBBISH = np.random.default_rng(0).bytes(2000)
GAMES = "date,season,neutral,playoff,team1,team2,elo_prob1,score1,score2\n"
DAYS = "date,player_id,team,daily_load,readiness,fatigue,mood,sleep_quality,soreness,stress,sleep_duration\n"
WEEK = "tracking_week_1.csv"


def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, words: str
) -> tuple[int | str | None, str, str]:
    """Run a command as the shell does in a folder; return its exit status, and what it said and complained of."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["sideline-cloud", *words.split()])
    try:
        main()
        code: int | str | None = 0
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with good recordings, good models and much that is neither."""
    root = tmp_path_factory.mktemp("place")
    files.big_data_bowl(root / "good")
    files.recording(root / "rec")
    (root / "empty").mkdir()
    texts: dict[str, str | bytes] = {
        "letter": "x",
        "junk.onnx": RUBBISH,
        "rubbish.ckpt": RUBBISH,
        "rubbish.csv": RUBBISH,
        "rubbish/tracking_week_1.csv": RUBBISH,
        "token": RUBBISH,
        "other.csv": "a,b\n1,2\n",
        "heading.csv": GAMES,
        "noon.csv": GAMES + "2000-01-01,2000,0,0,A,B,0.5,3,7\nnoon,2000,0,0,A,B,0.5,3,7\n",
        "high.csv": GAMES + "2000-01-01,2000,0,0,A,B,high,3,7\n",
        "late.csv": GAMES + "2000-01-01,late,0,0,A,B,0.5,3,7\n",
        "days.csv": DAYS,
        "heavy.csv": DAYS + "2022-01-01,p,A,heavy,2,3,4,5,1,2,3\n",
        "injuries/injury_reports_relinked.csv": "date,player_id\nnoon,3\n",
        "plays/plays.csv": f"{','.join(PLAY_COLUMNS)}\n{','.join(['1'] * (len(PLAY_COLUMNS) - 1))},far\n",
        "plays/games.csv": "gameId,gameDate,homeTeamAbbr\n1,2017-09-07,NE\n",
        "unknown.yaml": "widht: 3\n",
        "broken.yaml": ": : :\n - [",
        "unknown.toml": "nonsense = 1\n",
        "card/card.json": RUBBISH,
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    day = pd.DataFrame([["2022-01-01", "p", "A", *range(8)]], columns=DAYS.strip().split(","))
    day.to_parquet(root / "injuries" / "daily.parquet")
    straight_model(root / "team.onnx")
    straight_model(root / "nameless.onnx", metadata={})
    straight_model(root / "games.onnx", metadata=named(TEAM_GRAPH, training_games="not a list"))
    elo_model(root / "elo.onnx")
    _spoil_weeks(root)
    _spoil_recordings(root)
    return root


def _spoil_weeks(root: Path) -> None:
    spoilt: dict[str, Callable[[bytes], bytes]] = {
        "columns": lambda _: b"a,b\n1,2\n",
        "no_rows": lambda body: body.splitlines(keepends=True)[0],
        "nothing": lambda _: b"",
        "truncated": lambda body: body[:10_007],
        "binary": lambda body: body[:500] + RUBBISH,
        "text": lambda body: body.replace(b",5.0,0.5,", b",fast,0.5,").replace(b",right,", b",right,far"),
    }
    for name, spoil in spoilt.items():
        week = files.big_data_bowl(root / name) / WEEK
        week.write_bytes(spoil(week.read_bytes()))


def _spoil_recordings(root: Path) -> None:
    good = pq.read_table(root / "rec" / "squad.parquet").to_pandas()
    spoilt = {
        "far": good.assign(x_m="far"),
        "noon": good.assign(time_ns="noon"),
        "unnamed": good.assign(session=None),
        "red": good.assign(team="red"),
        "years": good.assign(time_ns=np.arange(len(good)) * 10**16),
        "moment": good.assign(time_ns=good["time_ns"] // 1_000_000),
        "seven": good.assign(team=7),
        "teamless": good.assign(team=np.where(np.arange(len(good)) < 3, np.nan, 0)),
    }
    for name, table in spoilt.items():
        table.to_parquet(root / f"{name}.parquet")
    (root / "rubbish.parquet").write_bytes(RUBBISH)


EVALUATE = "evaluate --protocol trajectory --data rec --model"
OUTCOME = "evaluate --protocol outcome --model elo.onnx --data"
TABLES = [
    (f"{EVALUATE} junk.onnx", "junk.onnx: the ONNX file cannot be loaded"),
    (f"{EVALUATE} none.onnx", "none.onnx cannot be read: No such file"),
    (f"{EVALUATE} empty", "empty cannot be read: Is a directory"),
    (f"{EVALUATE} nameless.onnx", "nameless.onnx: names no feature set"),
    (f"{EVALUATE} games.onnx", "games.onnx: its training_games are no JSON list of names"),
    (f"{EVALUATE} elo.onnx", "elo.onnx: a model of game_outcome@1 forecasts no trajectories"),
    (f"{EVALUATE} team.onnx --report empty", "empty: is a folder; a file is to be written"),
    (f"{EVALUATE} team.onnx --report letter/out.json", "letter/out.json: cannot be written: File exists"),
    (f"{EVALUATE} team.onnx --plots letter/plots", "letter/plots: cannot be written: Not a directory"),
    ("evaluate --protocol effort --model elo.onnx --data rec", "elo.onnx: protocol effort takes models of"),
    ("evaluate --protocol pass --model team.onnx --data nowhere", "nowhere: is not there"),
    ("evaluate --protocol pass --model team.onnx --data empty", "empty: is in no layout that is known"),
    (f"{OUTCOME} nowhere.csv", "nowhere.csv: cannot be read as a table: No such file or directory"),
    (f"{OUTCOME} rubbish.csv", "rubbish.csv: cannot be read as a table"),
    (f"{OUTCOME} heading.csv", "heading.csv: holds no rows"),
    (f"{OUTCOME} noon.csv", "noon.csv: row 2: date 'noon' is no date"),
    (f"{OUTCOME} high.csv", "high.csv: row 1: elo_prob1 'high' is no number"),
    ("train strategy --no-track --data other.csv", "other.csv: lacks the columns date"),
    ("train strategy --no-track --data late.csv", "late.csv: row 1: season 'late' is no number"),
    ("train strategy --no-track --data plays", "plays/plays.csv: row 1: PlayResult 'far' is no number"),
    ("train effort --no-track --data empty", "empty: no recording with a heart rate"),
    ("train readiness --no-track --data days.csv", "days.csv: holds no rows"),
    ("train readiness --no-track --data heavy.csv", "heavy.csv: row 1: daily_load 'heavy' is no number"),
    ("train injury --no-track --data injuries", "injury_reports_relinked.csv: row 1: date 'noon' is no date"),
    ("train effort --no-track --data nowhere", "nowhere: is not there"),
    ("train effort --no-track --data nowhere.parquet", "nowhere.parquet: is no file"),
    ("train effort --no-track", "features_athlete_effort: is no table yet"),
    ("dataset scenes rubbish", f"rubbish/{WEEK}: is not a table"),
    ("dataset scenes columns", f"columns/{WEEK}: lacks the columns gameId"),
    ("dataset scenes no_rows", f"no_rows/{WEEK}: holds no rows"),
    ("dataset scenes nothing", f"nothing/{WEEK}: lacks the columns"),
    ("dataset scenes truncated", f"truncated/{WEEK}: is not a table: CSV parse error"),
    ("dataset scenes binary", f"binary/{WEEK}: is not a table"),
    ("dataset scenes empty", "empty: is in no layout that is known"),
    ("dataset scenes red.parquet", "red.parquet: row 1: team red is none of 0, 1 and -1"),
    ("dataset scenes seven.parquet", "seven.parquet: row 1: team 7 is none of 0, 1 and -1"),
    ("dataset scenes teamless.parquet", "teamless.parquet: column team is empty in 3 rows"),
    ("dataset scenes good --settings unknown.toml", "unknown.toml: Object contains unknown field `nonsense`"),
    ("dataset validate good --html letter/page.html", "letter/page.html: cannot be written: File exists"),
    ("dataset validate good --quarantine letter/bad.csv", "letter/bad.csv: cannot be written: File exists"),
    (f"dataset validate good --quarantine good/{WEEK}", f"good/{WEEK}: is to be checked; bad rows need another file"),
    ("dataset validate good --weeks 9 --quarantine letter", "good: holds no plays of weeks 9"),
    ("experiments show unknown", "run: 'unknown' is no run here"),
    ("experiments compare a b", "run: 'a' is no run here"),
    ("experiments best loss", "metric: no finished run has 'loss'"),
    ("serve --token-file token", "token: is no text"),
    ("release nosuch", "models/nosuch: holds no trained model"),
    ("release effort --version one", "version: 'one' is not major.minor.patch"),
    ("release effort --version 9.9.9", "effort/9.9.9: holds no card.json, so no trained model"),
    ("release effort --from empty", "empty: holds no card.json, so no trained model"),
    ("rollback effort --to 1.0.0", "run `python -m cloud release-setup` first"),
    ("refresh-metadata", "run `python -m cloud release-setup` first"),
    ("retrain nosuch", "model: 'nosuch' is not retrained"),
]
TRAJECTORY = "train trajectory --no-track"
TRAININGS = [
    (f"{TRAJECTORY} --data-dir good --config nosuch", "--config: 'nosuch' cannot be read; known: "),
    (f"{TRAJECTORY} --data-dir good --config unknown.yaml", "unknown.yaml: Object contains unknown field `widht`"),
    (f"{TRAJECTORY} --data-dir good --config broken.yaml", "broken.yaml: while parsing a block mapping"),
    (f"{TRAJECTORY} --data-dir good --weeks 9", "good: holds no plays of weeks 9"),
    (f"{TRAJECTORY} --data-dir good --resume-from nowhere.ckpt", "nowhere.ckpt: no such file"),
    (f"{TRAJECTORY} --data-dir good --resume-from rubbish.ckpt", "rubbish.ckpt: is no checkpoint of a training"),
    (f"{TRAJECTORY} --data-dir good --checkpoints letter/folder", "letter/folder: cannot be written"),
    (f"{TRAJECTORY} --data-dir good --export-onnx letter/m.onnx", "letter/m.onnx: cannot be written"),
    (f"{TRAJECTORY} --data-dir nowhere", "nowhere: is not there"),
    (f"{TRAJECTORY}", "readings_position: is no table yet"),
    (f"{TRAJECTORY} --data nowhere.parquet", "nowhere.parquet: no such file"),
    (f"{TRAJECTORY} --data rubbish.parquet", "rubbish.parquet: is not a Parquet file"),
    (f"{TRAJECTORY} --data far.parquet", "far.parquet: column x_m is no double"),
    (f"{TRAJECTORY} --data noon.parquet", "noon.parquet: column time_ns is no int64"),
    (f"{TRAJECTORY} --data unnamed.parquet", "unnamed.parquet: column session is empty in 300 rows"),
    (f"{TRAJECTORY} --data years.parquet", "years.parquet: session s1 lasts"),
    (f"{TRAJECTORY} --data moment.parquet", "moment.parquet: no session lasts longer than"),
    (f"{TRAJECTORY} --data seven.parquet", "seven.parquet: row 1: team 7 is none of 0, 1 and -1"),
    (f"{TRAJECTORY} --data teamless.parquet", "teamless.parquet: column team is empty in 3 rows"),
    (f"{TRAJECTORY} --data rec/squad.parquet", "rec/squad.parquet: too little data"),
]


def complained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: Path, cloud: Path, words: str
) -> str:
    """Return the one line that a command complains in, after checking that it is alone and leaves no model behind."""
    within = "" if words.startswith(("evaluate", "dataset validate")) else f" --cloud-dir {cloud}"
    before = sorted(place.rglob("*"))
    code, out, err = said(monkeypatch, capsys, place, words + within)
    assert (code, out, err.count("\n")) == (2, "", 1), out + err
    assert sorted(place.rglob("*")) == before
    assert not (cloud / "models").exists()
    assert not (cloud / "datasets").exists() or words.startswith(TRAJECTORY)
    return err


@pytest.mark.parametrize(("words", "problem"), TABLES)
def test_command_when_what_it_is_given_is_wrong_then_one_line_says_what_and_where(
    words: str,
    problem: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rule: no trace, nothing half-written: the file, and what is wrong with it."""
    assert problem in complained(monkeypatch, capsys, place, tmp_path / "cloud", words)


@pytest.mark.train
@pytest.mark.parametrize(("words", "problem"), TRAININGS)
def test_train_trajectory_when_what_it_is_given_is_wrong_then_one_line_says_what_and_where(
    words: str,
    problem: str,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rule: what would be missing at the end of a training is missed before it begins."""
    pytest.importorskip("torch")
    assert problem in complained(monkeypatch, capsys, place, tmp_path / "cloud", words)


@pytest.mark.parametrize(
    "words",
    [
        f"{OUTCOME} noon.csv --weeks 2",
        f"{OUTCOME} noon.csv --training rec",
        pytest.param("train trajectory --data rec/squad.parquet --weeks 1", marks=pytest.mark.train),
        pytest.param("train trajectory --data rec/squad.parquet --data-dir good", marks=pytest.mark.train),
        f"{EVALUATE} team.onnx 5",
    ],
)
def test_command_when_an_option_would_change_nothing_then_it_is_refused(
    words: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: nobody is given another measurement than the one asked for."""
    if words.startswith("train"):
        pytest.importorskip("torch")
    code, out, err = said(monkeypatch, capsys, place, words)
    assert (code, out) == (2, ""), err
    assert "Invalid value" in err


@pytest.mark.parametrize("words", ["dataset scenes good", "release-setup", "train strategy --no-track --data noon.csv"])
def test_command_when_the_clouds_folder_cannot_be_made_then_one_line_says_so(
    words: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: a folder that the system refuses is named, by whatever part of a command it is refused."""
    code, out, err = said(monkeypatch, capsys, place, f"{words} --cloud-dir {place / 'letter' / 'cloud'}")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert f"{place / 'letter' / 'cloud'}" in err
    assert "Not a directory" in err


@pytest.mark.parametrize("words", ["serve", "api", "experiments ui"])
def test_serve_when_the_port_is_taken_then_one_line_names_it(words: str, tmp_path: Path) -> None:
    """Rule: another program at the port is no trace."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        given = [*words.split(), "--port", str(port), "--cloud-dir", str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-m", "cloud", *given], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == f"sideline-cloud: 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize("name", ["text", "red.parquet", "far.parquet"])
def test_validate_when_columns_hold_text_then_it_is_a_report_and_exit_1(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule: whoever asks what is wrong with files is told, row by row or file by file, without a warning of ours."""
    code, out, err = said(monkeypatch, capsys, place, f"dataset validate {name}")
    assert code == 1
    assert f"{name}" in out
    assert "Warning" not in err
