"""Takes into the book the journal's files that it does not know.

A book that was damaged or lost is moved away and begun anew; the readings stand in files of their own, and are listed
again here, as if nothing of them had been sent: the cloud takes out what it has twice.
"""

import sqlite3
from pathlib import Path

from edge.store.chunks import is_damage
from edge.store.segments import FOLDER, Segments, count_chunks, open_to_read
from shared.log import get_logger

_log = get_logger("store")


def adopt(book: sqlite3.Connection, segments: Segments, folder: Path, now_ns: int) -> int:
    """List the journal's files that the book does not know; return how many.

    Raises: sqlite3.Error.
    """
    there = {path.name for path in (folder / FOLDER).glob("[0-9]*.sqlite")}
    for segment in segments.kept():
        if segment.file and Path(segment.file).name not in there:
            _log.error("a file of the journal is missing", file=segment.file)
    book.execute("BEGIN IMMEDIATE")
    known = {Path(segment.file).name for segment in segments.all()}
    rows = [row for name in sorted(there - known) if (row := _listed(folder / FOLDER / name, segments)) is not None]
    book.executemany(
        "INSERT INTO segment (number, file, source, session_ns, begun_ns, ended_ns, sealed_ns, last, readings) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*row[:6], now_ns, *row[6:]) for row in rows],
    )
    book.execute("COMMIT")
    for row in rows:
        _log.warning("a file of the journal that the book does not know is taken in", file=row[1], readings=row[7])
    return len(rows)


def _listed(path: Path, segments: Segments) -> tuple[int, str, str, int, int, int, int, int] | None:
    """Return number, file, source, session, first and last moment, last id and readings; None of an empty file."""
    try:
        connection = open_to_read(path, segments.connect)
        if connection is None or not path.stem.isdecimal():
            return None
        try:
            last, readings, ended_ns = count_chunks(connection)
            sql = "SELECT min(stored_ns), max(source) FROM (SELECT stored_ns, source FROM {} ORDER BY id LIMIT 1)"
            begun_ns, source = min(
                row for table in ("chunk", "tail") if (row := connection.execute(sql.format(table)).fetchone())[0]
            )
        finally:
            connection.close()
    except ValueError:  # nothing stands in it: a power cut came before its first reading
        return None
    except sqlite3.Error as exc:
        _log.error("a file of the journal cannot be taken in", file=path.name, damaged=is_damage(exc), problem=str(exc))
        return None
    return int(path.stem), f"{FOLDER}/{path.name}", source, begun_ns, begun_ns, ended_ns, last, readings
