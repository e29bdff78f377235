"""Command of the ingest: api."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cloud.options import CloudDir, SettingsFile
from cloud.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("api")(api)


def api(
    cloud_dir: CloudDir = None,
    settings: SettingsFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written once it answers: JSON url, host, port.")] = None,
) -> None:
    """Take batches from gateways and serve signed releases, until SIGTERM."""
    from cloud.ingest.serve import serve  # noqa: PLC0415  --help stays instant
    from cloud.setup import make_layout  # noqa: PLC0415
    from shared.clock import SystemClock  # noqa: PLC0415
    from shared.log import configure  # noqa: PLC0415

    given, layout = load_settings(settings, cloud_dir)
    chosen = msgspec.structs.replace(
        given, host=given.host if host is None else host, port=given.port if port is None else port
    )
    configure(level=chosen.log_level, json=chosen.log_json)
    make_layout(layout)
    serve(layout, chosen, SystemClock(), ready_file)
