"""Recorded sessions as arrays: everybody's positions and heart rate on one 10 Hz grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cloud.pipeline.tables import PROFILES, read_table, readings_table, versions
from cloud.settings import Layout
from shared.clock import NS_PER_MS, NS_PER_S
from shared.errors import ConfigError
from shared.features.team import BALL_TEAM, RATE_HZ
from shared.ids import BALL

STEP_NS = NS_PER_S // RATE_HZ
# The same rule as the gateway's graphs: a longer silence is not bridged.
MAX_GAP_NS = 500 * NS_PER_MS
_COLUMNS = {
    "session": pa.string(),
    "time_ns": pa.int64(),
    "athlete": pa.string(),
    "team": pa.int8(),
    "x_m": pa.float64(),
    "y_m": pa.float64(),
}
_REQUIRED = ("session", "time_ns", "athlete", "team")
_SHORTEST_S, _LONGEST_S = 1.0, 48 * 3600
"""A session that lasts less or longer states its times in another unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One session of P players (the ball is one, team -1) over T steps of 0.1 s.

    `team` int8[P]; `time_ns` int64[T]; `xy_m` float32[T, P, 2] and `hr_bpm` float32[T, P], NaN where unknown.
    """

    session: str
    athletes: tuple[str, ...]
    team: NDArray[np.int8]
    time_ns: NDArray[np.int64]
    xy_m: NDArray[np.float32]
    hr_bpm: NDArray[np.float32]


def read_recordings(path: Path) -> list[Recording]:
    """Read every session of a Parquet file with columns session, time_ns, athlete, team, x_m, y_m and maybe hr_bpm.

    Raises: ConfigError when it cannot be read, lacks a column, or a column holds what it should not.
    """
    if not path.is_file():
        raise ConfigError(str(path), "no such file")
    try:
        table = pq.read_table(path)
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or "cannot be read") from exc
    except pa.ArrowInvalid as exc:
        raise ConfigError(str(path), f"is not a Parquet file: {exc}") from exc
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise ConfigError(str(path), f"lacks the columns {', '.join(missing)}")
    if not table.num_rows:
        raise ConfigError(str(path), "holds no rows")
    table = _typed(path, table)
    spans = table.group_by("session").aggregate([("time_ns", "min"), ("time_ns", "max")]).to_pylist()
    longest = max(spans, key=lambda span: span["time_ns_max"] - span["time_ns_min"])
    lasts_s = (longest["time_ns_max"] - longest["time_ns_min"]) / NS_PER_S
    if lasts_s > _LONGEST_S:
        raise ConfigError(str(path), f"session {longest['session']} lasts {lasts_s / 3600:.0f} h by its time_ns")
    if lasts_s < _SHORTEST_S:
        problem = f"no session lasts longer than {lasts_s:.3g} s by its time_ns, which counts nanoseconds"
        raise ConfigError(str(path), problem)
    return list(recordings(table))


def _typed(path: Path, table: pa.Table) -> pa.Table:
    """Return the columns in their types. Raises: ConfigError naming the column."""
    columns = {}
    for name, kind in {**_COLUMNS, "hr_bpm": pa.float64()}.items():
        if name not in table.column_names:
            continue
        try:
            columns[name] = table[name].cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
            raise ConfigError(str(path), f"column {name} is no {kind}: {exc}") from exc
        if name in _REQUIRED and columns[name].null_count:
            raise ConfigError(str(path), f"column {name} is empty in {columns[name].null_count} rows")
    check_teams(path, columns["team"].to_numpy(), table["team"])
    return pa.table(columns)


def check_teams(path: Path, teams: NDArray[np.integer], stated: pa.ChunkedArray) -> None:
    """Check that teams [n], as which `stated` was read, are 0, 1 or the ball's.

    Raises: ConfigError naming the first row of which that is not so.
    """
    wrong = np.flatnonzero(~np.isin(teams, (BALL_TEAM, 0, 1)))
    if len(wrong):
        problem = f"row {wrong[0] + 1}: team {stated[int(wrong[0])]} is none of 0, 1 and {BALL_TEAM}"
        raise ConfigError(str(path), problem)


def table_recordings(layout: Layout) -> list[Recording]:
    """Read every session of the positions that gateways sent, good readings only.

    Raises: ConfigError when there are none yet; StoreError when the tables cannot be read.
    """
    root, name = str(layout.tables), readings_table("position")
    if not (layout.tables / name).exists():
        raise ConfigError(str(layout.tables / name), "is no table yet; run `python -m cloud pipeline` first")
    columns = ["session", "gateway", "time_ns", "athlete", "x_m", "y_m", "quality"]
    found = versions(root)
    table = read_table(root, name, found[name], columns=columns)
    table = table.filter(pc.and_(pc.equal(table["quality"], 0), pc.is_valid(table["athlete"])))
    profiles = read_table(root, PROFILES, found[PROFILES], columns=["gateway", "athlete", "team"]).to_pylist()
    teams = {(row["gateway"], row["athlete"]): row["team"] for row in profiles}
    wearers = zip(table["gateway"].to_pylist(), table["athlete"].to_pylist(), strict=True)
    team = [BALL_TEAM if who == BALL else teams.get((gateway, who)) for gateway, who in wearers]
    table = table.append_column("team", pa.array(team, pa.int8()))
    table = table.filter(pc.is_valid(table["team"]))
    if not table.num_rows:
        raise ConfigError(str(layout.tables / name), "holds no positions of athletes whose team is known")
    return list(recordings(table))


def recordings(table: pa.Table) -> Iterator[Recording]:
    """Yield the sessions of a table with the columns that `read_recordings` names."""
    session = np.asarray(table["session"].to_pylist(), np.str_)
    for name in np.unique(session):
        yield _recording(str(name), table.filter(pa.array(session == name)))


def _recording(name: str, table: pa.Table) -> Recording:
    time_ns = table["time_ns"].to_numpy().astype(np.int64)
    athlete = np.asarray(table["athlete"].to_pylist(), np.str_)
    team = table["team"].to_numpy().astype(np.int8)
    athletes, first = np.unique(athlete, return_index=True)
    start_ns = -(-int(time_ns.min()) // STEP_NS) * STEP_NS
    grid = np.arange(start_ns, int(time_ns.max()) + 1, STEP_NS, dtype=np.int64)
    xy_m = np.full((len(grid), len(athletes), 2), np.nan, np.float32)
    hr_bpm = np.full((len(grid), len(athletes)), np.nan, np.float32)
    columns = {column: _floats(table, column) for column in ("x_m", "y_m", "hr_bpm")}
    for index, who in enumerate(athletes):
        chosen = np.flatnonzero(athlete == who)
        chosen = chosen[np.argsort(time_ns[chosen], kind="stable")]
        times = time_ns[chosen]
        for axis, column in enumerate(("x_m", "y_m")):
            xy_m[:, index, axis] = on_grid(times, columns[column][chosen], grid)
        hr_bpm[:, index] = _held(times, columns["hr_bpm"][chosen], grid)
    return Recording(
        session=name,
        athletes=tuple(str(who) for who in athletes),
        team=team[first],
        time_ns=grid,
        xy_m=xy_m,
        hr_bpm=hr_bpm,
    )


def on_grid(time_ns: NDArray[np.int64], values: NDArray[np.float64], grid_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return values interpolated to the grid, NaN outside what is known and in gaps over 0.5 s."""
    known = np.isfinite(values)
    times, values = time_ns[known], values[known]
    result = np.full(len(grid_ns), np.nan)
    if len(times) < 2:
        return result
    after = np.searchsorted(times, grid_ns, side="left")
    inside = (grid_ns >= times[0]) & (grid_ns <= times[-1])
    right = np.clip(after, 1, len(times) - 1)
    bridged = inside & ((times[right] - times[right - 1] <= MAX_GAP_NS) | (times[right] == grid_ns))
    origin = int(times[0])
    wanted = (grid_ns[bridged] - origin).astype(np.float64)
    result[bridged] = np.interp(wanted, (times - origin).astype(np.float64), values)
    return result


def _held(time_ns: NDArray[np.int64], values: NDArray[np.float64], grid_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the newest value at most 1.5 s old at each grid time: a strap reports once a second."""
    known = np.isfinite(values)
    times, values = time_ns[known], values[known]
    if not len(times):
        return np.full(len(grid_ns), np.nan)
    index = np.searchsorted(times, grid_ns, side="right") - 1
    fresh = (index >= 0) & (grid_ns - times[np.maximum(index, 0)] <= 1500 * NS_PER_MS)
    return np.where(fresh, values[np.maximum(index, 0)], np.nan)


def _floats(table: pa.Table, column: str) -> NDArray[np.float64]:
    if column not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table[column].to_numpy(zero_copy_only=False), np.float64)
