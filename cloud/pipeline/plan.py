"""What one run does, written down before it starts, so that a crashed run is repeated exactly and not approximately.

A run is a function of its objects and of the tables' versions before it. Both stand in the plan; a repetition computes
the same rows and commits only the tables that the crashed run did not reach.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cloud.ingest.ledger import BronzeObject, Ledger
from cloud.objects import Objects
from cloud.pipeline.tables import OBJECTS, open_table, read_table, versions
from cloud.settings import Layout
from shared.errors import StoreError

APPLICATION = "sideline-pipeline"
_PLAN = "_pipeline/plan.json"


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run: its number, its new objects in order of arrival, and each table's version before it."""

    run: int
    tables: str
    objects_root: str
    session_gap_ns: int
    made_ns: int
    objects: list[BronzeObject]
    bases: dict[str, int]


@contextmanager
def only_run(layout: Layout) -> Iterator[None]:
    """Keep other runs on the same tables out.

    Raises: StoreError when one is under way.
    """
    path = layout.tables / "_pipeline" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StoreError("another pipeline run is under way") from exc
        yield


def next_plan(layout: Layout, *, session_gap_ns: int, now_ns: int) -> Plan | None:
    """Return the plan that a crashed run left, else one for the objects not yet processed, else None.

    Raises: StoreError.
    """
    root = str(layout.tables)
    last = finished_run(root)
    left = _read_plan(layout.tables / _PLAN)
    if left is not None and left.run > last:
        return left
    bases = versions(root)
    fresh = _unprocessed(layout, root, bases[OBJECTS])
    if not fresh:
        return None
    plan = Plan(
        run=last + 1,
        tables=root,
        objects_root=str(layout.objects),
        session_gap_ns=session_gap_ns,
        made_ns=now_ns,
        objects=fresh,
        bases=bases,
    )
    Objects(layout.tables).put(_PLAN, msgspec.json.encode(plan))
    return plan


def finished_run(root: str) -> int:
    """Return the number of the last run that committed everything; 0 before the first."""
    return int(open_table(root, OBJECTS).transaction_version(APPLICATION) or 0)


def _unprocessed(layout: Layout, root: str, version: int) -> list[BronzeObject]:
    ledger = Ledger(layout.ledger)
    try:
        bronze = ledger.bronze()
    finally:
        ledger.close()
    done = read_table(root, OBJECTS, version, columns=["gateway", "epoch", "batch_seq"])
    seen = set(zip(*(done[name].to_pylist() for name in done.column_names), strict=True))
    return [one for one in bronze if (one.gateway, one.epoch, one.seq) not in seen]


def _read_plan(path: Path) -> Plan | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Plan)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        raise StoreError(f"{path}: the plan of the last run cannot be read: {exc}") from exc
