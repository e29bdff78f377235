"""Questions about recorded runs: which there are, what sets them apart, which was best."""

import math
from datetime import UTC, datetime
from typing import Any

import msgspec

from cloud.settings import Layout
from cloud.training.tracking.mlflow_database import EXPERIMENT, KEY_TAG, open_client, translated
from shared.errors import ConfigError

FINISHED = "FINISHED"
_PAGE = 1000
_SHORTEST_PREFIX = 4
_LIBRARY_TAGS = "mlflow."


class RunSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run: `status` is RUNNING, FINISHED or FAILED; `metrics` holds the newest value of each.

    `tags` name its data set with digest, feature hash, seed, code version and library versions.
    """

    run_id: str
    key: str
    name: str
    status: str
    started: str
    seconds: float | None
    metrics: dict[str, float]
    parameters: dict[str, str]
    tags: dict[str, str]


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs side by side: by name the values in the order of `runs`, None where a run has none.

    Of parameters and tags only those that differ.
    """

    runs: list[RunSummary]
    metrics: dict[str, list[float | None]]
    parameters: dict[str, list[str | None]]
    tags: dict[str, list[str | None]]


def list_runs(layout: Layout, *, name: str | None = None, limit: int | None = None) -> list[RunSummary]:
    """Return runs, newest first, of one name if given.

    Raises: StoreError when MLflow's database cannot be opened.
    """
    if not layout.mlflow_database.exists():
        return []
    client = open_client(layout)
    found: list[RunSummary] = []
    with translated():
        experiment = client.get_experiment_by_name(EXPERIMENT)
        token: str | None = "" if experiment is not None else None
        while token is not None and (limit is None or len(found) < limit):
            page = client.search_runs(
                [experiment.experiment_id],
                max_results=_PAGE,
                order_by=["attributes.start_time DESC"],
                page_token=token or None,
            )
            found += [run for run in map(_summary, page) if name in (None, run.name)]
            token = page.token or None
    return found[:limit]


def find_run(layout: Layout, run_id: str) -> RunSummary:
    """Return the run with this id or key, or the only one whose id begins so.

    Raises: ConfigError when there is none or more than one; StoreError as `list_runs`.
    """
    return _find(list_runs(layout), run_id)


def compare_runs(layout: Layout, run_ids: list[str]) -> Comparison:
    """Return runs side by side.

    Raises: ConfigError when one is not known; StoreError as `list_runs`.
    """
    known = list_runs(layout)
    runs = [_find(known, run_id) for run_id in run_ids]
    return Comparison(
        runs=runs,
        metrics={
            name: [run.metrics.get(name) for run in runs]
            for name in sorted({name for run in runs for name in run.metrics})
        },
        parameters=_differing([run.parameters for run in runs]),
        tags=_differing([run.tags for run in runs]),
    )


def best_run(layout: Layout, metric: str, *, name: str | None = None, highest: bool = False) -> RunSummary | None:
    """Return the finished run with the lowest (or highest) value of a metric, None when no run has that metric.

    A value that is no finite number does not take part; of equals the newest counts.
    Raises: StoreError as `list_runs`.
    """
    runs = [
        run
        for run in list_runs(layout, name=name)
        if run.status == FINISHED and math.isfinite(run.metrics.get(metric, math.nan))
    ]
    sign = -1.0 if highest else 1.0
    return min(runs, key=lambda run: sign * run.metrics[metric], default=None)


def _find(known: list[RunSummary], run_id: str) -> RunSummary:
    found = [run for run in known if run_id in (run.run_id, run.key)]
    if not found and len(run_id) >= _SHORTEST_PREFIX:
        found = [run for run in known if run.run_id.startswith(run_id) or run.key.startswith(run_id)]
    if len(found) != 1:
        problem = "begins more than one run's id; give more of it" if found else "is no run here"
        raise ConfigError("run", f"{run_id!r} {problem}")
    return found[0]


def _differing(runs: list[dict[str, str]]) -> dict[str, list[str | None]]:
    names = sorted({name for run in runs for name in run})
    rows = {name: [run.get(name) for run in runs] for name in names}
    return {name: row for name, row in rows.items() if len(set(row)) > 1}


def _summary(run: Any) -> RunSummary:
    started_ms, ended_ms = run.info.start_time, run.info.end_time
    tags = {name: text for name, text in run.data.tags.items() if not name.startswith(_LIBRARY_TAGS)}
    return RunSummary(
        run_id=run.info.run_id,
        key=tags.pop(KEY_TAG, ""),
        name=run.info.run_name or "",
        status=run.info.status,
        started=datetime.fromtimestamp(started_ms / 1000, UTC).isoformat(timespec="seconds"),
        seconds=None if ended_ms is None else (ended_ms - started_ms) / 1000,
        metrics=dict(run.data.metrics),
        parameters=dict(run.data.params),
        tags=tags,
    )
