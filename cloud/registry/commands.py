"""Commands that release models and keep the signed metadata fresh."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloud.options import AsJson, CloudDir, SettingsFile
from cloud.settings import load_settings
from shared.clock import SystemClock

if TYPE_CHECKING:
    from cloud.registry.release import Released

Model = Annotated[str, typer.Argument(help="Name of the model: effort or trajectory.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("release-setup")(release_setup)
    app.command("release")(release)
    app.command("rollback")(rollback)
    app.command("refresh-metadata")(refresh_metadata)
    app.command("retrain")(retrain)


def release_setup(cloud_dir: CloudDir = None, settings: SettingsFile = None) -> None:
    """Make the signing keys and an empty, signed repository; doing it again changes nothing."""
    from cloud.registry.release import setup_releases  # noqa: PLC0415  --help stays instant

    _, layout = load_settings(settings, cloud_dir)
    made = setup_releases(layout, SystemClock())
    typer.echo(f"{'made' if made else 'kept'}: {layout.release_metadata}")


def release(
    model: Model,
    version: Annotated[str | None, typer.Option(help="A trained version; the newest by default.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="A folder with model.onnx and card.json.", file_okay=False)
    ] = None,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign a model and tell the gateways to run it."""
    from cloud.registry import release as releases  # noqa: PLC0415  --help stays instant
    from cloud.registry.store import mark_released  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    done = releases.release(layout, SystemClock(), model, version=version, source=source)
    mark_released(layout, done)
    _say(done, as_json=as_json)


def rollback(
    model: Model,
    to: Annotated[str, typer.Option("--to", help="A version that was released before.")],
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell the gateways to run an earlier version again."""
    from cloud.registry import release as releases  # noqa: PLC0415  --help stays instant
    from cloud.registry.store import mark_released  # noqa: PLC0415

    _, layout = load_settings(settings, cloud_dir)
    done = releases.rollback(layout, SystemClock(), model, to)
    mark_released(layout, done)
    _say(done, as_json=as_json)


def refresh_metadata(cloud_dir: CloudDir = None, settings: SettingsFile = None, as_json: AsJson = False) -> None:
    """Sign anew what has lived half its life; run it once a day."""
    from cloud.registry.release import open_repository  # noqa: PLC0415  --help stays instant

    _, layout = load_settings(settings, cloud_dir)
    repository = open_repository(layout, SystemClock())
    report = {"signed": repository.refresh(), "expires": repository.expiries()}
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    typer.echo(f"signed anew: {', '.join(report['signed']) or 'nothing'}")
    for role, expires in repository.expiries().items():
        typer.echo(f"  {role:10} until {expires}")


def retrain(
    model: Annotated[str, typer.Argument(help="Only effort is retrained from what gateways send.")],
    every: Annotated[float | None, typer.Option(help="Seconds between runs; once without it.", min=1.0)] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.", min=0)] = 0,
    track: Annotated[bool, typer.Option("--track/--no-track", help="Record the run with MLflow.")] = True,
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """Run pipeline, data set, training and release in one go, once or again and again."""
    import asyncio  # noqa: PLC0415

    from cloud.registry.retrain import Retrained, retrain_every, retrain_once  # noqa: PLC0415  --help stays instant
    from shared.errors import ConfigError  # noqa: PLC0415

    if model != "effort":
        raise ConfigError("model", f"{model!r} is not retrained from what gateways send; only effort is")
    configured, layout = load_settings(settings, cloud_dir)

    def say(done: Retrained) -> None:
        typer.echo(msgspec.json.encode(done).decode() if as_json else done.sentence())

    if every is None:
        say(retrain_once(configured, layout, SystemClock(), seed=seed, track=track))
    else:
        asyncio.run(retrain_every(configured, layout, SystemClock(), seconds=every, seed=seed, track=track, say=say))


def _say(done: "Released", *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(done).decode())
        return
    before = f" (was {done.previous})" if done.previous else ""
    typer.echo(f"gateways are told to run {done.model} {done.version}{before}")
