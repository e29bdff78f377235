"""Summaries to profiles, alerts and gaps: of what is told repeatedly the newest stays, each thing once."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cloud.pipeline.blobs import pack
from cloud.pipeline.plan import Plan
from cloud.pipeline.tables import ALERTS, GAPS, PROFILES, SESSIONS, TABLES, read_table
from shared.batch import ProfileSummary, SessionSummary

Row = dict[str, Any]
_GAP_KEY = ("sensor", "stream", "from_ns", "to_ns", "reason")


def summary_rows(keyed: tuple[str, Iterable[SessionSummary]], plan: Plan) -> Iterator[tuple[tuple[str, str], bytes]]:
    """Yield a gateway's profiles, alerts and gaps as they are after its new summaries, by (table, gateway)."""
    gateway, received = keyed
    summaries = sorted(received, key=lambda summary: summary.time_ns)
    for name, merge in ((PROFILES, _profiles), (ALERTS, _alerts), (GAPS, _gaps)):
        known = _known(name, gateway, plan)
        rows = merge(known, summaries)
        if rows != known:
            yield (name, gateway), pack(pa.Table.from_pylist(rows, schema=TABLES[name].schema))


def known_profiles(plan: Plan) -> list[tuple[str, tuple[int, list[ProfileSummary]]]]:
    """Return by gateway the time and content of the profiles that the tables hold."""
    by_gateway: dict[str, tuple[int, list[ProfileSummary]]] = {}
    for row in read_table(plan.tables, PROFILES, plan.bases[PROFILES]).to_pylist():
        gateway, time_ns = row.pop("gateway"), row.pop("time_ns")
        by_gateway.setdefault(gateway, (time_ns, []))[1].append(_profile(row))
    return list(by_gateway.items())


def told_profiles(keyed: tuple[str, SessionSummary]) -> Iterator[tuple[str, tuple[int, list[ProfileSummary]]]]:
    """Yield by gateway the time and content of the profiles that a summary brings, if it brings any."""
    gateway, summary = keyed
    if summary.profiles:
        yield gateway, (summary.time_ns, list(summary.profiles))


def newest_profiles(
    keyed: tuple[str, Iterable[tuple[int, list[ProfileSummary]]]],
) -> tuple[str, list[ProfileSummary]]:
    """Return a gateway's newest profiles."""
    gateway, told = keyed
    return gateway, max(told, key=lambda one: one[0])[1]


def unprofiled_sessions(keyed: tuple[str, list[ProfileSummary]], plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the sessions that were derived before the gateway's profiles were known; they are derived again."""
    gateway, _ = keyed
    where = (pc.field("gateway") == gateway) & ~pc.field("profiled")
    rows = read_table(plan.tables, SESSIONS, plan.bases[SESSIONS], where=where, columns=["session"])
    for session in rows["session"].to_pylist():
        yield gateway, session


def _profile_columns(profile: ProfileSummary) -> Row:
    return msgspec.structs.asdict(profile) | {"speed_edges_mps": list(profile.speed_edges_mps)}


def _profile(row: Row) -> ProfileSummary:
    """Return a row's profile; what older rows lack has its default."""
    return msgspec.convert({name: value for name, value in row.items() if value is not None}, ProfileSummary)


def _known(name: str, gateway: str, plan: Plan) -> list[Row]:
    rows: list[Row] = read_table(
        plan.tables, name, plan.bases[name], where=pc.field("gateway") == gateway, columns=TABLES[name].schema.names
    ).to_pylist()
    return rows


def _profiles(known: list[Row], summaries: list[SessionSummary]) -> list[Row]:
    told = [summary for summary in summaries if summary.profiles]
    if not told or (known and known[0]["time_ns"] >= told[-1].time_ns):
        return known
    newest = told[-1]
    return [
        {
            "gateway": newest.gateway,
            **_profile_columns(profile),
            "time_ns": newest.time_ns,
        }
        for profile in newest.profiles
    ]


def _alerts(known: list[Row], summaries: list[SessionSummary]) -> list[Row]:
    by_id = {row["alert"]: row for row in known}
    for summary in summaries:
        for alert in summary.alerts:
            before = by_id.get(alert.alert)
            if before is not None and before["time_ns"] >= summary.time_ns:
                continue
            by_id[alert.alert] = {
                "gateway": summary.gateway,
                "alert": alert.alert,
                "athlete": alert.athlete,
                "rule": alert.rule,
                "severity": alert.severity,
                "why": alert.why,
                "started_ns": alert.started_ns,
                "ended_ns": alert.ended_ns,
                "time_ns": summary.time_ns,
            }
    return list(by_id.values())


def _gaps(known: list[Row], summaries: list[SessionSummary]) -> list[Row]:
    by_key = {tuple(row[name] for name in _GAP_KEY): row for row in known}
    for summary in summaries:
        for gap in summary.gaps:
            row = {
                "gateway": summary.gateway,
                "sensor": gap.sensor,
                "stream": gap.stream,
                "from_ns": gap.from_ns,
                "to_ns": gap.to_ns,
                "count": gap.count,
                "reason": gap.reason,
            }
            by_key.setdefault(tuple(row[name] for name in _GAP_KEY), row)
    return list(by_key.values())
