"""Runs as tables that people read."""

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from cloud.training.tracking.queries import Comparison, RunSummary

BASELINE = "baseline."
_SHORT_ID = 8
_WIDTH = 160
_MOST_METRICS = 3


def runs_table(runs: Sequence[RunSummary], metrics: Sequence[str] | None) -> str:
    """Return one line a run with the named metrics; without names the first that have a baseline."""
    if not runs:
        return "no runs"
    shown = list(metrics) if metrics else _compared(runs)
    table = _table("run", "name", "started", "status", "seconds", "data set", *shown)
    for run in runs:
        seconds = "" if run.seconds is None else f"{run.seconds:.1f}"
        numbers = [_number(run.metrics.get(name)) for name in shown]
        data_set = run.tags.get("data_set", "")
        table.add_row(run.run_id[:_SHORT_ID], run.name, run.started, run.status, seconds, data_set, *numbers)
    return _text(table)


def run_table(run: RunSummary) -> str:
    """Return everything about one run, metrics beside their baselines."""
    head = _table("run", run.run_id)
    seconds = "" if run.seconds is None else f"{run.seconds:.1f}"
    facts = {"name": run.name, "status": run.status, "started": run.started, "seconds": seconds}
    for name, text in (*facts.items(), *sorted(run.tags.items())):
        head.add_row(name, text)
    numbers = _table("metric", "value", "baseline")
    for name, value in sorted(run.metrics.items()):
        if not name.startswith(BASELINE):
            numbers.add_row(name, _number(value), _number(run.metrics.get(f"{BASELINE}{name}")))
    choices = _table("parameter", "value")
    for name, text in sorted(run.parameters.items()):
        choices.add_row(name, text)
    return "\n".join(_text(table) for table in (head, numbers, choices) if table.row_count)


def comparison_table(found: Comparison) -> str:
    """Return runs as columns: metrics, then what differs."""
    table = _table("", *(f"{run.run_id[:_SHORT_ID]} {run.name}" for run in found.runs))
    for name, values in found.metrics.items():
        table.add_row(name, *(_number(value) for value in values))
    for rows in (found.parameters, found.tags):
        table.add_section()
        for name, texts in rows.items():
            table.add_row(name, *(text or "" for text in texts))
    return _text(table)


def _compared(runs: Sequence[RunSummary]) -> list[str]:
    names = {name for run in runs for name in run.metrics if f"{BASELINE}{name}" in run.metrics}
    return sorted(names, key=lambda name: (-_count(runs, name), name))[:_MOST_METRICS]


def _count(runs: Sequence[RunSummary], name: str) -> int:
    return sum(name in run.metrics for run in runs)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _text(table: Table) -> str:
    """Return a table as text of one width, also where the output is no terminal."""
    out = io.StringIO()
    Console(file=out, width=_WIDTH, markup=False, highlight=False, emoji=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
