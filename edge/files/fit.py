"""FIT: what watches and bike computers write (Garmin FIT SDK, profile 21); read with fitdecode, checksums enforced.

`record` messages hold one row a second, `hrv` up to five beat intervals since the last, `hr` heart rates that a strap
kept under water. Fields of developers are left out: their names mean what their owners like.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import fitdecode

from edge.files.base import PARSER_FAULTS, Content, Rows, ns_of, number
from shared.clock import NS_PER_MS, NS_PER_S
from shared.errors import DecodeError

_SEMICIRCLE_DEG = 180 / 2**31
_STEPS = frozenset({"running", "walking", "hiking", "mountaineering", "snowshoeing", "treadmill"})
_PEDALS = frozenset({"cycling", "e_biking", "indoor_cycling", "spin"})
# Profile: bit 7 says that the share is the right leg's, else nobody knows whose.
_RIGHT_BIT, _SHARE_BITS = 0x80, 0x7F
# Beats are counted on from one another; beyond this they have come apart from the records (a pause, lost beats).
_DRIFT_NS = 3 * NS_PER_S


class FitReader:
    """Activity files."""

    name = "FIT"
    parts = ("activity",)

    def part(self, body: bytes) -> str | None:
        """Return "activity" for the signature `.FIT` in the header."""
        return "activity" if body[8:12] == b".FIT" else None

    def read(self, parts: Mapping[str, bytes], *, salvage: bool) -> Content:
        """Return the activity; with `salvage` what precedes damage. Raises: DecodeError."""
        activity = _Activity()
        damage: str | None = None
        try:
            with fitdecode.FitReader(
                parts["activity"],
                check_crc=fitdecode.CrcCheck.RAISE,
                error_handling=fitdecode.ErrorHandling.RAISE,
            ) as reader:
                for frame in reader:
                    if isinstance(frame, fitdecode.FitDataMessage):
                        activity.take(frame)
        except (fitdecode.FitError, *PARSER_FAULTS) as exc:
            damage = f"damaged FIT: {exc}"
            if not salvage:
                raise DecodeError(f"{damage}; --salvage takes what precedes it") from exc
        return activity.content(damage)


@dataclass(slots=True)
class _Activity:
    """What the messages of a file add up to."""

    rows: Rows = field(default_factory=Rows)
    notes: dict[str, None] = field(default_factory=dict)
    cadences: list[tuple[int, dict[str, object]]] = field(default_factory=list)
    sports: list[tuple[int, int, str | None]] = field(default_factory=list)
    kind: str | None = None
    last_ns: int | None = None
    beat_ns: int | None = None
    dated: bool = True
    undated: int = 0

    def take(self, frame: fitdecode.FitDataMessage) -> None:
        """Take one message."""
        if frame.name not in ("record", "hrv", "hr", "session", "sport", "file_id"):
            return
        values = {f.name: f.value for f in frame.fields if f.value is not None and not _of_developer(f)}
        if frame.name == "record":
            self._record(values)
        elif frame.name == "hrv":
            self._beats(values.get("time"))
        elif frame.name == "hr":
            self._kept_heart_rates(frame, values)
        elif frame.name == "session":
            self._session(values)
        elif frame.name == "sport":
            self.kind = _kind(values)
        elif values.get("type") not in (None, "activity"):
            self.notes[f"a part of the file says that it is {values['type']}, not an activity"] = None

    def content(self, damage: str | None) -> Content:
        """Return all of it; cadence only now, because a file names its sport at its end."""
        for time_ns, values in self.cadences:
            self._cadence(time_ns, values)
        if self.undated and self.last_ns is None:
            raise DecodeError(f"none of its {self.undated} records has a time")
        if self.undated:
            self.notes[f"{self.undated} records without a date were left out"] = None
        return Content(
            series=self.rows.series(dated=self.dated), dated=self.dated, notes=tuple(self.notes), damage=damage
        )

    def _record(self, values: dict[str, object]) -> None:
        time_ns = self._time_ns(values.get("timestamp"))
        if time_ns is None:
            self.undated += 1
            return
        self.last_ns = time_ns
        get = {name: number(value) for name, value in values.items()}.get
        nan = math.nan
        self.rows.add("heart_rate", time_ns, get("heart_rate", nan))
        lat, lon = get("position_lat", nan) * _SEMICIRCLE_DEG, get("position_long", nan) * _SEMICIRCLE_DEG
        if not math.isnan(lat + lon):
            altitude_m = get("enhanced_altitude", get("altitude", nan))
            self.rows.add("location", time_ns, lat, lon, altitude_m, get("gps_accuracy", nan))
        self.rows.add("power", time_ns, get("power", nan), _left_share(values.get("left_right_balance")))
        self.rows.add("gait", time_ns, get("stance_time", nan), get("stance_time_balance", nan))
        self.cadences.append((time_ns, values))

    def _time_ns(self, moment: object) -> int | None:
        """Return a record's time, or None for one of another kind than the first: UTC, or s since the device's start.

        The profile calls a `date_time` below 0x10000000 the time since the device was turned on.
        """
        dated = isinstance(moment, datetime)
        if self.last_ns is None:
            self.dated = dated
        if dated != self.dated:
            return None
        if isinstance(moment, datetime):
            return ns_of(moment)
        return moment * NS_PER_S if isinstance(moment, int) else None

    def _cadence(self, time_ns: int, values: dict[str, object]) -> None:
        """Take speed, and cadence as the sport means it: of one leg on foot, of the cranks on a bicycle."""
        get = {name: number(value) for name, value in values.items()}.get
        nan = math.nan
        cadence = get("cadence", nan) + get("fractional_cadence", 0.0)
        kind = self._kind_at(time_ns)
        if kind is None and cadence > 0:
            self.notes["cadence was left out: the sport does not say of what it is"] = None
        steps_spm = 2 * cadence if kind == "steps" else nan
        speed_mps, distance_m = get("enhanced_speed", get("speed", nan)), get("distance", nan)
        self.rows.add("speed", time_ns, speed_mps, distance_m, steps_spm, get("step_length", nan) / 1000)
        if kind == "pedals":
            self.rows.add("cadence", time_ns, cadence)

    def _kind_at(self, time_ns: int) -> str | None:
        for start_ns, end_ns, kind in self.sports:
            if start_ns <= time_ns <= end_ns:
                return kind
        return self.sports[-1][2] if self.sports else self.kind

    def _session(self, values: dict[str, object]) -> None:
        start, end = values.get("start_time"), values.get("timestamp")
        if isinstance(start, datetime) and isinstance(end, datetime):
            self.sports.append((ns_of(start), ns_of(end), _kind(values)))
        else:
            self.kind = _kind(values)

    def _beats(self, given: object) -> None:
        """Take intervals (s), each ending where the next begins; tied to the records that stand around them."""
        intervals = [number(value) for value in (given if isinstance(given, tuple) else (given,))]
        intervals = [value for value in intervals if value > 0]
        if self.last_ns is None:
            self.undated += len(intervals)
            return
        length_ns = round(sum(intervals) * NS_PER_S)
        if self.beat_ns is None or abs(self.beat_ns + length_ns - self.last_ns) > _DRIFT_NS:
            self.beat_ns = max(self.last_ns - length_ns, self.beat_ns or 0)
        for interval_s in intervals:
            self.beat_ns += round(interval_s * 1000) * NS_PER_MS
            self.rows.add("rr", self.beat_ns, interval_s * 1000)

    def _kept_heart_rates(self, frame: fitdecode.FitDataMessage, values: dict[str, object]) -> None:
        """Take heart rates with times of their own, 1/1024 s (profile, message 132)."""
        given = values.get("filtered_bpm")
        rates = given if isinstance(given, tuple) else (given,)
        moments = [f.value for f in frame.fields if f.name == "event_timestamp" and isinstance(f.value, datetime)]
        first = values.get("timestamp")
        if isinstance(first, datetime) and len(rates) == 1:
            fraction_ns = round(number(values.get("fractional_timestamp", 0.0)) * NS_PER_S)
            self.rows.add("heart_rate", ns_of(first) + fraction_ns, number(rates[0]))
        elif len(moments) == len(rates):
            for moment, rate in zip(moments, rates, strict=True):
                self.rows.add("heart_rate", ns_of(moment), number(rate))


def _of_developer(given: fitdecode.types.FieldData) -> bool:
    return bool(getattr(given.field_def, "is_dev", False))


def _kind(values: dict[str, object]) -> str | None:
    """Return what cadence counts in a sport: "steps", "pedals", or nothing that we know."""
    named = {str(values.get("sport")), str(values.get("sub_sport"))}
    return "steps" if named & _STEPS else "pedals" if named & _PEDALS else None


def _left_share(balance: object) -> float:
    if not isinstance(balance, int) or not balance & _RIGHT_BIT:
        return math.nan
    return 100.0 - (balance & _SHARE_BITS)
