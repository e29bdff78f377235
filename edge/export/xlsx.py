"""A session as one workbook: a sheet of metrics, then one per stream, numbers as numbers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font

from edge.export.session import SummaryRow
from edge.export.tables import SUMMARY_HEADER, harmless, header, moment, rows, summary_cells
from shared.readings import Readings

MAX_ROWS = 1_048_576
"""Of a sheet, its header included (Excel specifications and limits); what is more goes on in another sheet."""
_TIME_FORMAT = "yyyy-mm-dd hh:mm:ss.000"
_WIDTH = 16
_WIDE = 24


def write_workbook(
    path: Path,
    streams: Mapping[str, Sequence[Readings]],
    summary: Sequence[SummaryRow],
    *,
    on_rows: Callable[[int], None] = lambda _: None,
    max_rows: int = MAX_ROWS,
) -> None:
    """Write the workbook; `on_rows` hears how many rows were written since it was called last.

    Spreadsheets count time in days as floats: it stands to the millisecond, the nanoseconds are in CSV and Parquet.
    """
    book = Workbook(write_only=True)
    _sheet(
        book, "Summary", SUMMARY_HEADER, ([_cell(c) for c in summary_cells(row)] for row in summary), on_rows, max_rows
    )
    for stream, blocks in streams.items():
        _sheet(book, stream, ["time (UTC)", *header(stream)], _readings(book, blocks), on_rows, max_rows)
    book.save(path)
    book.close()


def _readings(book: Workbook, blocks: Sequence[Readings]) -> Iterable[list[object]]:
    # One cell for all: a row is written as soon as it is appended, and styling a new one each time is slow.
    time = WriteOnlyCell(book.worksheets[0])
    time.number_format = _TIME_FORMAT
    for row in rows(blocks):
        # Excel knows no zones: the header says that it is UTC.
        time.value = moment(row.time_ns).replace(tzinfo=None)
        names = (_cell(row.athlete), _cell(row.sensor), _cell(row.origin))
        yield [time, *names, row.sequence, row.quality, *row.values]


def _sheet(
    book: Workbook,
    title: str,
    names: Sequence[str],
    lines: Iterable[Sequence[object]],
    on_rows: Callable[[int], None],
    max_rows: int,
) -> None:
    """Add a sheet, and further ones where it is full."""
    number, used, unsaid = 0, max_rows, 0
    sheet = None
    for line in lines:
        if used >= max_rows or sheet is None:
            number += 1
            sheet, used = _new(book, title if number == 1 else f"{title} {number}", names), 1
        sheet.append(line)
        used, unsaid = used + 1, unsaid + 1
        if unsaid == 1000:
            on_rows(unsaid)
            unsaid = 0
    if sheet is None:
        _new(book, title, names)
    on_rows(unsaid)


def _new(book: Workbook, title: str, names: Sequence[str]):  # type: ignore[no-untyped-def]  # noqa: ANN202  openpyxl is untyped
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    for index, name in enumerate(names):
        sheet.column_dimensions[chr(ord("A") + index)].width = (
            _WIDE if name.startswith(("time", "title", "name")) else _WIDTH
        )
    cells = [WriteOnlyCell(sheet, value=name) for name in names]
    for cell in cells:
        cell.font = Font(bold=True)
    sheet.append(cells)
    return sheet


def _cell(value: str | float | None) -> str | float | None:
    return harmless(value) if isinstance(value, str) else value
