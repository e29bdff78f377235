"""Sessions of a gateway: stretches of readings without a pause of more than ten minutes. Pure.

A session's id is its gateway and the second of its first reading. Once readings stand in the tables under an id it
stays: late readings join the session they touch, and if they bridge two, each keeps what begins in it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S

Interval = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One session; `start_ns` and `end_ns` are its first and last reading."""

    session: str
    start_ns: int
    end_ns: int


def intervals(times_ns: NDArray[np.int64], gap_ns: int) -> list[Interval]:
    """Return first and last time of each stretch without a gap over `gap_ns`; `times_ns` in any order."""
    if not len(times_ns):
        return []
    times = np.sort(times_ns)
    cuts = np.flatnonzero(np.diff(times) > gap_ns)
    firsts = times[np.concatenate(([0], cuts + 1))]
    lasts = times[np.concatenate((cuts, [len(times) - 1]))]
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]


def assign(gateway: str, known: Iterable[Session], extents: Iterable[Interval], gap_ns: int) -> list[Session]:
    """Return the gateway's sessions in order of start after `extents` have come to the `known` ones."""
    fresh = [Session(session="", start_ns=start, end_ns=end) for start, end in extents]
    merged: list[Session] = []
    for one in sorted([*known, *fresh], key=lambda session: (session.start_ns, session.end_ns, session.session)):
        last = merged[-1] if merged else None
        if last is None or one.start_ns - last.end_ns > gap_ns or (last.session and one.session):
            merged.append(one)
        else:
            joined = last.session or one.session
            merged[-1] = replace(last, session=joined, end_ns=max(last.end_ns, one.end_ns))
    return [one if one.session else replace(one, session=session_id(gateway, one.start_ns)) for one in merged]


def session_of(sessions: Sequence[Session], times_ns: NDArray[np.int64]) -> list[str]:
    """Return the id of the session that each time lies in: the last that starts at or before it."""
    starts = np.array([one.start_ns for one in sessions], np.int64)
    index = np.maximum(np.searchsorted(starts, times_ns, side="right") - 1, 0)
    return [sessions[i].session for i in index]


def session_id(gateway: str, start_ns: int) -> str:
    """Return the id of a session that begins at `start_ns`."""
    start = datetime.fromtimestamp(start_ns // NS_PER_S, UTC)
    return f"{gateway}-{start:%Y%m%dT%H%M%SZ}"
