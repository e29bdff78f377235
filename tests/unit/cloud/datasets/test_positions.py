from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from cloud.datasets.positions import STEP_NS, on_grid, read_recordings, table_recordings
from cloud.pipeline.tables import PROFILES, TABLES, ensure_tables, readings_table
from cloud.settings import Layout
from shared.clock import NS_PER_MS, NS_PER_S
from shared.errors import ConfigError

START_NS = 1_790_000_000 * NS_PER_S


def write(path: Path, times_ns: list[int], x_m: list[float | None], **extra: list[float | None]) -> Path:
    count = len(times_ns)
    columns = {
        "session": ["s1"] * count,
        "time_ns": pa.array(times_ns, pa.int64()),
        "athlete": ["a1"] * count,
        "team": pa.array([1] * count, pa.int8()),
        "x_m": pa.array(x_m, pa.float32()),
        "y_m": pa.array([0.0] * count, pa.float32()),
    }
    pq.write_table(pa.table({**columns, **extra}), path)
    return path


def test_recording_when_times_are_off_the_grid_then_interpolated(tmp_path: Path) -> None:
    """Positions at any times come out at whole tenths of a second, on the straight line between neighbours."""
    times = [START_NS + 30 * NS_PER_MS + i * 100 * NS_PER_MS for i in range(20)]
    (recording,) = read_recordings(write(tmp_path / "a.parquet", times, [float(i) for i in range(20)]))
    assert recording.time_ns[0] == START_NS + STEP_NS
    assert (np.diff(recording.time_ns) == STEP_NS).all()
    np.testing.assert_allclose(recording.xy_m[:, 0, 0], np.arange(19) + 0.7, atol=1e-5)
    assert np.isnan(recording.hr_bpm).all()


def test_grid_when_gap_is_long_then_not_bridged() -> None:
    """A gap of half a second is bridged, a longer one and what lies outside are unknown."""
    times = np.array([0, 500, 1200], np.int64) * NS_PER_MS
    grid = np.arange(-1, 14, dtype=np.int64) * STEP_NS
    known = np.isfinite(on_grid(times, np.array([0.0, 1.0, 2.0]), grid))
    assert np.flatnonzero(known).tolist() == [1, 2, 3, 4, 5, 6, 13]
    assert np.isnan(on_grid(times[:1], np.array([1.0]), grid)).all()


def test_recording_when_heart_rate_is_old_then_unknown(tmp_path: Path) -> None:
    """A heart rate holds for one and a half seconds."""
    times = [START_NS + i * STEP_NS for i in range(40)]
    heart: list[float | None] = [150.0 if i == 10 else None for i in range(40)]
    path = write(tmp_path / "a.parquet", times, [0.0] * 40, hr_bpm=heart)
    (recording,) = read_recordings(path)
    assert np.flatnonzero(np.isfinite(recording.hr_bpm[:, 0])).tolist() == list(range(10, 26))


def test_recording_when_column_is_missing_then_named(tmp_path: Path) -> None:
    """The message names the columns."""
    pq.write_table(pa.table({"session": ["s"], "x_m": [1.0]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="time_ns, athlete, team, y_m"):
        read_recordings(tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="holds no rows"):
        read_recordings(write(tmp_path / "b.parquet", [], []))


def test_recordings_when_read_from_tables_then_only_good_positions_of_known_teams(tmp_path: Path) -> None:
    """Flagged readings, and wearers in no team, are left out; the ball has its own team."""
    layout = Layout(tmp_path)
    with pytest.raises(ConfigError, match="cloud pipeline"):
        table_recordings(layout)
    ensure_tables(str(layout.tables))
    with pytest.raises(ConfigError, match="holds no positions"):
        table_recordings(layout)
    profile = {"gateway": "g1", "athlete": "a1", "team": 1, "sex": "f", "hr_rest_bpm": 50.0, "hr_max_bpm": 190.0}
    append(layout, PROFILES, [{**profile, "time_ns": 0}])
    rows = []
    for who in ("a1", "ball", "stranger"):
        for step in range(30):
            place = {"x_m": float(step), "y_m": 2.0, "position_quality": 1.0}
            ids = {"gateway": "g1", "epoch": "e", "batch_seq": 0, "session": "s1", "sensor": who, "origin": "o"}
            time_ns = START_NS + step * STEP_NS
            quality = 1 if (who, step) == ("a1", 29) else 0
            rows.append({**ids, **place, "athlete": who, "sequence": step, "time_ns": time_ns, "quality": quality})
    append(layout, readings_table("position"), rows)
    (recording,) = table_recordings(layout)
    assert (recording.session, recording.athletes, recording.team.tolist()) == ("s1", ("a1", "ball"), [1, -1])
    assert np.isnan(recording.xy_m[29, 0]).all()
    np.testing.assert_array_equal(recording.xy_m[:, 1, 0], np.arange(30))


def append(layout: Layout, name: str, rows: list[dict[str, object]]) -> None:
    table = TABLES[name]
    arrow = pa.Table.from_pylist(rows, schema=table.schema)
    write_deltalake(layout.tables / name, arrow, mode="append", partition_by=[str(table.partition)])
