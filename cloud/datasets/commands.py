"""Commands that build data sets."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cloud.options import AsJson, CloudDir, MoreWeeks, SettingsFile, Weeks, parse_weeks
from cloud.outputs import prepare_file
from cloud.settings import load_settings

Recordings = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        help="A recorded session (Parquet: session, time_ns, athlete, team, x_m, y_m, hr_bpm), repeatable; "
        "its roster lies beside it as NAME.roster.json. Without it, the features table is read.",
        dir_okay=False,
    ),
]

Tracking = Annotated[Path, typer.Argument(help="A file or folder in a documented layout.", exists=True)]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    datasets = typer.Typer(help="Build data sets: rows with a card that names them by digest.", no_args_is_help=True)
    datasets.command("effort")(effort)
    datasets.command("validate")(validate)
    datasets.command("scenes")(scenes)
    app.add_typer(datasets, name="dataset")


def effort(
    data: Recordings = None, cloud_dir: CloudDir = None, settings: SettingsFile = None, as_json: AsJson = False
) -> None:
    """Build the effort model's rows: movement with the heart rate that went with it."""
    from cloud.training.jobs import effort_data  # noqa: PLC0415  --help stays instant
    from shared.clock import SystemClock  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    _, card = effort_data(layout, SystemClock(), data or [])
    if as_json:
        typer.echo(msgspec.json.encode(card).decode())
        return
    typer.echo(f"{card.reference} {card.digest[:12]}: {card.rows} rows, {card.held_out_rows} held out")
    typer.echo(f"  {card.athletes} athletes in {card.sessions} sessions, {card.held_out_athletes} athletes held out")


def scenes(
    path: Tracking,
    weeks: Weeks = None,
    more_weeks: MoreWeeks = None,
    check: Annotated[bool, typer.Option("--validate-data/--no-validation", help="Leave bad rows out.")] = True,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Build the trajectory model's data set: plays as scenes, with a card that names them by digest, and lineage."""
    from cloud.datasets.scene_set import make_scene_set  # noqa: PLC0415  --help stays instant
    from shared.clock import SystemClock  # noqa: PLC0415
    from shared.features.team import TEAM_GRAPH  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    folder, card, checked = make_scene_set(
        layout, SystemClock(), path, parse_weeks(weeks, more_weeks), TEAM_GRAPH, skip=not check
    )
    if as_json:
        typer.echo(msgspec.json.encode(card).decode())
        return
    typer.echo(f"{card.reference} {card.digest[:12]}: {len(checked.scenes)} plays of {card.sessions} games in {folder}")
    typer.echo(f"  {card.rows} positions, {card.held_out_rows} held out")
    if checked.validation is not None and checked.validation.bad_rows:
        typer.echo(f"  {checked.validation.bad_rows} bad rows left out, kept in {checked.validation.quarantine}")


def validate(
    path: Tracking,
    weeks: Weeks = None,
    more_weeks: MoreWeeks = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Where the report goes as a page.", dir_okay=False)
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option("--quarantine", help="A CSV that bad rows are copied to.", dir_okay=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every row of a data set by the rules of its sport; exit 1 when any is bad. The files stay as they are."""
    from cloud.datasets.validate.check import validate as check  # noqa: PLC0415  --help stays instant

    for file in (html, quarantine):
        prepare_file(file)
    report = check(path, parse_weeks(weeks, more_weeks), quarantine=quarantine, progress=None if as_json else _tell)
    if html is not None:
        html.write_text(report.html(), encoding="utf-8")
    typer.echo(msgspec.json.encode(report).decode() if as_json else report.text())
    if not report.passed:
        raise typer.Exit(1)


def _tell(file: str, rows: int) -> None:
    typer.echo(f"{file}: {rows} rows", err=True)
