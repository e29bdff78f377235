"""`sideline-gateway import-file`: readings out of files into the journal, while the gateway runs or not."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from edge.settings import load
from shared.clock import NS_PER_S, SystemClock
from shared.errors import ConfigError, DecodeError, SourceError
from shared.ids import AthleteId, parse_athlete_id
from shared.readings import Quality, Readings
from shared.roster import read_roster

if TYPE_CHECKING:
    from edge.files.importer import Naming, Opened

_out = Console()


class Unmapped(StrEnum):
    """What becomes of whom nobody named."""

    REFUSE = "refuse"
    KEEP = "keep"


def import_file(
    file: Annotated[Path, typer.Argument(help="FIT, TCX, GPX, Polar HRM, RR text, CSV or tracking, also .gz or .zip.")],
    settings: Annotated[Path, typer.Option("--settings", "-s", help="Settings file (TOML).")] = Path("gateway.toml"),
    partner: Annotated[
        Path | None, typer.Option("--with", help="The other file of a pair: away team, metadata.")
    ] = None,
    athlete: Annotated[str | None, typer.Option(help="Whose it is, by athlete id of the roster.")] = None,
    mapping: Annotated[str | None, typer.Option("--map", help="Players of a match: home-10=a07,away-3=a21.")] = None,
    players: Annotated[Path | None, typer.Option(help='The same as a JSON file: {"home-10": "a07"}.')] = None,
    unmapped: Annotated[Unmapped, typer.Option(help="What becomes of players without a name.")] = Unmapped.REFUSE,
    start: Annotated[str | None, typer.Option(help="When the first reading was: 2026-03-01T18:30:00+01:00.")] = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Of a damaged FIT, take what precedes the damage.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be stored, and store nothing.")] = False,
) -> None:
    """Store what files of watches and tracking systems hold; the same file twice adds nothing."""
    # Loaded here, so that other commands answer at once: the parsers are large.
    from edge.files.importer import blocks_of, open_files  # noqa: PLC0415

    chosen = load(settings)
    naming = _naming(Path(chosen.roster_file), athlete, mapping, players, keep=unmapped is Unmapped.KEEP)
    start_ns = None if start is None else moment_ns("--start", start)
    bodies = [_bytes(path) for path in (file, partner) if path is not None]
    try:
        with _out.status(f"reading {escape(file.name)}"):
            opened = open_files(bodies, salvage=salvage)
            blocks = blocks_of(opened, naming, start_ns=start_ns)
    except DecodeError as exc:
        raise SourceError(str(file), str(exc)) from exc
    _show(opened, blocks)
    if dry_run:
        _out.print("nothing stored: this was a dry run")
    else:
        _store(Path(chosen.data_dir) / "gateway.sqlite", chosen.store.max_bytes, opened.origin, file.name, blocks)


def moment_ns(where: str, text: str) -> int:
    """Return an ISO 8601 moment as nanoseconds UTC; one without a zone is UTC, and people are told so.

    Raises: ConfigError naming the option.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(where, f"{text!r} is not a moment such as 2026-03-01T18:30:00+01:00") from exc
    if not 1970 < moment.year < 2200:
        raise ConfigError(where, f"{text!r} is not in this age")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
        _out.print(f"note: {where} names no time zone: it is taken as {moment.isoformat()}", soft_wrap=True)
    return round(moment.timestamp() * 1e6) * 1000


def _naming(
    roster_file: Path, athlete: str | None, mapping: str | None, players: Path | None, *, keep: bool
) -> "Naming":
    from edge.files.importer import Naming  # noqa: PLC0415
    from edge.pipeline.roster import Wearers  # noqa: PLC0415

    roster = read_roster(roster_file)
    known = {member.athlete for member in roster.athletes}

    def member(where: str, name: str) -> AthleteId:
        if parse_athlete_id(name) not in known:
            raise ConfigError(where, f"{name} is not in the roster {roster_file}")
        return AthleteId(name)

    named = _players(players) if players else {}
    for pair in filter(None, (mapping or "").split(",")):
        player, equals, name = (word.strip() for word in pair.partition("="))
        if not (player and equals and name):
            raise ConfigError("--map", f"{pair!r} is not of the form home-10=a07")
        named[player] = name
    return Naming(
        athlete=None if athlete is None else member("--athlete", athlete),
        players={player: member(player, name) for player, name in named.items()},
        worn=Wearers(roster).wearer,
        keep=keep,
    )


def _players(path: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or "cannot be read") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(str(path), str(exc)) from exc


def _bytes(path: Path) -> bytes:
    from edge.files.unpack import MAX_BYTES  # noqa: PLC0415

    try:
        if path.stat().st_size > MAX_BYTES:
            raise SourceError(str(path), f"it is larger than {MAX_BYTES} bytes")
        return path.read_bytes()
    except OSError as exc:
        raise SourceError(str(path), exc.strerror or "cannot be read") from exc


def _show(opened: "Opened", blocks: Sequence[Readings]) -> None:
    """Print what there is, one line a block."""
    table = Table("player", "athlete", "stream", "readings", "flagged", "from (UTC)", "minutes", box=None)
    for block, series in zip(blocks, opened.content.series, strict=True):
        first_ns, last_ns = int(block.time_ns.min()), int(block.time_ns.max())
        flagged = int(((block.quality & Quality.IMPLAUSIBLE) != 0).sum())
        began = f"{datetime.fromtimestamp(first_ns // NS_PER_S, UTC):%Y-%m-%d %H:%M:%S}"
        minutes = f"{(last_ns - first_ns) / NS_PER_S / 60:.1f}"
        counts = (str(len(block)), str(flagged))
        table.add_row(series.wearer or "-", block.athlete or "-", block.stream, *counts, began, minutes)
    _out.print(f"{opened.format}, sensor {opened.sensor('' if opened.wearers == ('',) else '...')}")
    _out.print(table)
    if opened.content.damage is not None:
        _out.print(f"[yellow]damaged[/yellow]: {escape(opened.content.damage)}; what precedes it is marked uncertain")
    for note in opened.content.notes:
        _out.print(f"note: {escape(note)}", soft_wrap=True)


def _store(database: Path, max_bytes: int, origin: str, name: str, blocks: Sequence[Readings]) -> None:
    from edge.store.database import open_database  # noqa: PLC0415
    from edge.store.imports import CHUNK_READINGS, find_import, pack, store_import  # noqa: PLC0415

    connection = open_database(database, max_bytes=max_bytes)
    try:
        before = find_import(connection, origin)
        if before is None:
            count = sum(map(len, blocks))
            chunks = track(
                pack(blocks),
                "packing",
                total=-(-count // CHUNK_READINGS),
                console=_out,
                transient=True,
                disable=not _out.is_terminal,
            )
            now_ns = SystemClock().utc_ns()
            if store_import(connection, database.parent, origin, name, list(chunks), now_ns, max_bytes=max_bytes):
                _out.print(f"stored {count} readings")
                return
            before = find_import(connection, origin)
    finally:
        connection.close()
    known = escape(before.name if before else name)
    _out.print(
        f"already imported as {known}: nothing added, its readings stay with whom they were given", soft_wrap=True
    )
