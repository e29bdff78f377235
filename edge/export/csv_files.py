"""A session as CSV: one file per stream, UTF-8, times both for people and for programs, and a summary."""

import csv
from collections.abc import Sequence
from pathlib import Path

from edge.export.session import SummaryRow
from edge.export.tables import SUMMARY_HEADER, harmless, header, iso, rows, summary_cells
from shared.readings import Readings


def write_stream(path: Path, blocks: Sequence[Readings]) -> None:
    """Write one stream's readings."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["time (UTC)", "time_ns", *header(blocks[0].stream)])
        for row in rows(blocks):
            names = (harmless(row.athlete), harmless(row.sensor), harmless(row.origin))
            table.writerow([iso(row.time_ns), row.time_ns, *names, row.sequence, row.quality, *row.values])


def write_summary(path: Path, summary: Sequence[SummaryRow]) -> None:
    """Write the metrics, one value a line."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(SUMMARY_HEADER)
        for row in summary:
            table.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in summary_cells(row)])
