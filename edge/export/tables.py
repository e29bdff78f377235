"""What CSV and XLSX tables have in common: headers with units, and rows."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from edge.export.session import SummaryRow, finite
from shared.clock import NS_PER_S
from shared.quantities import STREAMS
from shared.readings import Readings

SUMMARY_HEADER = (
    "athlete", "number", "name", "title", "label", "value", "unit", "coverage (0..1)", "quality (0..1)", "metric",
)  # fmt: skip
# More than any metric is good for, and no 0.9999999999999998.
_DECIMALS = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Row(NamedTuple):
    """One reading; `values` are None where nothing was sent."""

    time_ns: int
    athlete: str
    sensor: str
    origin: str
    sequence: int
    quality: int
    values: list[float | None]


def header(stream: str) -> list[str]:
    """Return the columns' names with their units, after the time."""
    quantities = [f"{q.name} ({q.unit})" for q in STREAMS[stream].quantities]
    return ["athlete", "sensor", "origin", "sequence", "quality (bits)", *quantities]


def rows(blocks: Sequence[Readings]) -> Iterator[Row]:
    """Yield the readings of one stream's blocks."""
    for block in blocks:
        athlete, sensor, origin = block.athlete or "", block.sensor, block.origin
        cells_of = block.values.astype(object)
        cells_of[~np.isfinite(block.values)] = None
        values: list[list[float | None]] = cells_of.tolist()
        columns = (block.time_ns.tolist(), block.sequence.tolist(), block.quality.tolist(), values)
        for time_ns, sequence, quality, cells in zip(*columns, strict=True):
            yield Row(time_ns, athlete, sensor, origin, sequence, quality, cells)


def summary_cells(row: SummaryRow) -> list[str | float | None]:
    """Return a metric's value as cells under SUMMARY_HEADER."""
    numbers = [finite(round(number, _DECIMALS)) for number in (row.value, row.coverage, row.quality)]
    return [row.athlete, row.number, row.name, row.title, row.label, numbers[0], row.unit, *numbers[1:], row.metric]


def harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def moment(time_ns: int) -> datetime:
    """Return UTC nanoseconds as a datetime, to the microsecond."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def iso(time_ns: int) -> str:
    """Return UTC nanoseconds in ISO 8601, to the nanosecond."""
    seconds, rest = divmod(time_ns, NS_PER_S)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
