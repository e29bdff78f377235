"""Load history: each athlete's load per day, and what the history metrics make of it.

A day between two trainings of the gateway's squad that are at most eight days apart is a rest day: 0. Of who has no
session on a day on which the squad trained nothing is known: ill, away, or without a sensor. A session whose load was
measured for under half of its time makes the athlete's day unknown too. Days are those of UTC, of the session's start.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cloud.pipeline.blobs import pack, unpack
from cloud.pipeline.plan import Plan
from cloud.pipeline.tables import LOAD_HISTORY, METRICS, TABLES, read_table
from shared.clock import NS_PER_S
from shared.metrics.history import on_every_day
from shared.metrics.history_registry import HISTORY_METRICS
from shared.metrics.load import SessionRpe
from shared.metrics.motion import SpeedBandDistance
from shared.metrics.trimp import BanisterTrimp

LOADS = ((BanisterTrimp.metric_id, "trimp"), (SessionRpe.metric_id, "load"), (SpeedBandDistance.metric_id, "sprint"))
"""Metrics of a session, and the value of each, that add up to a day's load; a new version has its own history."""
MIN_COVERAGE = 0.5
LONGEST_REST = 8
"""Days from one training to the next that still belong to a week's rhythm."""
_DAY_NS = 86_400 * NS_PER_S
_COLUMNS = ["session", "gateway", "athlete", "metric", "label", "value", "coverage", "start_ns"]

Days = NDArray[np.int64]
Loads = NDArray[np.float64]


@dataclass(kw_only=True)
class Squad:
    """What is known of a gateway's squad: the days on which anybody trained, and each athlete's loads.

    `empty` are days with sessions of which nothing was measured. `first` is each athlete's first day; `loads` holds by
    (athlete, quantity) days and loads, NaN where unknown.
    """

    days: set[int] = field(default_factory=set)
    empty: set[int] = field(default_factory=set)
    first: dict[str, int] = field(default_factory=dict)
    loads: dict[tuple[str, str], list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))


def loads_of(keyed: tuple[tuple[str, str | None], bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield by gateway the rows of a session's metrics that are loads."""
    (name, _), blob = keyed
    if name == METRICS:
        rows = unpack(blob).select(_COLUMNS)
        rows = rows.filter(_is_load())
        if len(rows):
            yield rows["gateway"][0].as_py(), pack(rows)


def history_rows(keyed: tuple[str, dict[str, Iterable[Any]]], plan: Plan) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Yield a gateway's whole load history by (table, gateway), from this run's sessions and the tables' others."""
    gateway, groups = keyed
    touched = set(groups["touched"])
    where = (pc.field("gateway") == gateway) & _is_load()
    known = read_table(plan.tables, METRICS, plan.bases[METRICS], where=where, columns=_COLUMNS)
    known = known.filter(pc.invert(pc.is_in(known["session"], pa.array(sorted(touched), pa.string()))))
    rows = [*known.to_pylist(), *(row for blob in groups["loads"] for row in unpack(blob).to_pylist())]
    tables = list(_tables(gateway, gather(rows)))
    if tables:
        yield (LOAD_HISTORY, gateway), pack(pa.concat_tables(tables).combine_chunks())


def gather(rows: Iterable[dict[str, Any]]) -> Squad:
    """Return what metric rows of many sessions say of a squad."""
    rows = list(rows)
    starts: dict[str, int] = {}
    for row in rows:
        starts[row["session"]] = min(row["start_ns"], starts.get(row["session"], row["start_ns"]))
    day_of = {session: start_ns // _DAY_NS for session, start_ns in starts.items()}
    # A tag that reports its battery from the charger makes no training.
    squad = Squad(days={day_of[row["session"]] for row in rows if row["coverage"] > 0 and row["value"] is not None})
    squad.empty = set(day_of.values()) - squad.days
    for row in rows:
        day, athlete = day_of[row["session"]], row["athlete"]
        if day not in squad.days:
            continue
        squad.first[athlete] = min(day, squad.first.get(athlete, day))
        said = row["value"] is not None and row["coverage"] >= MIN_COVERAGE
        squad.loads[athlete, row["metric"]].append((day, row["value"] if said else np.nan))
    return squad


def daily_load(squad: Squad, athlete: str, quantity: str) -> tuple[Days, Loads]:
    """Return every day from the athlete's first to the squad's last, days since 1970, and the load, NaN if unknown."""
    given = squad.loads[athlete, quantity]
    trained = {day for day, _ in given}
    first = squad.first[athlete]
    absent = [(day, np.nan) for day in squad.days if day >= first and day not in trained]
    rested = [(day, 0.0) for day in _rest_days(squad.days) if day > first and day not in squad.empty]
    days, loads = zip(*given, *absent, *rested, strict=True)
    return on_every_day(np.array(days, np.int64), np.array(loads, np.float64))


def _rest_days(trained: set[int]) -> Iterator[int]:
    """Yield the days between trainings that are at most a week apart; of a longer break nothing is known."""
    for before, after in pairwise(sorted(trained)):
        if after - before <= LONGEST_REST:
            yield from range(before + 1, after)


def _tables(gateway: str, squad: Squad) -> Iterator[pa.Table]:
    for athlete, quantity in sorted(squad.loads):
        days, load = daily_load(squad, athlete, quantity)
        # A quantity that was never measured of somebody has no history.
        if not np.isfinite([value for _, value in squad.loads[athlete, quantity]]).any():
            continue
        text = pa.array(days.astype("datetime64[D]").astype(str).tolist(), pa.string())
        for metric in HISTORY_METRICS:
            series = metric.series(load)
            for i, label in enumerate(metric.labels):
                columns = {
                    "gateway": pa.repeat(gateway, len(days)),
                    "athlete": pa.repeat(athlete, len(days)),
                    "day": text,
                    "quantity": pa.repeat(quantity, len(days)),
                    "load": pa.array(load, pa.float64(), from_pandas=True),
                    "metric": pa.repeat(metric.metric_id, len(days)),
                    "label": pa.repeat(label, len(days)),
                    "value": pa.array(np.ascontiguousarray(series.values[:, i]), pa.float64(), from_pandas=True),
                    "unit": pa.repeat(metric.unit, len(days)),
                    "coverage": pa.array(series.coverage, pa.float64()),
                }
                yield pa.table(columns, schema=TABLES[LOAD_HISTORY].schema)


def _is_load() -> pc.Expression:
    return reduce(or_, ((pc.field("metric") == metric) & (pc.field("label") == label) for metric, label in LOADS))
