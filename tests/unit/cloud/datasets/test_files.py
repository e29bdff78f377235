"""Tables whose columns hold something else than they should."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloud.datasets.files import dates, numbers, read_frame
from shared.errors import ConfigError

FILE = Path("table.csv")


def test_numbers_when_some_are_missing_then_nan_unless_they_are_required() -> None:
    """Rule: nothing is NaN, whatever pandas keeps for it; where a number is needed its row is named."""
    for column in (pd.array([1, pd.NA], "Int64"), np.array(["1", None], np.object_), [1.0, np.nan]):
        frame = pd.DataFrame({"a": column})
        np.testing.assert_array_equal(numbers(FILE, frame, ["a"])["a"], [1.0, np.nan])
        with pytest.raises(ConfigError, match=r"table\.csv: row 2: a .* is no number"):
            numbers(FILE, frame, ["a"], required=True)


def test_dates_when_written_as_numbers_then_read_as_written() -> None:
    """Rule: 20200131 is the last day of January; a number that reads as no date is not taken for nanoseconds."""
    assert dates(FILE, pd.DataFrame({"date": [20200131]}))["date"].tolist() == [pd.Timestamp(2020, 1, 31)]
    with pytest.raises(ConfigError, match="row 2: date '44197' is no date"):
        dates(FILE, pd.DataFrame({"date": [20200131, 44197]}))


def test_table_when_a_row_is_too_long_then_one_line_says_so(tmp_path: Path) -> None:
    """Rule: what the parser says fits on a line."""
    (tmp_path / "long.csv").write_text("a,b\n1,2\n1,2,3,4\n")
    with pytest.raises(ConfigError, match=r"cannot be read as a table: .*line 3.*") as refused:
        read_frame(tmp_path / "long.csv")
    assert "\n" not in str(refused.value)
