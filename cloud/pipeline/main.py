"""The pipeline: bronze objects in, Delta tables out, in one Beam graph of coarse elements that any runner can run."""

from typing import Any

import apache_beam
import msgspec
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from cloud.pipeline import dedupe, features, read
from cloud.pipeline.blobs import pack
from cloud.pipeline.dedupe import load_session, unique_readings
from cloud.pipeline.features import derive_rows
from cloud.pipeline.history import history_rows, loads_of
from cloud.pipeline.plan import Plan, next_plan, only_run
from cloud.pipeline.read import read_object
from cloud.pipeline.sessions import Session, assign
from cloud.pipeline.summaries import (
    known_profiles,
    newest_profiles,
    summary_rows,
    told_profiles,
    unprofiled_sessions,
)
from cloud.pipeline.tables import DEAD_LETTER, OBJECTS, SESSIONS, TABLES, ensure_tables, read_table, versions
from cloud.pipeline.team import sample_positions, team_rows
from cloud.pipeline.write import Report, commit_run, report_key, write_file
from cloud.settings import Layout
from shared.batch import ProfileSummary
from shared.clock import NS_PER_S, Clock
from shared.ids import BALL

# Beam marks itself as typed, its transforms are not.
beam: Any = apache_beam
# Beam's own default tries to download a runner; this one is part of Beam and runs here.
_RUNS = 2
_LOCAL_RUNNER = "FnApiRunner"


def run_pipeline(layout: Layout, clock: Clock, *, session_gap_s: float, beam_options: list[str]) -> Report:
    """Process what is new, and first what a crashed run left; return what the last run did.

    Raises: StoreError when another run is under way or the tables cannot be read or written.
    """
    started_ns = clock.mono_ns()
    root = str(layout.tables)
    with only_run(layout):
        ensure_tables(root)
        report = Report(run=0, objects=0, dead_letters=0, rows={}, duplicates={}, skipped={}, versions=versions(root))
        gap_ns = round(session_gap_s * NS_PER_S)
        # What an earlier run left, and what is there now. No more: where objects come faster than runs end, there is
        # always something new, and whoever waits for this run would wait for ever.
        for _ in range(_RUNS):
            plan = next_plan(layout, session_gap_ns=gap_ns, now_ns=clock.utc_ns())
            if plan is None:
                break
            _run(plan, beam_options)
            body = (layout.tables / report_key(plan.run)).read_bytes()
            report = msgspec.json.decode(body, type=Report)
    return msgspec.structs.replace(report, seconds=(clock.mono_ns() - started_ns) / NS_PER_S)


def _run(plan: Plan, beam_options: list[str]) -> None:
    options = PipelineOptions(beam_options)
    standard = options.view_as(StandardOptions)
    standard.runner = standard.runner or _LOCAL_RUNNER
    with beam.Pipeline(options=options) as pipeline:
        build(pipeline, plan)


def build(pipeline: Any, plan: Plan) -> None:
    """Lay the graph of one run."""
    inputs = (
        pipeline
        | "objects" >> beam.Create(list(enumerate(plan.objects)))
        | "spread" >> beam.Reshuffle()
        | "read" >> beam.FlatMap(read_object, plan).with_outputs()
    )
    sessions = _sessions(pipeline, inputs[read.EXTENTS], plan)
    profiles = _profiles(pipeline, inputs[read.SUMMARIES], plan)
    unique = (
        inputs[read.BLOBS]
        | "by sensor" >> beam.GroupByKey()
        | "unique" >> beam.FlatMap(unique_readings, beam.pvalue.AsDict(sessions), plan).with_outputs()
    )
    touched = (
        (unique[dedupe.TOUCHED], profiles | "unprofiled" >> beam.FlatMap(unprofiled_sessions, plan))
        | "touched" >> beam.Flatten()
        | "once" >> beam.Distinct()
    )
    worn = _worn(unique[dedupe.WORN], touched, plan)
    derived = (
        worn
        | "athletes" >> beam.Filter(lambda keyed: keyed[0][2] != BALL)
        | "derive" >> beam.FlatMap(derive_rows, beam.pvalue.AsDict(profiles)).with_outputs()
    )
    teams = _teams(worn, profiles)
    history = _history(derived[features.ROWS], touched, plan)
    session_rows = touched | "sessions' rows" >> beam.Map(
        _session_row, beam.pvalue.AsDict(sessions), beam.pvalue.AsDict(profiles)
    )
    told = inputs[read.SUMMARIES] | "by gateway" >> beam.GroupByKey() | "told" >> beam.FlatMap(summary_rows, plan)
    records = (
        inputs[read.PROCESSED] | "processed" >> beam.Map(_record, OBJECTS),
        inputs[read.DEAD] | "dead" >> beam.Map(_record, DEAD_LETTER),
    )
    files = (
        (unique[dedupe.ROWS], derived[features.ROWS], teams, history, session_rows, told, *records)
        | "rows" >> beam.Flatten()
        | "by table" >> beam.GroupByKey()
        | "write" >> beam.Map(write_file, plan)
    )
    _ = (
        (files, unique[dedupe.FACTS], derived[features.FACTS])
        | "results" >> beam.Flatten()
        | "one key" >> beam.Map(lambda item: (0, item))
        | "all" >> beam.GroupByKey()
        | "commit" >> beam.Map(commit_run, plan)
    )


def _worn(worn: Any, touched: Any, plan: Plan) -> Any:
    """Return all readings of the touched sessions, old and new, by athlete; the ball counts as one."""
    return (
        (worn, touched | "known rows" >> beam.FlatMap(load_session, plan))
        | "worn" >> beam.Flatten()
        | "by athlete" >> beam.GroupByKey()
    )


def _teams(worn: Any, profiles: Any) -> Any:
    """Return team metrics of the touched sessions; of each athlete only one place a second travels."""
    return (
        worn
        | "sample" >> beam.FlatMap(sample_positions)
        | "by session" >> beam.GroupByKey()
        | "teams" >> beam.FlatMap(team_rows, beam.pvalue.AsDict(profiles))
    )


def _history(rows: Any, touched: Any, plan: Plan) -> Any:
    """Return the load history of the gateways that have a touched session."""
    return (
        {"touched": touched, "loads": rows | "loads" >> beam.FlatMap(loads_of)}
        | "loads by gateway" >> beam.CoGroupByKey()
        | "history" >> beam.FlatMap(history_rows, plan)
    )


def _sessions(pipeline: Any, extents: Any, plan: Plan) -> Any:
    """Return sessions by gateway after this run: those of the tables, grown and joined by what the objects bring."""
    rows = read_table(plan.tables, SESSIONS, plan.bases[SESSIONS]).to_pylist()
    known = [
        (row["gateway"], [Session(session=row["session"], start_ns=row["start_ns"], end_ns=row["end_ns"])])
        for row in rows
    ]
    return (
        {"known": pipeline | "known sessions" >> beam.Create(known), "extents": extents}
        | "sessions by gateway" >> beam.CoGroupByKey()
        | "assign" >> beam.Map(_assign, plan.session_gap_ns)
    )


def _assign(keyed: tuple[str, dict[str, list[list[Any]]]], gap_ns: int) -> tuple[str, list[Session]]:
    gateway, groups = keyed
    known = [session for part in groups["known"] for session in part]
    extents = [extent for part in groups["extents"] for extent in part]
    return gateway, assign(gateway, known, extents, gap_ns)


def _profiles(pipeline: Any, summaries: Any, plan: Plan) -> Any:
    """Return each gateway's newest profiles, of the tables or of this run's summaries."""
    return (
        (
            pipeline | "known profiles" >> beam.Create(known_profiles(plan)),
            summaries | "told profiles" >> beam.FlatMap(told_profiles),
        )
        | "profiles" >> beam.Flatten()
        | "profiles by gateway" >> beam.GroupByKey()
        | "newest" >> beam.Map(newest_profiles)
    )


def _session_row(
    touched: tuple[str, str], sessions: dict[str, list[Session]], profiles: dict[str, list[ProfileSummary]]
) -> tuple[tuple[str, str], bytes]:
    gateway, name = touched
    session = next(one for one in sessions[gateway] if one.session == name)
    row = {
        "session": name,
        "gateway": gateway,
        "start_ns": session.start_ns,
        "end_ns": session.end_ns,
        "profiled": gateway in profiles,
    }
    return (SESSIONS, name), pack(pa.Table.from_pylist([row], schema=TABLES[SESSIONS].schema))


def _record(row: dict[str, Any], table: str) -> tuple[tuple[str, None], bytes]:
    return (table, None), pack(pa.Table.from_pylist([row], schema=TABLES[table].schema))
