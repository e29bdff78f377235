"""What was really emitted, one JSON object a line, to compare with what arrived.

A line is written when its fate is known: a PUBACK, or for notifications at once. What is still open at the end is
written with `"acked":false`. Frames that a drop-out silenced were never emitted: they are counted, not written.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Totals of a run; `unacked` are published messages without PUBACK, `faults` counts frames per kind."""

    frames_sent: int
    frames_acked: int
    unacked: int
    positions_sent: int
    heart_rates_sent: int
    heart_rates_unheard: int
    faults: dict[str, int]
    seconds: float


class Truth:
    """Counts and records emissions; without a path it only counts."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = path.open("wb") if path else None
        self._encoder = msgspec.json.Encoder()
        self._buffer = bytearray()
        self._open: dict[int, dict[str, Any]] = {}
        self._tickets = 0
        self._positions = self._heart_rates = self._acked = self.unheard = 0
        self.faults: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def position(self, *, sensor: str, boot: str, n: int, t_ns: int, x_mm: int, y_mm: int, fault: str | None) -> int:
        """Record a published position; return the ticket that `acked` takes."""
        self._tickets += 1
        self._positions += 1
        self._open[self._tickets] = {
            "kind": "position", "sensor": sensor, "boot": boot, "n": n, "t_ns": t_ns, "acked": None,
            "fault": fault, "x_mm": x_mm, "y_mm": y_mm,
        }  # fmt: skip
        return self._tickets

    def heart_rate(
        self, *, sensor: str, n: int, t_ns: int, bpm: int, rr_1024: list[int], contact: bool, fault: str | None
    ) -> None:
        """Record a notification that went to a subscriber; the link layer acknowledges, so `acked` stays null."""
        self._heart_rates += 1
        self._write({
            "kind": "heart_rate", "sensor": sensor, "n": n, "t_ns": t_ns, "acked": None, "fault": fault,
            "bpm": bpm, "rr_1024": rr_1024, "contact": contact,
        })  # fmt: skip

    def acked(self, ticket: int) -> None:
        """Settle a position: its PUBACK came."""
        self._acked += 1
        self._settle(ticket, acked=True)

    def given_up(self, ticket: int) -> None:
        """Settle a position that will never be sent."""
        self._settle(ticket, acked=False)

    def count(self, fault: str) -> None:
        """Count one frame hit by a fault."""
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def flush(self) -> None:
        """Hand buffered lines to the operating system."""
        if self._file is not None and self._buffer:
            self._file.write(self._buffer)
            self._file.flush()
        self._buffer.clear()

    def close(self) -> None:
        """Write what is still open as not acknowledged, and close the file."""
        for ticket in list(self._open):
            self._settle(ticket, acked=False)
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def summary(self, seconds: float) -> Summary:
        """Return the totals so far."""
        return Summary(
            frames_sent=self._positions + self._heart_rates,
            frames_acked=self._acked,
            unacked=self._positions - self._acked,
            positions_sent=self._positions,
            heart_rates_sent=self._heart_rates,
            heart_rates_unheard=self.unheard,
            faults=dict(sorted(self.faults.items())),
            seconds=round(seconds, 3),
        )

    def _settle(self, ticket: int, *, acked: bool) -> None:
        entry = self._open.pop(ticket, None)
        if entry is not None:
            entry["acked"] = acked
            self._write(entry)

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is not None:
            self._buffer += self._encoder.encode(entry)
            self._buffer += b"\n"
