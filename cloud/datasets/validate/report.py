"""What was found wrong in files: counts by rule, the first of each with file and row, as text and HTML."""

from collections import Counter
from collections.abc import Sequence
from html import escape

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cloud.datasets.validate.rules import RULES

EXAMPLES = 20
"""Findings that are spelt out, of each rule in each file; all of them are counted, and all bad rows quarantined."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row that breaks a rule; row 1 is the first below the heading, row 0 the file itself."""

    file: str
    row: int
    rule: str
    what: str


class FileReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file: how many rows break which rule, and how many are bad."""

    file: str
    rows: int
    bad_rows: int
    broken: dict[str, int]


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All files of a path; `quarantine` names the file that keeps the bad rows, None when there are none."""

    path: str
    layout: str
    files: tuple[FileReport, ...]
    findings: tuple[Finding, ...]
    quarantine: str | None = None

    @property
    def rows(self) -> int:
        """How many rows were looked at."""
        return sum(file.rows for file in self.files)

    @property
    def bad_rows(self) -> int:
        """How many of them are bad."""
        return sum(file.bad_rows for file in self.files)

    @property
    def passed(self) -> bool:
        """Whether no rule was broken that makes a row, or a file, bad."""
        return not any(RULES[rule].bad for file in self.files for rule in file.broken)

    def text(self) -> str:
        """Return the report for a terminal."""
        lines = [f"{self.path} ({self.layout}): {self.rows} rows in {len(self.files)} files, {self.bad_rows} bad"]
        for rule, count in _totals(self).items():
            lines.append(f"  {_word(rule):4} {rule:16} {count:8}  {RULES[rule].says}")
        lines += [f"  {item.file}, row {item.row}: {item.rule}: {item.what}" for item in _worst_first(self)]
        if self.quarantine:
            lines.append(f"bad rows are kept in {self.quarantine}")
        return "\n".join(lines)

    def html(self) -> str:
        """Return the report as one page."""
        totals = _table(
            ("", "rule", "rows", "what it says"),
            [(_word(rule), rule, str(count), RULES[rule].says) for rule, count in _totals(self).items()],
        )
        files = _table(
            ("file", "rows", "bad"), [(file.file, str(file.rows), str(file.bad_rows)) for file in self.files]
        )
        rows = [(item.file, str(item.row), item.rule, item.what) for item in _worst_first(self)]
        kept = f"<p>Bad rows are kept in {escape(self.quarantine)}.</p>" if self.quarantine else ""
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Validation</title><style>'
            "body{font:15px system-ui;margin:2em}table{border-collapse:collapse;margin:1em 0}"
            "td,th{border:1px solid #bbb;padding:.2em .6em;text-align:left}</style></head><body>"
            f"<h1>{escape(self.path)}</h1><p>Layout {escape(self.layout)}: {self.rows} rows in {len(self.files)} "
            f"files, {self.bad_rows} bad.</p>{kept}<h2>Rules broken</h2>{totals}<h2>Files</h2>{files}"
            f"<h2>The first {EXAMPLES} of each</h2>{_table(('file', 'row', 'rule', 'found'), rows)}</body></html>"
        )


def examined(files: tuple[str, ...], source: NDArray[np.int32], broken: pd.DataFrame) -> list[FileReport]:
    """Return the reports on the files of some tracks, `source` telling of each row from which it is."""
    from_file = source[broken["position"].to_numpy(np.int64)]
    bad = is_bad(broken)
    reports = []
    for number, file in enumerate(files):
        of_file = from_file == number
        reports.append(
            FileReport(
                file=file,
                rows=int((source == number).sum()),
                bad_rows=len(np.unique(broken["position"][of_file & bad])),
                broken=dict(Counter(broken["rule"][of_file])),
            )
        )
    return reports


def first_findings(
    files: tuple[str, ...], source: NDArray[np.int32], row: NDArray[np.int64], broken: pd.DataFrame
) -> list[Finding]:
    """Return the first of each rule in each file, in order of rows."""
    position = broken["position"].to_numpy(np.int64)
    shown = broken.assign(source=source[position], row=row[position]).groupby(["source", "rule"]).head(EXAMPLES)
    columns = (shown[name].tolist() for name in ("source", "row", "rule", "what"))
    return [
        Finding(file=files[number], row=at, rule=rule, what=what)
        for number, at, rule, what in zip(*columns, strict=True)
    ]


def is_bad(broken: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which of the broken rules make their row bad."""
    return np.asarray(broken["rule"].isin([rule.name for rule in RULES.values() if rule.bad]), np.bool_)


def _totals(report: ValidationReport) -> dict[str, int]:
    totals = sum((Counter(file.broken) for file in report.files), Counter[str]())
    return {rule: totals[rule] for rule in RULES if totals[rule]}


def _worst_first(report: ValidationReport) -> list[Finding]:
    return sorted(report.findings, key=lambda item: not RULES[item.rule].bad)


def _word(rule: str) -> str:
    return "bad" if RULES[rule].bad else "note"


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
