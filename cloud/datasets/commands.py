"""Commands that build data sets."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cloud.options import AsJson, DataDir, SettingsFile
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


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    datasets = typer.Typer(help="Build data sets: rows with a card that names them by digest.", no_args_is_help=True)
    datasets.command("effort")(effort)
    app.add_typer(datasets, name="dataset")


def effort(
    data: Recordings = None, data_dir: DataDir = None, settings: SettingsFile = None, as_json: AsJson = False
) -> None:
    """Build the effort model's rows: movement with the heart rate that went with it."""
    from cloud.training.jobs import effort_data  # noqa: PLC0415  --help stays instant

    _, layout = load_settings(settings, data_dir)
    _, card = effort_data(layout, data or [])
    if as_json:
        typer.echo(msgspec.json.encode(card).decode())
        return
    typer.echo(f"{card.reference} {card.digest[:12]}: {card.rows} rows, {card.held_out_rows} held out")
    typer.echo(f"  {card.athletes} athletes in {card.sessions} sessions, {card.held_out_athletes} athletes held out")
