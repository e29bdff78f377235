"""The cloud's Delta tables as DuckDB sees them: one view a table, read where it lies, nothing copied."""

import duckdb
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from cloud.pipeline.tables import TABLES, open_table
from cloud.settings import Layout
from shared.errors import ConfigError


def open_lake(layout: Layout) -> duckdb.DuckDBPyConnection:
    """Return a connection with a view for each table, as the tables are now.

    Raises: ConfigError when there is no table yet; StoreError when one cannot be opened.
    """
    database = duckdb.connect()
    present = [name for name in TABLES if DeltaTable.is_deltatable(f"{layout.tables}/{name}")]
    if not present:
        raise ConfigError(str(layout.tables), "holds no tables yet; run `python -m cloud pipeline` first")
    for name in present:
        # deltalake's own file system is Python that Arrow's threads may still call when the interpreter ends.
        files = SubTreeFileSystem(f"{layout.tables}/{name}", LocalFileSystem())
        database.register(name, open_table(str(layout.tables), name).to_pyarrow_dataset(filesystem=files))
    return database
