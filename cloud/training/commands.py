"""Commands that train models."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cloud.datasets.commands import Recordings
from cloud.options import AsJson, DataDir, SettingsFile
from cloud.settings import load_settings
from shared.clock import SystemClock
from shared.model_card import ModelCard

Seed = Annotated[int, typer.Option(help="Seed of every random choice.", min=0)]
Track = Annotated[bool, typer.Option("--track/--no-track", help="Record the run with MLflow.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    train = typer.Typer(help="Train a model, export it to ONNX and check it.", no_args_is_help=True)
    train.command("effort")(effort)
    train.command("trajectory")(trajectory)
    app.add_typer(train, name="train")


def effort(
    data: Recordings = None,
    seed: Seed = 0,
    track: Track = True,
    data_dir: DataDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Train the model that expects a heart rate from movement; exit 1 when it is not better than its baseline."""
    from cloud.registry.release import check_releasable  # noqa: PLC0415  --help stays instant
    from cloud.training.jobs import effort_data, run_effort  # noqa: PLC0415

    _, layout = load_settings(settings, data_dir)
    rows, card = effort_data(layout, data or [])
    trained = run_effort(layout, SystemClock(), rows, card, seed=seed, track=track)
    _report(trained.card, trained.folder, trained.seconds, trained.parameters, as_json=as_json)
    check_releasable(trained.card, (trained.folder / "model.onnx").read_bytes())


def trajectory(
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", help="A recorded session (Parquet), repeatable; without it, what gateways sent.", dir_okay=False
        ),
    ] = None,
    config: Annotated[str, typer.Option(help="A configuration by name (sanity) or a YAML file.")] = "sanity",
    max_minutes: Annotated[float | None, typer.Option(help="Stop fitting after this long.", min=0.01)] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the configuration's seed.", min=0)] = None,
    track: Track = True,
    data_dir: DataDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Train the model that forecasts everybody's movement; exit 1 when it is not better than constant velocity."""
    from cloud.registry.release import check_releasable  # noqa: PLC0415  --help stays instant
    from cloud.training.graph_job import run_trajectory  # noqa: PLC0415
    from cloud.training.settings import read_config  # noqa: PLC0415

    _, layout = load_settings(settings, data_dir)
    chosen = read_config(config, seed=seed, max_minutes=max_minutes)
    trained = run_trajectory(layout, SystemClock(), data or [], chosen, track=track)
    _report(trained.card, trained.folder, trained.seconds, trained.parameters, as_json=as_json)
    check_releasable(trained.card, (trained.folder / "model.onnx").read_bytes())


def _report(card: ModelCard, folder: Path, seconds: float, parameters: dict[str, object], *, as_json: bool) -> None:
    report: dict[str, Any] = {
        "model": card.name,
        "version": card.version,
        "folder": str(folder),
        "data_set": card.data_set,
        "data_digest": card.data_digest,
        "seconds": round(seconds, 3),
        "metrics": card.metrics,
        "baseline": card.baseline,
        "parameters": parameters,
    }
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    typer.echo(f"{card.name} {card.version} from {card.data_set} in {seconds:.1f} s: {folder}")
    for name, value in card.metrics.items():
        beside = f"   baseline {card.baseline[name]:.4g}" if name in card.baseline else ""
        typer.echo(f"  {name:28} {value:10.4g}{beside}")
