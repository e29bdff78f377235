"""Command-line options that several commands take."""

import re
from pathlib import Path
from typing import Annotated

import typer

CloudDir = Annotated[
    Path | None, typer.Option("--cloud-dir", help="Where the cloud keeps everything.", file_okay=False)
]
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="A TOML settings file.", dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Weeks = Annotated[
    list[str] | None, typer.Option("--weeks", help="Weeks of the season: --weeks 1 2 3 (or 1-9, or 1,2,3).")
]
MoreWeeks = Annotated[list[str] | None, typer.Argument(hidden=True, metavar="week")]
"""An option takes one word: the others of `--weeks 1 2 3` arrive as arguments."""


_MOST_WEEKS = 60
"""A season of any sport is shorter."""


def parse_weeks(first: list[str] | None, more: list[str] | None = None) -> list[int] | None:
    """Return weeks of words like `3`, `1-9` and `1,2`; None of none.

    Raises: typer.BadParameter when a word is no week, or there are `more` but no `first`.
    """
    if more and not first:
        raise typer.BadParameter(f"{more[0]!r} belongs to no option")
    found: set[int] = set()
    for part in filter(None, (word.strip() for word in ",".join([*(first or []), *(more or [])]).split(","))):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        first_week, last_week = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first_week <= last_week <= _MOST_WEEKS:
            raise typer.BadParameter(f"{part!r} is no week", param_hint="--weeks")
        found.update(range(first_week, last_week + 1))
    return sorted(found) or None
