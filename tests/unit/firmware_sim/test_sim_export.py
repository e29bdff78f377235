import io
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console

from firmware_sim.export import SCHEMA, export_positions
from firmware_sim.squad import SimulatedSession


def export(path: Path) -> int:
    """Export 20 s of five athletes."""
    session = SimulatedSession(athletes=5, seed=2)
    return export_positions(session, path, seconds=20.0, name="s", console=Console(file=io.StringIO()))


def test_export_when_written_then_the_table_has_a_row_per_wearer_and_step(tmp_path: Path) -> None:
    """Rule: the agreed columns; the ball is team -1 and has no heart rate."""
    assert export(tmp_path / "a.parquet") == 200 * 6
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.schema.equals(SCHEMA)
    rows = table.to_pylist()
    assert [row["athlete"] for row in rows[:6]] == ["a01", "a02", "a03", "a04", "a05", "ball"]
    assert [row["team"] for row in rows[:6]] == [0, 0, 0, 1, 1, -1]
    assert all((row["hr_bpm"] is None) == (row["athlete"] == "ball") for row in rows)
    assert rows[6]["time_ns"] - rows[0]["time_ns"] == 100_000_000


def test_export_when_repeated_then_the_file_is_the_same(tmp_path: Path) -> None:
    """Rule: a seed always gives the same table."""
    export(tmp_path / "a.parquet")
    export(tmp_path / "b.parquet")
    assert pq.read_table(tmp_path / "a.parquet").equals(pq.read_table(tmp_path / "b.parquet"))
