"""Command-line options that every command takes."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[Path | None, typer.Option("--cloud-dir", help="Where the cloud keeps everything.", file_okay=False)]
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="A TOML settings file.", dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
