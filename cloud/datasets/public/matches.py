"""Whole matches of soccer as vendors give them, read with kloppy: Metrica, SkillCorner, Tracab, Sportec (DFL).

A match is a folder with the vendor's two files; what they are called does not matter, what they hold does.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from kloppy import metrica, skillcorner, sportec, tracab
from kloppy.domain import Ground, TrackingDataset, VerticalOrientation
from kloppy.exceptions import KloppyError

from cloud.datasets.public.tracks import Tracks, unstated
from cloud.datasets.scenes import Field
from shared.clock import NS_PER_S
from shared.errors import ConfigError
from shared.features.team import BALL_TEAM
from shared.ids import BALL

SPORT = "soccer"
_HEAD_BYTES = 4096
_USUAL_PITCH = Field(length_m=105.0, width_m=68.0)
_HOME, _AWAY = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vendor:
    """A vendor's two files: `parts` knows each by its first bytes and its ending, `load` hands both to kloppy."""

    parts: Mapping[str, Callable[[bytes, str], bool]]
    load: Callable[[Mapping[str, BytesIO]], TrackingDataset]


_VENDORS = (
    _Vendor(
        parts={
            "home": lambda head, _: head.split(b"\n", 1)[0].startswith(b",,,Home"),
            "away": lambda head, _: head.split(b"\n", 1)[0].startswith(b",,,Away"),
        },
        load=lambda of: metrica.load_tracking_csv(home_data=of["home"], away_data=of["away"], coordinates="metrica"),
    ),
    _Vendor(
        parts={
            "meta": lambda head, _: b"<DataFormatSpecification" in head,
            "raw": lambda head, ending: ending in {".txt", ".dat"} and head[:64].split(b":", 1)[0].isdigit(),
        },
        load=lambda of: metrica.load_tracking_epts(meta_data=of["meta"], raw_data=of["raw"], coordinates="metrica"),
    ),
    _Vendor(
        parts={
            "meta": lambda head, ending: ending == ".json" and b'"home_team"' in head and b'"frame"' not in head[:16],
            "raw": lambda head, _: head.lstrip().startswith((b'{"frame":', b'[{"frame', b'[{"possession', b'[{"data')),
        },
        load=lambda of: skillcorner.load(
            meta_data=of["meta"], raw_data=of["raw"], coordinates="skillcorner", include_empty_frames=False
        ),
    ),
    _Vendor(
        parts={
            "meta": lambda head, _: b"TracabMetaData" in head,
            "raw": lambda head, ending: ending in {".txt", ".dat"} and head[:64].split(b":", 1)[0].isdigit(),
        },
        load=lambda of: tracab.load(meta_data=of["meta"], raw_data=of["raw"], coordinates="tracab"),
    ),
    _Vendor(
        parts={
            "meta": lambda head, _: b"<PutDataRequest" in head and b"<MatchInformation" in head,
            "raw": lambda head, _: b"<PutDataRequest" in head and b"<Positions" in head,
        },
        load=lambda of: sportec.load_tracking(meta_data=of["meta"], raw_data=of["raw"], coordinates="sportec"),
    ),
)


def recognises(path: Path) -> bool:
    """Tell whether this folder, or a folder in it, holds a vendor's two files."""
    return next(_matches(path), None) is not None


def sources(path: Path, weeks: Sequence[int] | None = None) -> list[Path]:  # noqa: ARG001  it has no weeks
    """Return the folders of matches."""
    return [folder for folder, _, _ in _matches(path)]


def read(source: Path, weeks: Sequence[int] | None = None) -> Tracks:  # noqa: ARG001  it has no weeks
    """Return a match; its periods are its plays, and the home side is team 0.

    Raises: ConfigError naming the folder when the files are damaged or of different matches.
    """
    folder, vendor, files = next(_matches(source))
    try:
        with warnings.catch_warnings(action="ignore"):  # of versions and of what we do not read
            # Bytes, because kloppy leaves files open that it opens itself.
            dataset = vendor.load({part: BytesIO(file.read_bytes()) for part, file in files.items()})
    except (KloppyError, SyntaxError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise ConfigError(str(folder), f"damaged, or files of different matches: {exc}"[:200]) from exc
    return _tracks(dataset, folder, tuple(str(file) for file in files.values()))


def _matches(path: Path) -> Iterator[tuple[Path, _Vendor, dict[str, Path]]]:
    if not path.is_dir():
        return
    for folder in (path, *sorted(item for item in path.iterdir() if item.is_dir())):
        heads = {file: _head(file) for file in sorted(folder.iterdir()) if file.is_file()}
        for vendor in _VENDORS:
            found = {
                part: file
                for part, knows in vendor.parts.items()
                for file, head in heads.items()
                if knows(head, file.suffix.lower())
            }
            if len(found) == len(vendor.parts):
                yield folder, vendor, found
                break


def _head(file: Path) -> bytes:
    with file.open("rb") as content:
        return content.read(_HEAD_BYTES)


def _tracks(dataset: TrackingDataset, folder: Path, files: tuple[str, ...]) -> Tracks:
    field, place = _placed(dataset)
    rate_hz = round(dataset.metadata.frame_rate)
    team_of, rows = _seen(dataset)
    if not rows:
        raise ConfigError(str(folder), "holds no positions")
    table = np.array(rows, np.float64)
    row, period, time_ns, who = table[:, :4].astype(np.int64).T
    names = np.array(list(team_of), np.str_)
    order = np.argsort(names)  # players stand by name, whoever was seen first
    periods, play = np.unique(period, return_inverse=True)
    team = np.array(list(team_of.values()), np.int8)[who]
    return Tracks(
        sport=SPORT,
        field=field,
        rate_hz=rate_hz,
        files=files,
        games=np.full(len(periods), folder.name),
        plays=periods.astype(np.str_),
        players=names[order],
        row=row,
        play=play.astype(np.int64),
        frame=np.round(time_ns * rate_hz / NS_PER_S).astype(np.int64),
        time_ns=time_ns,
        player=np.argsort(order)[who].astype(np.int64),
        team=team,
        xy_m=place(table[:, 4:]).astype(np.float32),
        **unstated(team, len(periods), source=len(files) - 1),
    )


def _seen(dataset: TrackingDataset) -> tuple[dict[str, int], list[tuple[int, int, int, int, float, float]]]:
    """Return each player's team, and for each position frame, period, ns, the player's place in there, x and y."""
    team_of: dict[str, int] = {BALL: BALL_TEAM}
    place_of: dict[str, int] = {BALL: 0}
    rows: list[tuple[int, int, int, int, float, float]] = []
    for ordinal, frame in enumerate(dataset.frames, 1):
        moment = (ordinal, frame.period.id, round(frame.timestamp.total_seconds() * NS_PER_S))
        for player, at in frame.players_coordinates.items():
            if at is not None and at.x is not None and at.y is not None:
                if player.player_id not in place_of:
                    place_of[player.player_id] = len(team_of)
                    team_of[player.player_id] = _HOME if player.team.ground == Ground.HOME else _AWAY
                rows.append((*moment, place_of[player.player_id], at.x, at.y))
        ball = frame.ball_coordinates
        if ball is not None and ball.x is not None and ball.y is not None:
            rows.append((*moment, place_of[BALL], ball.x, ball.y))
    return team_of, rows


def _placed(dataset: TrackingDataset) -> tuple[Field, Callable[[np.ndarray], np.ndarray]]:
    """Return the pitch, and what makes vendors' points metres from its corner.

    Our own, because kloppy's transformation of each point takes most of the time of reading.
    """
    size, system = dataset.metadata.pitch_dimensions, dataset.metadata.coordinate_system
    field = _USUAL_PITCH
    if size.pitch_length and size.pitch_width and not size.standardized:
        field = Field(length_m=float(size.pitch_length), width_m=float(size.pitch_width))
    low = np.array([size.x_dim.min, size.y_dim.min], np.float64)
    high = np.array([size.x_dim.max, size.y_dim.max], np.float64)
    if system is not None and system.vertical_orientation == VerticalOrientation.TOP_TO_BOTTOM:
        low[1], high[1] = high[1], low[1]
    scale = np.array([field.length_m, field.width_m]) / (high - low)
    return field, lambda points: (points - low) * scale
