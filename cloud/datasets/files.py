"""Tables in files, CSV or Parquet, with errors that name the file and the column."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from shared.errors import ConfigError


def read_frame(path: Path) -> pd.DataFrame:
    """Return the table in a CSV or Parquet file.

    Raises: ConfigError when it cannot be read or holds no rows.
    """
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, low_memory=False)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise ConfigError(str(path), f"cannot be read as a table: {str(why).strip()}") from exc
    if frame.empty:
        raise ConfigError(str(path), "holds no rows")
    return frame


def check_columns(path: Path, frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Check that a table has the columns that are needed.

    Raises: ConfigError naming those it lacks.
    """
    missing = sorted(set(columns) - set(frame.columns))
    if missing:
        raise ConfigError(str(path), f"lacks the columns {', '.join(missing)}")


def numbers(path: Path, frame: pd.DataFrame, columns: Iterable[str], *, required: bool = False) -> pd.DataFrame:
    """Return a table with these columns as numbers, NaN where there is nothing and nothing is `required`.

    Raises: ConfigError naming the first row below the heading, and what stands there instead of a number.
    """
    found = {name: pd.to_numeric(frame[name], errors="coerce").astype(float) for name in columns}
    return _checked(path, frame, found, "number", required=required)


def dates(path: Path, frame: pd.DataFrame, column: str = "date") -> pd.DataFrame:
    """Return a table with this column as dates; the number 20200131 is the date that it reads as, too.

    Raises: ConfigError naming the first row below the heading, and what stands there instead of a date.
    """
    # pandas takes a number for nanoseconds since 1970.
    stated = frame[column].astype(str) if pd.api.types.is_numeric_dtype(frame[column]) else frame[column]
    return _checked(path, frame, {column: pd.to_datetime(stated, errors="coerce")}, "date", required=True)


def _checked(
    path: Path, frame: pd.DataFrame, found: dict[str, pd.Series], kind: str, *, required: bool = False
) -> pd.DataFrame:
    for name, series in found.items():
        wrong = np.flatnonzero(series.isna() & (frame[name].notna() | required))
        if len(wrong):
            raise ConfigError(str(path), f"row {wrong[0] + 1}: {name} {str(frame[name].iloc[wrong[0]])!r} is no {kind}")
    return frame.assign(**found)
