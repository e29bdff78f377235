"""Tables in files, CSV or Parquet, with errors that name the file and the column."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from shared.errors import ConfigError


def read_frame(path: Path) -> pd.DataFrame:
    """Return the table in a CSV or Parquet file.

    Raises: ConfigError when it cannot be read.
    """
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, low_memory=False)
    except (OSError, ValueError) as exc:
        raise ConfigError(str(path), f"cannot be read as a table: {exc}") from exc


def check_columns(path: Path, frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Check that a table has the columns that are needed.

    Raises: ConfigError naming those it lacks.
    """
    missing = sorted(set(columns) - set(frame.columns))
    if missing:
        raise ConfigError(str(path), f"lacks the columns {', '.join(missing)}")
