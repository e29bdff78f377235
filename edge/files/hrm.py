"""Polar HRM, versions 102 to 107 ("Polar HRM files" by Polar Electro): sections of text, one row per interval.

No maintained parser is to be had, so this one takes what the description names and refuses the rest.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from edge.files.base import Content, Rows, ns_of, text_of
from shared.clock import NS_PER_MS, NS_PER_S
from shared.errors import DecodeError

_ZONELESS = "the file names no time zone: its times are taken as UTC unless --start is given"
_VERSIONS = ("102", "105", "106", "107")
_KMH_PER_MILE_PER_HOUR = 1.609344
# `Interval` that means one row per beat (238: intermediate times alone).
_PER_BEAT, _INTERMEDIATE = 238, 204


class HrmReader:
    """Exercises of Polar's Precision Performance."""

    name = "Polar HRM"
    parts = ("activity",)

    def part(self, body: bytes) -> str | None:
        """Return "activity" for the first section's name."""
        return "activity" if body[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[Params]") else None

    def read(self, parts: Mapping[str, bytes], *, salvage: bool) -> Content:  # noqa: ARG002  text has no checksum
        """Return the exercise. Raises: DecodeError."""
        sections = _sections(text_of(parts["activity"]))
        params = dict(line.split("=", 1) for line in sections.get("Params", ()) if "=" in line)
        if params.get("Version") not in _VERSIONS:
            raise DecodeError(f"Polar HRM of version {params.get('Version', '')[:8]!r} is not known")
        start_ns = _start_ns(params)
        interval_s = _number(params.get("Interval", ""), "Interval")
        rows = Rows()
        lines = [line.split() for line in sections.get("HRData", ()) if line.strip()]
        if interval_s == _PER_BEAT:
            _beats(rows, lines, start_ns)
        elif 1 <= interval_s < _INTERMEDIATE:
            _samples(rows, lines, start_ns, interval_s, _columns(params))
        else:
            raise DecodeError(f"Polar HRM with an interval of {interval_s} holds no series")
        return Content(series=rows.series(), notes=(_ZONELESS,))


def _sections(text: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        heading = re.fullmatch(r"\[([A-Za-z0-9-]+)\]\s*", line)
        if heading:
            lines = sections.setdefault(heading[1], [])
        else:
            lines.append(line)
    return sections


def _start_ns(params: dict[str, str]) -> int:
    words = f"{params.get('Date', '')} {params.get('StartTime', '')}"
    try:
        return ns_of(datetime.strptime(words, "%Y%m%d %H:%M:%S.%f").replace(tzinfo=UTC))
    except ValueError as exc:
        raise DecodeError(f"Polar HRM with the date {words[:32]!r}") from exc


def _columns(params: dict[str, str]) -> tuple[list[str], bool]:
    """Return what the columns are, and whether units are imperial; before version 106 heart rate alone is taken."""
    smode, mode = params.get("SMode", ""), params.get("Mode", "")
    if re.fullmatch(r"[01]{8,9}", smode):
        has_speed, has_cadence, has_altitude, has_power, has_balance = (flag == "1" for flag in smode[:5])
        names = [("speed", has_speed), ("cadence", has_cadence), ("altitude", has_altitude), ("power", has_power),
                 ("balance", has_balance)]  # fmt: skip
        # The seventh flag says that the file holds heart rate and cycling columns, the eighth that units are US.
        return ["hr", *(name for name, there in names if there)], smode[7] == "1"
    if re.fullmatch(r"\d{3}", mode):
        return ["hr"], mode[2] == "1"
    raise DecodeError("Polar HRM without a valid SMode")


def _samples(
    rows: Rows, lines: list[list[str]], start_ns: int, interval_s: int, columns: tuple[list[str], bool]
) -> None:
    names, imperial = columns
    for index, words in enumerate(lines):
        if len(words) < len(names):
            raise DecodeError(f"Polar HRM row {index + 1} has {len(words)} columns of {len(names)}")
        values = {name: _number(word, f"row {index + 1}") for name, word in zip(names, words, strict=False)}
        time_ns = start_ns + index * interval_s * NS_PER_S
        # 0 is what the receiver writes without a signal.
        rows.add("heart_rate", time_ns, float(values["hr"] or math.nan))
        if "speed" in values:  # in tenths of km/h, or of miles per hour
            kmh = values["speed"] / 10 * (_KMH_PER_MILE_PER_HOUR if imperial else 1)
            rows.add("speed", time_ns, kmh / 3.6)
        rows.add("cadence", time_ns, float(values.get("cadence", math.nan)))
        rows.add("power", time_ns, float(values.get("power", math.nan)))


def _beats(rows: Rows, lines: list[list[str]], start_ns: int) -> None:
    time_ns = start_ns
    for index, words in enumerate(lines):
        interval_ms = _number(words[0], f"row {index + 1}")
        time_ns += interval_ms * NS_PER_MS
        rows.add("rr", time_ns, float(interval_ms))


def _number(word: str, where: str) -> int:
    digits = re.fullmatch(r"[ \t]*(-?\d{1,9})[ \t]*", word, re.ASCII)
    if digits is None:
        raise DecodeError(f"Polar HRM {where} is {word[:16]!r}, not a number")
    return int(digits[1])
