"""Any documented layout of positions as scenes, recognised by the names of its files and columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.datasets import recorded_scenes
from cloud.datasets.public import bdb, bdb2026, football, hockey, matches, ngs, zxy
from cloud.datasets.public.scene_grid import to_scenes
from cloud.datasets.public.tracks import LONGEST_GAP_S, Marks, Tracks, at_10_hz, whole
from cloud.datasets.scenes import Scenes, join
from shared.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A documented layout of files: how to know it, which sources it has, how to read one, when plays began."""

    name: str
    recognises: Callable[[Path], bool]
    sources: Callable[[Path, Sequence[int] | None], list[Path]]
    read: Callable[[Path, Sequence[int] | None], Tracks]
    marks: Callable[[Tracks], Marks] = whole
    longest_gap_s: float = LONGEST_GAP_S


LAYOUTS = (
    Layout(name="ngs", recognises=ngs.recognises, sources=ngs.sources, read=ngs.read, marks=football.marks),
    Layout(name="bdb", recognises=bdb.recognises, sources=bdb.sources, read=bdb.read, marks=football.marks),
    Layout(
        name="bdb2026", recognises=bdb2026.recognises, sources=bdb2026.sources, read=bdb2026.read, marks=football.marks
    ),
    Layout(name="zxy", recognises=zxy.recognises, sources=zxy.sources, read=zxy.read),
    Layout(name="hockey", recognises=hockey.recognises, sources=hockey.sources, read=hockey.read),
    Layout(name="matches", recognises=matches.recognises, sources=matches.sources, read=matches.read),
    Layout(
        name="recordings",
        recognises=recorded_scenes.recognises,
        sources=recorded_scenes.sources,
        read=recorded_scenes.read,
        longest_gap_s=recorded_scenes.LONGEST_GAP_S,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What was read: `rows` of `files`, and how many plays were left out because they have no beginning."""

    layout: str
    files: tuple[str, ...]
    rows: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Scenes and what they were read from."""

    scenes: Scenes
    report: LoadReport


def layout_of(path: Path) -> Layout:
    """Return the layout of a file or folder.

    Raises: ConfigError when there is none that we know.
    """
    if not path.exists():
        raise ConfigError(str(path), "is not there")
    for layout in LAYOUTS:
        if layout.recognises(path):
            return layout
    raise ConfigError(str(path), f"is in no layout that is known: {', '.join(layout.name for layout in LAYOUTS)}")


def scenes_of(layout: Layout, tracks: Tracks) -> Scenes:
    """Return tracks of a layout as scenes at 10 Hz."""
    even = at_10_hz(tracks, layout.longest_gap_s)
    return to_scenes(even, layout.marks(even))


def read_scenes(
    path: Path, weeks: Sequence[int] | None = None, progress: Callable[[str, int], None] | None = None
) -> Loaded:
    """Read a file or folder in a documented layout; of a season, these weeks only. Every row counts, good or bad.

    `progress` is told of each file read, and of how many rows.
    Raises: ConfigError when the layout is not known, a file lacks a column, or there is nothing to read.
    """
    layout = layout_of(path)
    parts: list[Scenes] = []
    files: list[str] = []
    rows = plays = 0
    for source in layout.sources(path, weeks):
        tracks = layout.read(source, weeks)
        parts.append(scenes_of(layout, tracks))
        files += tracks.files
        rows, plays = rows + len(tracks), plays + len(tracks.games)
        if progress is not None:
            progress(tracks.files[0], len(tracks))
    scenes = joined(path, weeks, parts)
    report = LoadReport(layout=layout.name, files=tuple(files), rows=rows, left_out=plays - len(scenes))
    return Loaded(scenes=scenes, report=report)


def joined(path: Path, weeks: Sequence[int] | None, parts: Sequence[Scenes]) -> Scenes:
    """Return the scenes of all files of `path` as one.

    Raises: ConfigError when there are none, or they were played on fields of different sizes.
    """
    if not any(len(part) for part in parts):
        raise ConfigError(str(path), "holds no plays" + of_weeks(weeks))
    if len({part.field for part in parts}) > 1:
        raise ConfigError(str(path), "holds fields of different sizes; read those of each size by themselves")
    return join(parts)


def of_weeks(weeks: Sequence[int] | None) -> str:
    """Return the words that say which weeks were asked for."""
    return f" of weeks {', '.join(map(str, weeks))}" if weeks else ""
