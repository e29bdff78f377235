"""Power plays of ice hockey tracked from broadcast video (Big Data Cup): a folder a game, a table a power play."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloud.datasets.public.columns import ROW, codes, floats, heading, integers, read_csv, read_parquet
from cloud.datasets.public.tracks import Tracks, unstated
from cloud.datasets.scenes import Field
from shared.clock import NS_PER_S

SPORT = "ice_hockey"
FOOT_M = 0.3048
FIELD = Field(length_m=200 * FOOT_M, width_m=85 * FOOT_M)
RATE_HZ = 30
_COLUMNS = ("frame_id", "track_id", "team_id", "x_ft", "y_ft")
_LONGEST_GAP = 9
"""Frames (0.3 s) without anybody: after more of them the camera has been elsewhere, and a new scene begins."""


def recognises(path: Path) -> bool:
    """Tell whether this is a power play's table, or a folder with some, or a folder of such folders."""
    files = _files(path)
    return bool(files) and set(_COLUMNS) <= set(heading(files[0]))


def sources(path: Path, weeks: Sequence[int] | None = None) -> list[Path]:  # noqa: ARG001  it has no weeks
    """Return the tables of power plays."""
    return _files(path)


def read(source: Path, weeks: Sequence[int] | None = None) -> Tracks:  # noqa: ARG001  it has no weeks
    """Return a power play; a track is a stretch in which one player was followed, not a person.

    Raises: ConfigError naming the file and the columns it lacks.
    """
    table = read_parquet(source, _COLUMNS) if source.suffix == ".parquet" else read_csv(source, _COLUMNS)
    frame = integers(table, "frame_id", absent=-1)
    seen, at = np.unique(frame, return_inverse=True)
    play = np.append(0, np.cumsum(np.diff(seen) > _LONGEST_GAP))[at]
    plays = int(play.max(initial=-1)) + 1
    ids, player = np.unique(integers(table, "track_id", absent=-1), return_inverse=True)
    shirt, shirts = codes(table, "team_id")
    team = np.array([int(name == "Dark") for name in shirts], np.int8)[shirt]
    return Tracks(
        sport=SPORT,
        field=FIELD,
        rate_hz=RATE_HZ,
        files=(str(source),),
        games=np.full(plays, source.parent.name),
        plays=np.array([f"{source.stem} {number}" for number in range(1, plays + 1)]),
        players=ids.astype(np.str_),
        row=table[ROW].to_numpy(),
        play=play.astype(np.int64),
        frame=frame,
        time_ns=frame * NS_PER_S // RATE_HZ,
        player=player.astype(np.int64),
        team=team,
        xy_m=np.stack([floats(table, "x_ft"), floats(table, "y_ft")], axis=-1) * np.float32(FOOT_M),
        **unstated(team, plays),
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix in {".csv", ".parquet"} else []
    found = [*path.glob("* PP*.*"), *path.glob("*/* PP*.*")]
    return sorted(file for file in found if not file.name.startswith("video") and file.suffix in {".csv", ".parquet"})
