"""A session as a table, for training and evaluation."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import Progress

from firmware_sim.arrays import Floats
from firmware_sim.session import Session, Step
from shared.errors import ConfigError
from shared.ids import BALL

START_NS = 1_790_000_000_000_000_000
"""Exported time begins here, so that a seed always gives the same file."""
BALL_TEAM = -1
_ROWS_PER_GROUP = 250_000

SCHEMA = pa.schema([
    pa.field("session", pa.string(), nullable=False),
    pa.field("time_ns", pa.int64(), nullable=False),
    pa.field("athlete", pa.string(), nullable=False),
    pa.field("team", pa.int8(), nullable=False),
    pa.field("x_m", pa.float32()),
    pa.field("y_m", pa.float32()),
    pa.field("hr_bpm", pa.float32()),
])  # fmt: skip


class _Columns:
    """Turns steps into record batches: one row per wearer and step, nulls for what was not measured."""

    def __init__(self, session: Session, name: str) -> None:
        self._name = name
        wearer = {a.sensor: a.athlete for a in session.roster.assignments}
        teams = {a.athlete: a.team for a in session.roster.athletes} | {str(BALL): BALL_TEAM}
        tag_of = {wearer[sensor]: index for index, sensor in enumerate(session.tags)}
        strap_of = {wearer[sensor]: index for index, sensor in enumerate(session.straps)}
        self._athletes = [*teams]
        self._teams = np.array([*teams.values()], dtype=np.int8)
        self._tag = np.array([tag_of.get(athlete, -1) for athlete in teams])
        self._strap = np.array([strap_of.get(athlete, -1) for athlete in teams])
        self.width = len(self._athletes)

    def batch(self, steps: list[Step]) -> pa.RecordBatch:
        """Return all rows of these steps, in order of time, then athlete."""
        count = len(steps)
        times = np.array([START_NS + round(step.time_s * 1e9) for step in steps], dtype=np.int64)
        columns = [
            pa.array([self._name] * (count * self.width)),
            pa.array(np.repeat(times, self.width)),
            pa.array(self._athletes * count),
            pa.array(np.tile(self._teams, count)),
            _nullable(np.concatenate([_pick(step.x_m, self._tag) for step in steps])),
            _nullable(np.concatenate([_pick(step.y_m, self._tag) for step in steps])),
            _nullable(np.concatenate([_pick(step.bpm, self._strap) for step in steps])),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def export_positions(session: Session, out: Path, *, seconds: float, name: str, console: Console) -> int:
    """Write `seconds` of the session to a Parquet file; return the number of rows.

    Raises: ConfigError when the file cannot be written.
    """
    columns = _Columns(session, name)
    steps_left = round(seconds * session.rate_hz)
    per_group = max(1, _ROWS_PER_GROUP // columns.width)
    rows = 0
    try:
        with pq.ParquetWriter(out, SCHEMA, compression="zstd") as writer, Progress(console=console) as progress:
            task = progress.add_task("Exporting", total=steps_left)
            while steps_left:
                steps = []
                for _ in range(min(per_group, steps_left)):
                    steps.append(session.step())
                    progress.advance(task)
                writer.write_batch(columns.batch(steps))
                steps_left -= len(steps)
                rows += len(steps) * columns.width
    except OSError as exc:
        raise ConfigError(str(out), exc.strerror or "cannot be written") from exc
    return rows


def _pick(values: Floats, index: np.ndarray) -> Floats:
    """Return values[index], NaN where index is -1."""
    padded = np.append(values, np.nan)
    picked: Floats = padded[index]
    return picked


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values.astype(np.float32), from_pandas=True)
