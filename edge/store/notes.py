"""What the book holds beside batches: quarantined frames, gaps, alerts. Functions of the journal's writer thread."""

import sqlite3
from collections.abc import Sequence

from edge.sensors.base import Rejected
from edge.store.pressure import THINNED
from shared.alerts import Alert
from shared.ids import SensorId
from shared.readings import Gap

_QUARANTINE_BODY_BYTES = 4096
# By sensor and reason: enough to find out what is wrong, and a neighbour's tags cannot fill the disk.
_QUARANTINE_KEPT = 1000
_QUARANTINE_SHOWN = 100
# Gaps told in one summary: it must stay small enough to be taken.
_GAPS_TOLD = 2000


def keep_rejected(book: sqlite3.Connection, rejected: Sequence[Rejected]) -> None:
    """Count frames by sensor and reason, and keep the bytes of the first of each."""
    for frame, reason in ((r.frame, r.reason) for r in rejected):
        book.execute(
            "INSERT INTO quarantine_count VALUES (?, ?, 1, ?) "
            "ON CONFLICT (sensor, reason) DO UPDATE SET count = count + 1, last_ns = excluded.last_ns",
            (frame.sensor, reason, frame.received.utc_ns),
        )
        (count,) = book.execute(
            "SELECT count FROM quarantine_count WHERE sensor = ? AND reason = ?", (frame.sensor, reason)
        ).fetchone()
        if count <= _QUARANTINE_KEPT:
            book.execute(
                "INSERT INTO quarantine (received_ns, sensor, channel, reason, body) VALUES (?, ?, ?, ?, ?)",
                (frame.received.utc_ns, frame.sensor, frame.channel, reason, frame.body[:_QUARANTINE_BODY_BYTES]),
            )


def quarantined(book: sqlite3.Connection) -> list[tuple[str, str, int, int]]:
    """Return (sensor, reason, count, last_ns), newest first; the oldest are summed up."""
    sql = "SELECT sensor, reason, count, last_ns FROM quarantine_count ORDER BY last_ns DESC"
    rows = book.execute(sql).fetchall()
    shown, others = rows[:_QUARANTINE_SHOWN], rows[_QUARANTINE_SHOWN:]
    if others:
        shown.append((f"{len(others)} others", "various", sum(row[2] for row in others), others[0][3]))
    return shown


def keep_gaps(book: sqlite3.Connection, gaps: Sequence[Gap]) -> None:
    """Store gaps; they are uploaded with a summary. Those of thinning are summed up until `settle_gaps`."""
    rows = [(g.sensor, g.stream, g.from_ns, g.to_ns, g.count, g.reason) for g in gaps]
    summed = [row for row in rows if row[0] is not None and row[5].startswith(THINNED)]
    book.executemany(
        "INSERT INTO gap_open (sensor, stream, from_ns, to_ns, count, reason) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (sensor, stream, reason) DO UPDATE SET from_ns = min(from_ns, excluded.from_ns), "
        "to_ns = max(to_ns, excluded.to_ns), count = count + excluded.count",
        summed,
    )
    book.executemany(
        "INSERT INTO gap (sensor, stream, from_ns, to_ns, count, reason) VALUES (?, ?, ?, ?, ?, ?)",
        [row for row in rows if row not in summed],
    )


def settle_gaps(book: sqlite3.Connection) -> None:
    """Make gaps of what was summed up."""
    if book.execute("SELECT 1 FROM gap_open LIMIT 1").fetchone() is None:
        return
    columns = "sensor, stream, from_ns, to_ns, count, reason"
    book.execute("BEGIN IMMEDIATE")
    book.execute(f"INSERT INTO gap ({columns}) SELECT {columns} FROM gap_open")  # noqa: S608  fixed words
    book.execute("DELETE FROM gap_open")
    book.execute("COMMIT")


def gap_totals(book: sqlite3.Connection) -> list[tuple[str, str, int, int]]:
    """Return (stream, reason, count, last_ns) of gaps, and of what the cloud would not take; the newest hundred."""
    sql = (
        "SELECT stream, reason, sum(count), max(to_ns) FROM "
        "(SELECT stream, reason, count, to_ns FROM gap UNION ALL SELECT stream, reason, count, to_ns FROM gap_open) "
        "GROUP BY 1, 2 UNION ALL "
        "SELECT content, 'not taken by the cloud: ' || receipt, sum(count), max(receipt_ns) FROM batch "
        "WHERE receipt NOT IN ('stored', 'duplicate', 'split') GROUP BY 1, 2 ORDER BY 4 DESC LIMIT 100"
    )
    return book.execute(sql).fetchall()


def gaps_told(book: sqlite3.Connection) -> int:
    """Return the number of the last gap that stands in a summary."""
    row = book.execute("SELECT value FROM meta WHERE key = 'gaps_told'").fetchone()
    return int(row[0]) if row is not None else 0


def tell_gaps(book: sqlite3.Connection, position: int) -> None:
    """Note the last gap that stands in a summary; call it in the transaction that adds the summary."""
    sql = "INSERT INTO meta VALUES ('gaps_told', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    book.execute(sql, (str(position),))


def gaps_after(book: sqlite3.Connection, position: int) -> tuple[list[Gap], int]:
    """Return gaps after row `position`, as many as one summary may tell, and the last one's number."""
    rows = book.execute(
        "SELECT id, sensor, stream, from_ns, to_ns, count, reason FROM gap WHERE id > ? ORDER BY id LIMIT ?",
        (position, _GAPS_TOLD),
    ).fetchall()
    gaps = [
        Gap(
            sensor=None if sensor is None else SensorId(sensor),
            stream=stream,
            from_ns=from_ns,
            to_ns=to_ns,
            count=count,
            reason=reason,
        )
        for _, sensor, stream, from_ns, to_ns, count, reason in rows
    ]
    return gaps, rows[-1][0] if rows else position


def keep_alert(book: sqlite3.Connection, alert: Alert) -> None:
    """Store an alert, or its end."""
    book.execute(
        "INSERT INTO alert VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET ended_ns = excluded.ended_ns",
        (
            alert.alert, alert.athlete, alert.rule, alert.severity.value,
            alert.cause, alert.why, alert.started_ns, alert.ended_ns,
        ),
    )  # fmt: skip
