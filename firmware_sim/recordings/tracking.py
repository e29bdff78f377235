"""NFL Next Gen Stats tracking: plays of 22 players and the ball at 10 Hz, in yards."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from firmware_sim.arrays import Floats, Ints
from shared.errors import ConfigError

METRES_PER_YARD = 0.9144
PLAYERS_PER_TEAM = 11
BODIES = 2 * PLAYERS_PER_TEAM + 1
"""Slots 0-10 home, 11-21 away, 22 ball."""

_TYPES = {
    "gameId": pa.int64(),
    "playId": pa.int64(),
    "frame": pa.int64(),
    "nflId": pa.float64(),
    "homeTeamFlag": pa.float64(),
    "x": pa.float64(),
    "y": pa.float64(),
}
_NO_PLAYER = -1.0


def is_tracking(path: Path) -> bool:
    """Tell whether the path looks like tracking: a .tsv play, a .parquet table, or a folder of either."""
    return path.suffix in (".tsv", ".parquet") or (path.is_dir() and bool(_files(path)))


class Tracking:
    """The plays of a recording, one after another; who fills a slot changes from play to play."""

    def __init__(self, path: Path) -> None:
        files = _files(path) if path.is_dir() else [path]
        table = pa.concat_tables([_read(file) for file in files])
        if table.num_rows == 0:
            raise ConfigError(str(path), "the tracking table is empty")
        columns = {name: table[name].to_numpy(zero_copy_only=False) for name in ("gameId", "playId", "frame")}
        order = np.lexsort((columns["frame"], columns["playId"], columns["gameId"]))
        self._frame: Ints = columns["frame"][order]
        self._player = np.nan_to_num(table["nflId"].to_numpy(zero_copy_only=False), nan=_NO_PLAYER)[order]
        self._home: Floats = table["homeTeamFlag"].to_numpy(zero_copy_only=False)[order]
        self._at_m: Floats = METRES_PER_YARD * np.stack(
            [table[name].to_numpy(zero_copy_only=False)[order] for name in ("x", "y")], axis=1
        )
        game, play = columns["gameId"][order], columns["playId"][order]
        changes = np.flatnonzero((np.diff(game) != 0) | (np.diff(play) != 0)) + 1
        self._bounds = np.concatenate([[0], changes, [len(order)]])

    @property
    def plays(self) -> int:
        """Number of plays."""
        return len(self._bounds) - 1

    def frames(self) -> Iterator[Floats]:
        """Yield (23, 2) metres every 0.1 s for ever; NaN where a body was not tracked."""
        while True:
            for index in range(self.plays):
                yield from self.play(index)

    def play(self, index: int) -> Floats:
        """Return (frames, 23, 2) metres of one play."""
        rows = slice(self._bounds[index], self._bounds[index + 1])
        frame = self._frame[rows] - self._frame[rows][0]
        slot = _slots(self._player[rows], self._home[rows])
        placed = np.full((int(frame.max()) + 1, BODIES, 2), np.nan)
        kept = slot >= 0
        placed[frame[kept], slot[kept]] = self._at_m[rows][kept]
        return placed


def _slots(player: Floats, home: Floats) -> Ints:
    """Give every row a slot; -1 for a twelfth player of a team."""
    slot = np.full(player.size, -1, dtype=np.int64)
    slot[player == _NO_PLAYER] = BODIES - 1
    for side, flag in enumerate((1.0, 0.0)):
        team = np.unique(player[(home == flag) & (player != _NO_PLAYER)])[:PLAYERS_PER_TEAM]
        for number, name in enumerate(team):
            slot[player == name] = side * PLAYERS_PER_TEAM + number
    return slot


def _files(folder: Path) -> list[Path]:
    table = folder / "tracking.parquet"
    return [table] if table.is_file() else sorted(folder.glob("*.tsv"))


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix == ".tsv":
            options = pa_csv.ConvertOptions(column_types=_TYPES, include_columns=list(_TYPES), null_values=["", "NA"])
            table = pa_csv.read_csv(path, parse_options=pa_csv.ParseOptions(delimiter="\t"), convert_options=options)
        else:
            table = pq.read_table(path, columns=list(_TYPES))
        return table.select(list(_TYPES)).cast(pa.schema(list(_TYPES.items())))
    except (OSError, KeyError, pa.ArrowException) as exc:
        wanted = ", ".join(_TYPES)
        raise ConfigError(str(path), f"is not a tracking table (needs columns {wanted})") from exc
