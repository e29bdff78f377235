"""Columns of CSV and Parquet files as arrays; `row` is added, the first row below the heading being 1."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from shared.errors import ConfigError

ROW = "row"
_NUMERIC = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
_FIRST_NOT_INT64 = 2.0**63
NOT_WHOLE = -2
"""In place of what should be a whole number and is not."""


def read_csv(path: Path, columns: Sequence[str], *, optional: Sequence[str] = (), delimiter: str = ",") -> pa.Table:
    """Read these columns of a text file; `NA`, `nan` and nothing are nulls; of `optional` those that are there.

    Raises: ConfigError when it cannot be read, lacks a column or holds no rows.
    """
    found = require(path, heading(path, delimiter=delimiter), columns, optional)
    convert = csv.ConvertOptions(include_columns=found, strings_can_be_null=True)
    try:
        table = csv.read_csv(path, parse_options=csv.ParseOptions(delimiter=delimiter), convert_options=convert)
    except pa.ArrowInvalid as exc:
        raise ConfigError(str(path), f"is not a table: {exc}") from exc
    return _with_rows(path, table)


def read_parquet(path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> pa.Table:
    """Read these columns of a Parquet file; of `optional` those that are there.

    Raises: ConfigError when it cannot be read, lacks a column or holds no rows.
    """
    found = require(path, heading(path), columns, optional)
    try:
        table = pq.read_table(path, columns=found)
    except (OSError, pa.ArrowInvalid) as exc:
        raise ConfigError(str(path), f"is damaged: {exc}") from exc
    return _with_rows(path, table)


def heading(path: Path, *, delimiter: str = ",") -> list[str]:
    """Return the names of a file's columns.

    Raises: ConfigError when it cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            return list(pq.read_schema(path).names)
        with path.open(encoding="utf-8-sig") as file:
            return [name.strip().strip('"') for name in file.readline().rstrip("\r\n").split(delimiter)]
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or "cannot be read") from exc
    except (pa.ArrowInvalid, UnicodeDecodeError) as exc:
        raise ConfigError(str(path), f"is not a table: {exc}") from exc


def require(path: Path, names: Sequence[str], columns: Sequence[str], optional: Sequence[str] = ()) -> list[str]:
    """Return which columns to read.

    Raises: ConfigError naming all of `columns` that are not among `names`.
    """
    missing = [name for name in columns if name not in names]
    if missing:
        raise ConfigError(str(path), f"lacks the columns {', '.join(missing)}")
    return [*columns, *(name for name in optional if name in names)]


def floats(table: pa.Table, name: str) -> NDArray[np.float32]:
    """Return a column as float32[R]: NaN where null or there is no such column, infinite where not a number."""
    return np.asarray(_numbers(table, name), np.float32)


def integers(table: pa.Table, name: str, *, absent: int) -> NDArray[np.int64]:
    """Return a column as int64[R]: `absent` where null, NOT_WHOLE where not a whole number."""
    column = table[name]
    if pa.types.is_integer(column.type):
        return np.asarray(column.cast(pa.int64()).fill_null(absent).to_numpy(zero_copy_only=False))
    values = _numbers(table, name)
    whole = (np.abs(values) < _FIRST_NOT_INT64) & (values == np.floor(values))
    numbers = np.where(whole, np.where(whole, values, 0).astype(np.int64), NOT_WHOLE)
    return np.where(np.isnan(values), absent, numbers)


def codes(table: pa.Table, name: str) -> tuple[NDArray[np.int64], list[str | None]]:
    """Return a text column as indices into its distinct values, of which None is one where there are nulls."""
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.int64), [None]
    encoded = pc.dictionary_encode(table[name].cast(pa.string()), null_encoding="encode").combine_chunks()
    whole = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    return whole.indices.to_numpy(zero_copy_only=False).astype(np.int64), whole.dictionary.to_pylist()


def texts_by(table: pa.Table, keys: Sequence[str], name: str) -> dict[tuple[int, ...], str | None]:
    """Return a text column by the whole numbers in `keys`; of several rows with the same the last counts."""
    code, texts = codes(table, name)
    numbers = zip(*(integers(table, key, absent=-1).tolist() for key in keys), strict=True)
    return {key: texts[index] for key, index in zip(numbers, code.tolist(), strict=True)}


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    column = table[name]
    if not any(is_kind(column.type) for is_kind in _NUMERIC):  # text, or what looks like dates and booleans
        column = column.cast(pa.string())
        values = pd.to_numeric(column.to_pandas(), errors="coerce").to_numpy(np.float64)
        return np.where(np.isnan(values) & column.is_valid().to_numpy(), np.inf, values)
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))


def _with_rows(path: Path, table: pa.Table) -> pa.Table:
    if not table.num_rows:
        raise ConfigError(str(path), "holds no rows")
    return table.append_column(ROW, pa.array(np.arange(1, table.num_rows + 1)))
