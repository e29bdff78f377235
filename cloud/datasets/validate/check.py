"""Files checked against the rules: for a report alone, or on the way to scenes with the bad rows set aside."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.datasets.public.read import Layout, LoadReport, joined, layout_of, of_weeks, read_scenes, scenes_of
from cloud.datasets.public.tracks import Tracks, keep_rows
from cloud.datasets.scenes import Scenes
from cloud.datasets.validate.activities import holds_activities, validate_activities
from cloud.datasets.validate.quarantine import bad_rows, set_aside
from cloud.datasets.validate.report import FileReport, Finding, ValidationReport, examined, first_findings
from cloud.datasets.validate.rules import broken
from shared.errors import ConfigError

MOST_BAD = 0.1
"""Training refuses a data set of which a larger share of rows is bad: then it is not what it says it is."""
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Scenes without bad rows, what they were read from and, unless it was skipped, what was found wrong."""

    scenes: Scenes
    report: LoadReport
    validation: ValidationReport | None


def validate(
    path: Path, weeks: Sequence[int] | None = None, *, quarantine: Path | None = None, progress: Progress | None = None
) -> ValidationReport:
    """Check every row of a file or folder; bad ones are copied to `quarantine`.

    `progress` is told of each file, and of how many rows.
    Raises: ConfigError when the layout is not known, or there is nothing to check.
    """
    if holds_activities(path):
        return validate_activities(path)
    layout, found = layout_of(path), _Found()
    for _ in _good(path, layout, weeks, found, quarantine, progress):
        pass
    return found.report(path, layout, quarantine)


def validated(
    path: Path,
    weeks: Sequence[int] | None = None,
    *,
    skip: bool = False,
    quarantine: Path | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Read a file or folder to train on, without its bad rows; with `skip` all rows, unchecked.

    Raises: ConfigError when the layout is not known, a file lacks a column, nothing is left, or over MOST_BAD is bad.
    """
    if skip:
        loaded = read_scenes(path, weeks, progress)
        return Checked(scenes=loaded.scenes, report=loaded.report, validation=None)
    layout, found = layout_of(path), _Found()
    parts, plays = [], 0
    for tracks in _good(path, layout, weeks, found, quarantine, progress):
        parts.append(scenes_of(layout, tracks))
        plays += len(tracks.games)
    report = found.report(path, layout, quarantine)
    unusable = [item for item in report.findings if item.rule == "file"]
    if unusable:
        raise ConfigError(unusable[0].file, unusable[0].what)
    if report.bad_rows > MOST_BAD * report.rows:
        raise ConfigError(str(path), f"{report.bad_rows} of {report.rows} rows are bad; see `dataset validate`")
    scenes = joined(path, weeks, parts)
    loaded_report = LoadReport(
        layout=layout.name,
        files=tuple(file.file for file in report.files),
        rows=report.rows - report.bad_rows,
        left_out=plays - len(scenes),
    )
    return Checked(scenes=scenes, report=loaded_report, validation=report)


class _Found:
    """What the files of a path turned out to be."""

    def __init__(self) -> None:
        self.files: list[FileReport] = []
        self.findings: list[Finding] = []

    def refused(self, source: Path, fault: ConfigError) -> None:
        """Note a file that cannot be read at all."""
        self.files.append(FileReport(file=str(source), rows=0, bad_rows=0, broken={"file": 1}))
        self.findings.append(Finding(file=fault.path, row=0, rule="file", what=fault.problem))

    def report(self, path: Path, layout: Layout, quarantine: Path | None) -> ValidationReport:
        """Return the report on all of them."""
        kept = quarantine if quarantine is not None and quarantine.exists() else None
        return ValidationReport(
            path=str(path),
            layout=layout.name,
            files=tuple(self.files),
            findings=tuple(self.findings),
            quarantine=str(kept) if kept else None,
        )


def _good(
    path: Path,
    layout: Layout,
    weeks: Sequence[int] | None,
    found: _Found,
    quarantine: Path | None,
    progress: Progress | None,
) -> Iterator[Tracks]:
    """Yield the good rows of each file; what is wrong with the others is in `found` by then."""
    sources = layout.sources(path, weeks)
    if not sources:
        raise ConfigError(str(path), "holds no plays" + of_weeks(weeks))
    if quarantine is not None:
        if any(quarantine.exists() and quarantine.samefile(source) for source in sources):
            raise ConfigError(str(quarantine), "is to be checked; bad rows need another file")
        quarantine.unlink(missing_ok=True)
    for source in sources:
        try:
            tracks = layout.read(source, weeks)
        except ConfigError as exc:
            found.refused(source, exc)
            continue
        faults = broken(tracks, layout.marks(tracks))
        found.files += examined(tracks.files, tracks.source, faults)
        found.findings += first_findings(tracks.files, tracks.source, tracks.row, faults)
        if quarantine is not None:
            set_aside(quarantine, tracks, faults)
        if progress is not None:
            progress(str(source), len(tracks))
        bad = bad_rows(tracks, faults)
        yield keep_rows(tracks, ~bad) if bad.any() else tracks
