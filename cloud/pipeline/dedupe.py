"""Keeps each reading once, by identity (sensor, stream, origin, sequence), within the run and against the tables."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from cloud.pipeline.blobs import ARRIVAL, pack, unpack_all, with_session
from cloud.pipeline.facts import DUPLICATES, fact
from cloud.pipeline.plan import Plan
from cloud.pipeline.sessions import Session, session_of
from cloud.pipeline.tables import read_table, readings_table

ROWS, WORN, TOUCHED, FACTS = "rows", "worn", "touched", "facts"


def unique_readings(
    keyed: tuple[tuple[str, str], Iterable[bytes]], sessions: Mapping[str, list[Session]], plan: Plan
) -> Iterator[Any]:
    """Yield one sensor's new readings, tagged: rows by (table, session), worn by (gateway, session, athlete)."""
    (stream, sensor), blobs = keyed
    table = unpack_all(blobs)
    fresh = without_known(first_of_each(table), _known(stream, sensor, table, plan))
    if len(table) > len(fresh):
        yield TaggedOutput(FACTS, fact(DUPLICATES, readings_table(stream), len(table) - len(fresh)))
    for gateway in pc.unique(fresh["gateway"]).to_pylist():
        part = fresh.filter(pc.equal(fresh["gateway"], gateway))
        ids = pa.array(session_of(sessions[gateway], part["time_ns"].to_numpy()))
        for session in pc.unique(ids).to_pylist():
            chosen = pc.equal(ids, session)
            yield from _emit(with_session(part.filter(chosen), stream, ids.filter(chosen)), stream, gateway, session)


def first_of_each(table: pa.Table) -> pa.Table:
    """Return one row per (origin, sequence): the first that arrived."""
    origin = table["origin"].combine_chunks().dictionary_encode().indices.to_numpy()
    sequence, arrival = table["sequence"].to_numpy(), table[ARRIVAL].to_numpy()
    order = np.lexsort((arrival, sequence, origin))
    repeated = np.zeros(len(order), bool)
    repeated[1:] = (np.diff(origin[order]) == 0) & (np.diff(sequence[order]) == 0)
    return table.take(pa.array(order[~repeated]))


def without_known(table: pa.Table, known: pa.Table) -> pa.Table:
    """Return the rows whose (origin, sequence) is not among `known`."""
    if not len(known):
        return table
    fresh = table.join(known, keys=["origin", "sequence"], join_type="left anti").select(table.column_names)
    return fresh.sort_by([("origin", "ascending"), ("sequence", "ascending")])


def load_session(touched: tuple[str, str], plan: Plan) -> Iterator[Any]:
    """Yield what the tables already hold of a touched session, by (gateway, session, athlete)."""
    gateway, session = touched
    for name, version in plan.bases.items():
        if name.startswith(readings_table("")):
            rows = read_table(plan.tables, name, version, where=pc.field("session") == session)
            yield from _worn(rows, name.removeprefix(readings_table("")), gateway, session)


def _known(stream: str, sensor: str, table: pa.Table, plan: Plan) -> pa.Table:
    name = readings_table(stream)
    where = (pc.field("sensor") == sensor) & pc.field("origin").isin(pc.unique(table["origin"]))
    return read_table(plan.tables, name, plan.bases[name], where=where, columns=["origin", "sequence"])


def _emit(rows: pa.Table, stream: str, gateway: str, session: str) -> Iterator[Any]:
    yield TaggedOutput(ROWS, ((readings_table(stream), session), pack(rows)))
    yield TaggedOutput(TOUCHED, (gateway, session))
    for key, value in _worn(rows, stream, gateway, session):
        yield TaggedOutput(WORN, (key, value))


def _worn(
    rows: pa.Table, stream: str, gateway: str, session: str
) -> Iterator[tuple[tuple[str, str, str], tuple[str, bytes]]]:
    for athlete in pc.unique(rows["athlete"]).to_pylist():
        if athlete is not None:
            part = rows.filter(pc.equal(rows["athlete"], athlete))
            yield (gateway, session, athlete), (stream, pack(part))
