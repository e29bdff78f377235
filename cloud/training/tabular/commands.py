"""Commands that train models on tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloud.options import AsJson, CloudDir, SettingsFile
from cloud.settings import load_settings
from shared.clock import SystemClock

if TYPE_CHECKING:
    from cloud.training.artifacts import Trained

Seed = Annotated[int, typer.Option(help="Seed of every random choice.", min=0)]
Track = Annotated[bool, typer.Option("--track/--no-track", help="Record the run with MLflow.")]
Explain = Annotated[bool, typer.Option("--explain/--no-explain", help="Write explanation.json beside the model.")]
Recordings = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        help="A recorded session (Parquet: session, time_ns, athlete, team, x_m, y_m, hr_bpm; its roster beside it as "
        "NAME.roster.json), or FIT and TCX files, MMASH folders, or a folder of them; repeatable. Without it, the "
        "features table is read.",
    ),
]
Games = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Games: a CSV with date, season, neutral, playoff, team1, team2, elo_prob1, score1, score2. Or plays: a "
        "folder with plays and games in the layout of the Big Data Bowl 2019.",
    ),
]
Daily = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Table (or a folder with daily.parquet): date, player_id, team, daily_load, readiness, fatigue, mood, "
        "sleep_quality, soreness, stress, sleep_duration.",
    ),
]
Reported = Annotated[
    Path,
    typer.Option("--data", help="A folder with daily.parquet and injury_reports_relinked.csv (date, player_id)."),
]


def register(train: typer.Typer) -> None:
    """Add the commands to `train`."""
    train.command("effort")(effort)
    train.command("strategy")(strategy)
    train.command("readiness")(readiness)
    train.command("injury")(injury)


def effort(
    data: Recordings = None,
    seed: Seed = 0,
    track: Track = True,
    explain: Explain = False,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Train the model that expects a heart rate from movement; exit 1 when it is not better than its baseline."""
    from cloud.datasets.exertions import is_exertion  # noqa: PLC0415  --help stays instant
    from cloud.training.jobs import effort_data, run_effort  # noqa: PLC0415

    if data and all(is_exertion(path) for path in data):
        _train("activity_effort", data, seed, cloud_dir, settings, track=track, explain=explain, as_json=as_json)
        return
    _, layout = load_settings(settings, cloud_dir)
    clock = SystemClock()
    rows, card = effort_data(layout, clock, data or [])
    _finish(run_effort(layout, clock, rows, card, seed=seed, track=track, explain=explain), as_json=as_json)


def strategy(
    data: Games,
    seed: Seed = 0,
    track: Track = True,
    explain: Explain = True,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Train the model that expects a game's outcome, or a play's; exit 1 when it is not better than its bar."""
    from cloud.datasets.plays import is_play_folder  # noqa: PLC0415  --help stays instant

    name = "play_success" if is_play_folder(data) else "strategy"
    _train(name, [data], seed, cloud_dir, settings, track=track, explain=explain, as_json=as_json)


def readiness(
    data: Daily,
    seed: Seed = 0,
    track: Track = True,
    explain: Explain = True,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Train the model that expects an athlete's next report; exit 1 when it is not better than their own past."""
    _train("readiness", [data], seed, cloud_dir, settings, track=track, explain=explain, as_json=as_json)


def injury(
    data: Reported,
    seed: Seed = 0,
    track: Track = True,
    explain: Explain = False,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Try the road on reported injuries; exit 1, saying why, unless later days and new people beat the base rate."""
    _train("injury", [data], seed, cloud_dir, settings, track=track, explain=explain, as_json=as_json)


def _train(
    name: str,
    paths: list[Path],
    seed: int,
    cloud_dir: Path | None,
    settings: Path | None,
    *,
    track: bool,
    explain: bool,
    as_json: bool,
) -> None:
    from cloud.training.jobs import run_task, task_data  # noqa: PLC0415  --help stays instant

    clock = SystemClock()
    _, layout = load_settings(settings, cloud_dir)
    task, rows, card = task_data(layout, clock, name, paths)
    trained = run_task(layout, clock, task, rows, card, seed=seed, track=track, explain=explain)
    _finish(trained, as_json=as_json)


def _finish(trained: "Trained", *, as_json: bool) -> None:
    """Report, then hold the model to the gate.

    Raises: ModelIncompatible when it is not better than its baseline.
    """
    from cloud.registry.release import check_releasable  # noqa: PLC0415  --help stays instant
    from cloud.training.reporting import report  # noqa: PLC0415

    report(trained, as_json=as_json)
    check_releasable(trained.card, (trained.folder / "model.onnx").read_bytes())
