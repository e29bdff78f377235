"""Body-worn ZXY radio sensors on a soccer pitch: positions of each tag at some 20 Hz, in one `tracking.parquet`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from cloud.datasets.public.columns import ROW, codes, floats, heading, read_parquet
from cloud.datasets.public.tracks import Tracks, unstated
from cloud.datasets.scenes import Field
from shared.clock import NS_PER_S

SPORT = "soccer"
FIELD = Field(length_m=105.0, width_m=68.0)
RATE_HZ = 20
NOT_PLAYING = ("1", "3")
"""Tags that nobody ran with: both stay where they are, one of them for 24 s."""
_COLUMNS = ("t", "id", "x", "y", "heading", "direction", "speed")
_PARQUET = "tracking.parquet"


def recognises(path: Path) -> bool:
    """Tell whether this folder or file is such a recording."""
    file = path / _PARQUET if path.is_dir() else path
    return file.suffix == ".parquet" and file.exists() and set(_COLUMNS) <= set(heading(file))


def sources(path: Path, weeks: Sequence[int] | None = None) -> list[Path]:  # noqa: ARG001  it has no weeks
    """Return the file to read."""
    return [path / _PARQUET if path.is_dir() else path]


def read(source: Path, weeks: Sequence[int] | None = None) -> Tracks:  # noqa: ARG001  it has no weeks
    """Return the whole recording; it is one team's, who wore the tags.

    Raises: ConfigError naming the file and the columns it lacks.
    """
    table = read_parquet(source, _COLUMNS)
    tag, tags = codes(table, "id")
    table = table.filter(pa.array(~np.isin(np.array(tags, np.str_), NOT_PLAYING)[tag]))
    tag, tags = codes(table, "id")
    names, player = np.unique(np.array(tags, np.str_), return_inverse=True)
    time_ns = table["t"].cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
    angle, speed_mps = floats(table, "direction"), floats(table, "speed")
    team = np.zeros(table.num_rows, np.int8)
    # Both angles run clockwise from +y, as positions differenced in time show.
    stated = {
        "velocity_mps": np.stack([speed_mps * np.sin(angle), speed_mps * np.cos(angle)], axis=-1),
        "facing_rad": np.float32(np.pi / 2) - floats(table, "heading"),
    }
    return Tracks(
        sport=SPORT,
        field=FIELD,
        rate_hz=RATE_HZ,
        files=(str(source),),
        games=np.array([source.parent.name]),
        plays=np.array(["1"]),
        players=names,
        row=table[ROW].to_numpy(),
        play=np.zeros(table.num_rows, np.int64),
        frame=np.round((time_ns - time_ns.min()) * RATE_HZ / NS_PER_S).astype(np.int64),
        time_ns=time_ns,
        player=player[tag].astype(np.int64),
        team=team,
        xy_m=np.stack([floats(table, "x"), floats(table, "y")], axis=-1),
        **unstated(team, 1) | stated,
    )
