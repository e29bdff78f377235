"""Rows to tables: workers write Parquet files, then one idempotent Delta commit per table and run adds them.

The commit carries the run's number as an application transaction, so a repeated run finds it and commits nothing.
Files of a run that never committed belong to no table; `vacuum` removes them.
"""

import json
import secrets
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from cloud.objects import Objects
from cloud.pipeline.blobs import unpack_all
from cloud.pipeline.facts import DUPLICATES, SKIPPED, Fact, total
from cloud.pipeline.plan import APPLICATION, Plan
from cloud.pipeline.tables import DEAD_LETTER, OBJECTS, TABLES, Table, open_table
from shared.clock import NS_PER_MS
from shared.errors import StoreError


class Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Parquet file in a table's folder that is not yet part of the table."""

    table: str
    partition: str | None
    path: str
    size_bytes: int
    rows: int
    statistics: str


class Report(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run did; `run` 0 means that there was nothing to do."""

    run: int
    objects: int
    dead_letters: int
    rows: dict[str, int]
    duplicates: dict[str, int]
    skipped: dict[str, int]
    versions: dict[str, int]
    seconds: float = 0.0


def write_file(keyed: tuple[tuple[str, str | None], Iterable[bytes]], plan: Plan) -> Written:
    """Write the blobs of one (table, partition) as one Parquet file."""
    (name, partition), blobs = keyed
    table = TABLES[name]
    rows = unpack_all(blobs)
    if table.partition is not None:
        rows = rows.drop_columns([table.partition])
    path = Path(plan.tables) / name / f"part-{plan.run:06d}-{secrets.token_hex(8)}.parquet"
    try:
        pq.write_table(rows, path, compression="zstd")
        size_bytes = path.stat().st_size
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror or exc}") from exc
    return Written(
        table=name,
        partition=partition,
        path=path.name,
        size_bytes=size_bytes,
        rows=len(rows),
        statistics=_statistics(rows),
    )


def commit_run(everything: tuple[int, Iterable[Written | Fact]], plan: Plan) -> Report:
    """Commit every table of the run that is not committed yet, `objects` last, and leave the report beside the plan."""
    _, items = everything
    by_table: dict[str, list[Written]] = defaultdict(list)
    facts: list[Fact] = []
    for item in items:
        if isinstance(item, Written):
            by_table[item.table].append(item)
        else:
            facts.append(item)
    for name, table in TABLES.items():
        if by_table[name]:
            commit_table(table, by_table[name], plan)
    report = Report(
        run=plan.run,
        objects=len(plan.objects),
        dead_letters=sum(written.rows for written in by_table[DEAD_LETTER]),
        rows={name: sum(written.rows for written in by_table[name]) for name in TABLES if name != OBJECTS},
        duplicates=total(facts, DUPLICATES),
        skipped=total(facts, SKIPPED),
        versions={name: int(open_table(plan.tables, name).version()) for name in TABLES},
    )
    Objects(Path(plan.tables)).put(report_key(plan.run), msgspec.json.encode(report))
    return report


def commit_table(table: Table, files: list[Written], plan: Plan) -> bool:
    """Add the files in one commit, replacing their partitions where the table says so; False when already done.

    Raises: StoreError.
    """
    delta = open_table(plan.tables, table.name)
    if (delta.transaction_version(APPLICATION) or 0) >= plan.run:
        return False
    now_ms = plan.made_ns // NS_PER_MS
    actions: list[AddAction | RemoveAction] = [_add(table, file, now_ms) for file in files]
    if table.replaced:
        actions += _removals(delta, table, {str(file.partition) for file in files}, now_ms)
    try:
        delta.create_write_transaction(
            actions,
            "append",
            Schema.from_arrow(table.schema),
            [table.partition] if table.partition else [],
            commit_properties=CommitProperties(app_transactions=[Transaction(APPLICATION, plan.run)]),
        )
    except (DeltaError, OSError) as exc:
        raise StoreError(f"table {table.name} cannot be committed: {exc}") from exc
    return True


def report_key(run: int) -> str:
    """Return where the report of a run lies below the tables' folder."""
    return f"_pipeline/report-{run:06d}.json"


def _add(table: Table, file: Written, written_ms: int) -> AddAction:
    values = {table.partition: file.partition} if table.partition else {}
    return AddAction(file.path, file.size_bytes, values, written_ms, True, file.statistics)


def _removals(delta: DeltaTable, table: Table, partitions: set[str], removed_ms: int) -> list[RemoveAction]:
    files = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    key = f"partition.{table.partition}"
    return [
        RemoveAction(
            file["path"],
            data_change=True,
            deletion_timestamp=removed_ms,
            size=file["size_bytes"],
            partition_values={str(table.partition): file[key]},
        )
        for file in files
        if file[key] in partitions
    ]


def _statistics(rows: pa.Table) -> str:
    """Return the file's statistics: counts, no ranges.

    deltalake 1.6 reads a column without a range, beside columns with one, as `column >= null`: a filter on it then
    finds nothing, silently. Files are skipped by partition.
    """
    nulls = {name: rows[name].null_count for name in rows.column_names}
    return json.dumps({"numRecords": len(rows), "nullCount": nulls})
