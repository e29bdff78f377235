"""All export formats, and what files each makes of a session. A new one is one line here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge.export import csv_files, xlsx
from edge.export.fit import STREAMS, encode_fit
from edge.export.session import Session, SummaryRow, summarise, travelled
from shared.errors import ConfigError
from shared.ids import BALL, AthleteId
from shared.metrics.base import Profile
from shared.parquet_codec import encode_parquet
from shared.readings import Readings
from shared.roster import Roster, profile_of

Write = Callable[[Path], None]
_SUFFIXES = (".fit", ".csv", ".xlsx", ".parquet")
_ONE_FILE = {"fit": ".fit", "xlsx": ".xlsx"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What to make files of; `on_rows` hears of rows written, for a progress bar."""

    session: Session
    roster: Roster
    on_rows: Callable[[int], None]

    def summary(self) -> list[SummaryRow]:
        """Return every metric of every athlete of the roster."""
        return summarise(self.session, self.roster)

    def profile(self, athlete: AthleteId) -> Profile | None:
        """Return what the metrics need to know of an athlete, None of somebody whom the roster does not name."""
        member = next((member for member in self.roster.athletes if member.athlete == athlete), None)
        return None if member is None else profile_of(member, self.roster)


def files_of(form: str, output: Path, export: Export) -> dict[Path, Write]:
    """Return the files that a format makes, each with what writes it.

    XLSX makes the file `output`; FIT too when its name ends in `.fit` and there is one athlete; all else makes files
    in the folder `output`.
    Raises: ConfigError when there is nothing that the format can hold, or `output` is the name of another file.
    """
    suffix = output.suffix.lower()
    if suffix in _SUFFIXES and suffix != _ONE_FILE.get(form) and not output.is_dir():
        raise ConfigError("--output", f"{output} is named like a file: {form} makes files in a folder")
    return FORMATS[form](output, export)


def _fit(output: Path, export: Export) -> dict[Path, Write]:
    session = export.session
    told = {block.athlete for stream in STREAMS for block in session.streams.get(stream, ())}
    athletes = [athlete for athlete in session.athletes if athlete != BALL and athlete in told]
    if not athletes:
        raise ConfigError(
            "--format", "FIT holds one athlete a file, and no athlete has readings that it has a field for"
        )
    if output.suffix.lower() == ".fit":
        if len(athletes) > 1:
            raise ConfigError("--output", f"one FIT file cannot hold {len(athletes)} athletes: name a folder")
        return {output: partial(_write_fit, export, athletes[0])}
    return {output / f"{athlete}.fit": partial(_write_fit, export, athlete) for athlete in athletes}


def _write_fit(export: Export, athlete: AthleteId, path: Path) -> None:
    streams = {name: block for name, block in export.session.of(athlete).items() if name in STREAMS}
    try:
        body = encode_fit(streams, distance_m=travelled(athlete, streams, export.profile(athlete)))
    except ValueError as exc:
        raise ConfigError("--format", f"{athlete}: {exc}: name --from and --to") from exc
    if body is None:
        raise ConfigError("--format", f"{athlete} has nothing that FIT has a field for")
    path.write_bytes(body)
    export.on_rows(sum(map(len, streams.values())))


def _csv(output: Path, export: Export) -> dict[Path, Write]:
    files: dict[Path, Write] = {output / "summary.csv": lambda path: csv_files.write_summary(path, export.summary())}
    for stream, blocks in export.session.streams.items():
        files[output / f"{stream}.csv"] = partial(_write_csv, export, blocks)
    return files


def _write_csv(export: Export, blocks: Sequence[Readings], path: Path) -> None:
    csv_files.write_stream(path, blocks)
    export.on_rows(sum(map(len, blocks)))


def _xlsx(output: Path, export: Export) -> dict[Path, Write]:
    file = output if output.suffix.lower() == ".xlsx" else output / "session.xlsx"
    return {
        file: lambda path: xlsx.write_workbook(path, export.session.streams, export.summary(), on_rows=export.on_rows)
    }


def _parquet(output: Path, export: Export) -> dict[Path, Write]:
    return {
        output / f"{stream}.parquet": partial(_write_parquet, export, blocks)
        for stream, blocks in export.session.streams.items()
    }


def _write_parquet(export: Export, blocks: Sequence[Readings], path: Path) -> None:
    path.write_bytes(encode_parquet(blocks))
    export.on_rows(sum(map(len, blocks)))


FORMATS: dict[str, Callable[[Path, Export], dict[Path, Write]]] = {
    "fit": _fit,
    "csv": _csv,
    "xlsx": _xlsx,
    "parquet": _parquet,
}
