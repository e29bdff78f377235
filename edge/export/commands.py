"""`sideline-gateway export-session`: a session out of the journal as FIT, CSV, XLSX or Parquet."""

import contextlib
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from edge.files.commands import moment_ns
from edge.settings import load
from shared.errors import ConfigError, SourceError
from shared.ids import AthleteId, parse_athlete_id
from shared.roster import read_roster

if TYPE_CHECKING:
    from edge.export.registry import Write
    from edge.export.session import Session
    from edge.store.reader import JournalReader

_out = Console()


class Form(StrEnum):
    """The file formats."""

    FIT = "fit"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


def export_session(
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder; for one workbook or one FIT, a file.")],
    form: Annotated[Form, typer.Option("--format", "-f", help="What to write.")],
    settings: Annotated[Path, typer.Option("--settings", "-s", help="Settings file (TOML).")] = Path("gateway.toml"),
    athlete: Annotated[list[str] | None, typer.Option(help="Only this athlete; may be given again.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="First moment, such as 2026-03-01T18:30:00+01:00.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Moment after the last.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write the latest session, or the readings between two moments (imported files too), while the gateway runs."""
    # Loaded here, so that other commands answer at once.
    from edge.export.registry import Export, files_of  # noqa: PLC0415
    from edge.store.reader import JournalReader  # noqa: PLC0415

    chosen = load(settings)
    roster = read_roster(Path(chosen.roster_file))
    athletes = frozenset(parse_athlete_id(name) for name in athlete or ())
    from_ns = None if since is None else moment_ns("--from", since)
    to_ns = None if until is None else moment_ns("--to", until)
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise ConfigError("--to", "is not after --from")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_out, transient=True, disable=not _out.is_terminal) as progress:
        with JournalReader(Path(chosen.data_dir) / "gateway.sqlite") as reader:
            session = _session(reader, progress, from_ns, to_ns, athletes)
            damaged = reader.damaged
        count = sum(len(block) for blocks in session.streams.values() for block in blocks)
        task = progress.add_task("writing", total=count)
        export = Export(session=session, roster=roster, on_rows=lambda rows: progress.advance(task, rows))
        written = _write(files_of(form.value, output, export), force=force)
    if damaged:
        _out.print(f"[yellow]damaged[/yellow]: {damaged} of the stored chunks could not be read and are left out")
    for path in written:
        _out.print(f"wrote {escape(str(path))}", soft_wrap=True)


def _session(
    reader: "JournalReader", progress: Progress, from_ns: int | None, to_ns: int | None, athletes: frozenset[AthleteId]
) -> "Session":
    from edge.export.session import gather  # noqa: PLC0415
    from edge.store.journal import SESSION_GAP_NS  # noqa: PLC0415

    latest = from_ns is None and to_ns is None
    first = reader.latest_session(SESSION_GAP_NS) if latest else 1
    if first is None:
        raise ConfigError("--from", "no live session is stored; imported files are exported by --from and --to")
    newest = reader.chunks()
    task = progress.add_task("reading", total=newest - first + 1)
    blocks = []
    for row, found in reader.blocks(first=first, from_ns=from_ns, to_ns=to_ns, athletes=athletes, imported=not latest):
        blocks += found
        progress.update(task, completed=row - first + 1)
    session = gather(blocks)
    if session is None:
        whose = f" of {', '.join(sorted(athletes))}" if athletes else ""
        when = "in the latest session" if latest else "for that time"
        raise ConfigError("--athlete" if athletes else "--from", f"no readings{whose} are stored {when}")
    return session


def _write(files: "dict[Path, Write]", *, force: bool) -> list[Path]:
    """Write each file under another name and put it in place whole.

    Raises: ConfigError when one is there already; SourceError when the system does not let it be written.
    """
    there = [path for path in files if path.exists()]
    if there and not force:
        raise ConfigError("--output", f"{there[0]} is there already; --force overwrites it")
    for path, write in files.items():
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            temporary.replace(path)
        except OSError as exc:
            raise SourceError(str(exc.filename or path), exc.strerror or "cannot be written") from exc
        finally:
            with contextlib.suppress(OSError):  # where nothing could be written, nothing lies
                temporary.unlink(missing_ok=True)
    return list(files)
