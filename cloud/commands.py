"""Commands of the cloud as a whole: setup, enroll, verify."""

from pathlib import Path
from typing import Annotated

import typer

from cloud.options import AsJson, CloudDir, SettingsFile
from cloud.settings import load_settings
from shared.ids import parse_gateway_id


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("setup")(setup)
    app.command("enroll")(enroll)
    app.command("verify")(verify)


def setup(cloud_dir: CloudDir = None, settings: SettingsFile = None) -> None:
    """Make the data directory, the ledger and the signing keys; doing it again changes nothing."""
    from cloud.registry.release import setup_releases  # noqa: PLC0415  --help stays instant
    from cloud.setup import make_layout  # noqa: PLC0415
    from shared.clock import SystemClock  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    make_layout(layout)
    setup_releases(layout, SystemClock())
    typer.echo(f"ready: {layout.root}")


def enroll(
    gateway: Annotated[str, typer.Argument(help="The gateway's id.")],
    out: Annotated[Path, typer.Option("--out", help="Where the gateway's token and root.json go.", file_okay=False)],
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
) -> None:
    """Give a gateway a fresh token; an older one stops working."""
    from cloud.setup import enrol, make_layout  # noqa: PLC0415  --help stays instant

    _, layout = load_settings(settings, cloud_dir)
    make_layout(layout)
    for path in enrol(layout, parse_gateway_id(gateway), out):
        typer.echo(f"wrote {path}")


def verify(
    truth: Annotated[Path, typer.Option("--truth", help="The simulator's truth file.", dir_okay=False)],
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    time_tolerance_ms: Annotated[float, typer.Option(min=0.0, help="How far a trusted device time may be off.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Compare a simulator's truth file with the tables; exit 1 when any is lost, doubled, different or unexpected."""
    import msgspec  # noqa: PLC0415  --help stays instant

    from cloud.verify import verify as compare  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    outcome = compare(layout, truth, time_tolerance_ms=time_tolerance_ms)
    if as_json:
        typer.echo(msgspec.json.encode(outcome).decode())
    else:
        for stream, counts in outcome.by_stream.items():
            typer.echo(f"{stream}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
        lag = outcome.arrival
        typer.echo(f"{lag.readings} readings in the cloud; sensor to cloud p50 {lag.p50_s} s, p99 {lag.p99_s} s")
        for example in outcome.lost_examples:
            typer.echo(f"lost: {example}")
    if outcome.lost or outcome.duplicates or outcome.mismatched or outcome.unexpected:
        raise typer.Exit(1)
