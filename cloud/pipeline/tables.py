"""The Delta tables: names, columns, what each is partitioned by, and how a run reads them as they were before it."""

from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import DeltaError
from pyarrow.compute import Expression
from pyarrow.dataset import Dataset
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from shared.errors import StoreError
from shared.features.athlete import ATHLETE_EFFORT
from shared.quantities import STREAMS

OBJECTS = "objects"
SESSIONS = "sessions"
PROFILES = "profiles"
METRICS = "metrics"
FEATURES = "features_athlete_effort"
ALERTS = "alerts"
GAPS = "gaps"
DEAD_LETTER = "dead_letter"
METRICS_TEAM = "metrics_team"
LOAD_HISTORY = "load_history"

_TEXT, _INT, _REAL = pa.string(), pa.int64(), pa.float64()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table. A `replaced` table's partition is rewritten whole by a run that touches it; others only grow."""

    name: str
    schema: pa.Schema
    partition: str | None = None
    replaced: bool = False


def readings_table(stream: str) -> str:
    """Return the name of the table of a stream's readings."""
    return f"readings_{stream}"


def _readings(stream: str) -> Table:
    columns = [("gateway", _TEXT), ("epoch", _TEXT), ("batch_seq", _INT), ("session", _TEXT), ("sensor", _TEXT)]
    columns += [("athlete", _TEXT), ("origin", _TEXT), ("sequence", _INT), ("time_ns", _INT), ("quality", pa.int16())]
    columns += [(quantity.name, _REAL) for quantity in STREAMS[stream].quantities]
    columns += [("boot", _TEXT), ("device_ns", _INT), ("mono_ns", _INT)]
    return Table(name=readings_table(stream), schema=pa.schema(columns), partition="session")


_METRIC_COLUMNS = [("session", _TEXT), ("gateway", _TEXT), ("athlete", _TEXT), ("metric", _TEXT), ("label", _TEXT)]
_METRIC_COLUMNS += [("value", _REAL), ("unit", _TEXT), ("coverage", _REAL), ("start_ns", _INT), ("end_ns", _INT)]
_METRIC_COLUMNS += [("quality", _REAL)]
_FEATURE_COLUMNS = [("session", _TEXT), ("athlete", _TEXT), ("time_ns", _INT), ("coverage", _REAL)]
_FEATURE_COLUMNS += [(name, pa.float32()) for name, _ in ATHLETE_EFFORT.features]
_FEATURE_COLUMNS += [("hr_bpm", _REAL), ("feature_hash", _TEXT)]
_SESSION_COLUMNS = [("session", _TEXT), ("gateway", _TEXT), ("start_ns", _INT), ("end_ns", _INT)]
_SESSION_COLUMNS += [("profiled", pa.bool_())]
_PROFILE_COLUMNS = [("gateway", _TEXT), ("athlete", _TEXT), ("team", _INT), ("sex", _TEXT)]
_PROFILE_COLUMNS += [("hr_rest_bpm", _REAL), ("hr_max_bpm", _REAL), ("time_ns", _INT)]
_PROFILE_COLUMNS += [("hr_max_estimated", pa.bool_()), ("vt1_bpm", _REAL), ("vt2_bpm", _REAL), ("mass_kg", _REAL)]
_PROFILE_COLUMNS += [("critical_power_w", _REAL), ("w_prime_j", _REAL), ("ftp_w", _REAL)]
_PROFILE_COLUMNS += [("critical_speed_mps", _REAL), ("d_prime_m", _REAL), ("speed_edges_mps", pa.list_(_REAL))]
_ALERT_COLUMNS = [("gateway", _TEXT), ("alert", _TEXT), ("athlete", _TEXT), ("rule", _TEXT), ("severity", _TEXT)]
_ALERT_COLUMNS += [("why", _TEXT), ("started_ns", _INT), ("ended_ns", _INT), ("time_ns", _INT)]
_GAP_COLUMNS = [("gateway", _TEXT), ("sensor", _TEXT), ("stream", _TEXT), ("from_ns", _INT), ("to_ns", _INT)]
_GAP_COLUMNS += [("count", _INT), ("reason", _TEXT)]
_TEAM_COLUMNS = [("session", _TEXT), ("gateway", _TEXT), ("team", _INT), ("metric", _TEXT), ("label", _TEXT)]
_TEAM_COLUMNS += [("value", _REAL), ("unit", _TEXT), ("coverage", _REAL), ("quality", _REAL)]
_TEAM_COLUMNS += [("start_ns", _INT), ("end_ns", _INT)]
_HISTORY_COLUMNS = [("gateway", _TEXT), ("athlete", _TEXT), ("day", _TEXT), ("quantity", _TEXT), ("load", _REAL)]
_HISTORY_COLUMNS += [("metric", _TEXT), ("label", _TEXT), ("value", _REAL), ("unit", _TEXT), ("coverage", _REAL)]
_BATCH_COLUMNS = [("gateway", _TEXT), ("epoch", _TEXT), ("batch_seq", _INT), ("content", _TEXT), ("object", _TEXT)]
_BATCH_COLUMNS += [("sha256", _TEXT)]

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        *(_readings(stream) for stream in STREAMS),
        Table(name=METRICS, schema=pa.schema(_METRIC_COLUMNS), partition="session", replaced=True),
        Table(name=FEATURES, schema=pa.schema(_FEATURE_COLUMNS), partition="session", replaced=True),
        Table(name=SESSIONS, schema=pa.schema(_SESSION_COLUMNS), partition="session", replaced=True),
        Table(name=PROFILES, schema=pa.schema(_PROFILE_COLUMNS), partition="gateway", replaced=True),
        Table(name=ALERTS, schema=pa.schema(_ALERT_COLUMNS), partition="gateway", replaced=True),
        Table(name=GAPS, schema=pa.schema(_GAP_COLUMNS), partition="gateway", replaced=True),
        Table(name=METRICS_TEAM, schema=pa.schema(_TEAM_COLUMNS), partition="session", replaced=True),
        Table(name=LOAD_HISTORY, schema=pa.schema(_HISTORY_COLUMNS), partition="gateway", replaced=True),
        Table(name=DEAD_LETTER, schema=pa.schema([*_BATCH_COLUMNS, ("reason", _TEXT), ("run", _INT)])),
        Table(
            name=OBJECTS,
            schema=pa.schema([*_BATCH_COLUMNS, ("rows", _INT), ("received_ns", _INT), ("run", _INT)]),
        ),
    )
}
"""In commit order: `objects` is last, so that an object counts as processed only once everything else is in."""


def ensure_tables(root: str) -> None:
    """Make the tables that are missing, empty, and add the columns that one made by an earlier version lacks.

    Raises: StoreError.
    """
    try:
        for table in TABLES.values():
            uri = f"{root}/{table.name}"
            if not DeltaTable.is_deltatable(uri):
                partition_by = [table.partition] if table.partition else None
                DeltaTable.create(uri, table.schema, mode="ignore", partition_by=partition_by)
            elif missing := _missing_columns(DeltaTable(uri), table):
                DeltaTable(uri).alter.add_columns(missing)
    except (DeltaError, OSError) as exc:
        raise StoreError(f"tables cannot be made: {exc}") from exc


def _missing_columns(existing: DeltaTable, table: Table) -> list[Field]:
    known = {field.name for field in existing.schema().fields}
    return [field for field in Schema.from_arrow(table.schema).fields if field.name not in known]


def versions(root: str) -> dict[str, int]:
    """Return every table's current version.

    Raises: StoreError.
    """
    return {name: int(open_table(root, name).version()) for name in TABLES}


def open_table(root: str, name: str, version: int | None = None) -> DeltaTable:
    """Open a table, as it is now or as it was at `version`.

    Raises: StoreError.
    """
    try:
        return DeltaTable(f"{root}/{name}", version=version)
    except (DeltaError, OSError) as exc:
        problem = str(exc).partition("\n")[0]
        raise StoreError(f"table {name} cannot be opened: {problem}") from exc


@lru_cache(maxsize=32)
def _dataset(root: str, name: str, version: int) -> Dataset:
    # deltalake's own file system is written in Python; Arrow's reading threads that still hold a file of it when the
    # interpreter ends abort the process.
    files = SubTreeFileSystem(f"{root}/{name}", LocalFileSystem())
    return open_table(root, name, version).to_pyarrow_dataset(filesystem=files)


def read_table(
    root: str, name: str, version: int, *, where: Expression | None = None, columns: list[str] | None = None
) -> pa.Table:
    """Return rows of a table at a version, which never change and may be cached.

    Raises: StoreError.
    """
    try:
        return _dataset(root, name, version).to_table(filter=where, columns=columns)
    except (pa.ArrowException, OSError) as exc:
        raise StoreError(f"table {name} version {version} cannot be read: {exc}") from exc
