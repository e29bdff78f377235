"""Command of the serving: serve."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cloud.options import CloudDir, SettingsFile
from cloud.settings import load_settings

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("serve")(serve)


def serve(
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; beyond loopback a token is needed.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the bearer token that callers show.", dir_okay=False)
    ] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written once it answers: JSON url, host, port.")] = None,
) -> None:
    """Answer predictions over HTTP with the models that gateways run, until SIGTERM; /docs describes the interface."""
    from cloud.listen import listen  # noqa: PLC0415  --help stays instant
    from cloud.serving.app import build_app  # noqa: PLC0415
    from cloud.serving.token import read_token  # noqa: PLC0415
    from shared.clock import SystemClock  # noqa: PLC0415
    from shared.log import configure  # noqa: PLC0415

    given, layout = load_settings(settings, cloud_dir)
    chosen = msgspec.structs.replace(
        given.serving,
        host=given.serving.host if host is None else host,
        port=given.serving.port if port is None else port,
    )
    base = Path.cwd() if settings is None else settings.resolve().parent
    token = read_token(chosen, token_file or (base / chosen.token_file if chosen.token_file else None))
    configure(level=given.log_level, json=given.log_json)

    def build() -> "FastAPI":
        app = build_app(layout, chosen, SystemClock(), token=token)
        # What is loaded now stays; a third of a large request's time went into looking through it for garbage.
        gc.freeze()
        return app

    listen(build, part="serving", host=chosen.host, port=chosen.port, ready_file=ready_file)
