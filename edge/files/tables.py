"""Plain text with numbers: beat intervals (seconds and interval), and PowerTap tables with minutes in front.

Neither says when it was: their times count from 0 until `--start` says.
"""

import csv
import math
import re
from collections.abc import Mapping

from edge.files.base import Content, Rows, number, text_of
from shared.clock import NS_PER_S
from shared.errors import DecodeError

_BEAT = re.compile(rb"\s*\d+(\.\d+)?[ \t,;]+\d+(\.\d+)?\s*(\n|\r|$)")
_LONGEST_S = 400 * 86_400.0


class BeatsReader:
    """Two columns: time of the beat and length of the interval before it, both in seconds."""

    name = "RR text"
    parts = ("activity",)

    def part(self, body: bytes) -> str | None:
        """Return "activity" when the first line is two numbers."""
        return "activity" if _BEAT.match(body[:200]) else None

    def read(self, parts: Mapping[str, bytes], *, salvage: bool) -> Content:  # noqa: ARG002  text has no checksum
        """Return the beats. Raises: DecodeError."""
        rows = Rows()
        for count, line in enumerate(text_of(parts["activity"]).splitlines(), 1):
            words = re.split(r"[ \t,;]+", line.strip())
            if words == [""]:
                continue
            if len(words) != 2:
                raise DecodeError(f"RR text line {count} has {len(words)} columns, not 2")
            at_s, interval_s = _value(words[0], count), _value(words[1], count)
            rows.add("rr", round(at_s * NS_PER_S), interval_s * 1000)
        return Content(series=rows.series(dated=False), dated=False)


# Header of a column, in small letters and without its unit, and (stream column, factor).
_COLUMNS = {
    "km/h": ("speed", 1 / 3.6),
    "km": ("distance", 1000.0),
    "watts": ("power", 1.0),
    "cadence": ("cadence", 1.0),
    "hrate": ("hr", 1.0),
}


class PowerTableReader:
    """PowerTap's CSV: Minutes, Torq (N-m), Km/h, Watts, Km, Cadence, Hrate."""

    name = "PowerTap CSV"
    parts = ("activity",)

    def part(self, body: bytes) -> str | None:
        """Return "activity" for the header's first words."""
        return "activity" if body[:64].lower().replace(b" ", b"").startswith(b"minutes,torq") else None

    def read(self, parts: Mapping[str, bytes], *, salvage: bool) -> Content:  # noqa: ARG002  text has no checksum
        """Return the ride. Raises: DecodeError."""
        rows = Rows()
        try:
            lines = csv.reader(text_of(parts["activity"]).splitlines())
            names = [word.strip().lower() for word in next(lines)]
            for count, words in enumerate(lines, 2):
                if words:
                    _ride(rows, names, words, count)
        except csv.Error as exc:
            raise DecodeError(f"damaged CSV: {exc}") from exc
        return Content(series=rows.series(dated=False), dated=False)


def _ride(rows: Rows, names: list[str], words: list[str], count: int) -> None:
    if len(words) < len(names):
        raise DecodeError(f"CSV line {count} has {len(words)} columns of {len(names)}")
    cells = dict(zip(names, words, strict=False))
    time_ns = round(_value(cells["minutes"], count) * 60 * NS_PER_S)
    known = {name: cells[name] for name in _COLUMNS if cells.get(name, "").strip()}
    found = {_COLUMNS[name][0]: _value(cell, count) * _COLUMNS[name][1] for name, cell in known.items()}
    nan = math.nan
    # 0 is what the computer writes without a strap.
    rows.add("heart_rate", time_ns, found.get("hr", 0.0) or nan)
    rows.add("power", time_ns, found.get("power", nan))
    rows.add("speed", time_ns, found.get("speed", nan), found.get("distance", nan))
    rows.add("cadence", time_ns, found.get("cadence", nan))


def _value(word: str, line: int) -> float:
    try:
        value = number(float(word))
    except ValueError as exc:
        raise DecodeError(f"line {line} holds {word[:16]!r}, not a number") from exc
    if not abs(value) < _LONGEST_S:  # neither NaN nor infinite nor absurd
        raise DecodeError(f"line {line} holds {word[:16]!r}, which cannot be")
    return value
