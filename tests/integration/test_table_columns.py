"""Tables that an earlier version made get the columns that they lack."""

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from cloud.pipeline.tables import TABLES, ensure_tables, read_table, readings_table, versions

CLOCKS = ["boot", "device_ns", "mono_ns"]


def test_tables_when_an_earlier_version_made_them_then_new_columns_are_added_empty(tmp_path: Path) -> None:
    """Rule: old rows stay readable, with nothing in the columns that they never had; a second start changes nothing."""
    table = TABLES[readings_table("heart_rate")]
    old = pa.schema([column for column in table.schema if column.name not in CLOCKS])
    row = {"session": "s1", "sensor": "strap", "origin": "b", "sequence": 7, "heart_rate_bpm": 120.0}
    DeltaTable.create(str(tmp_path / table.name), old, partition_by=["session"])
    write_deltalake(str(tmp_path / table.name), pa.Table.from_pylist([row], schema=old), mode="append")

    ensure_tables(str(tmp_path))
    known = versions(str(tmp_path))
    (read,) = read_table(str(tmp_path), table.name, known[table.name]).to_pylist()
    assert {name: read[name] for name in row} == row
    assert [read[name] for name in CLOCKS] == [None, None, None]

    ensure_tables(str(tmp_path))
    assert versions(str(tmp_path)) == known
