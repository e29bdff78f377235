"""A session of one athlete as a FIT activity: one record a second, beat intervals, one lap, one session."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.export.fit_bytes import ENUM, SINT32, UINT8, UINT16, UINT32, UINT32Z, Field, FitFile, Layout, fit_time
from shared.clock import NS_PER_S
from shared.readings import Quality, Readings

_HOLD_NS = 5 * NS_PER_S
_SEMICIRCLES_PER_DEG = 2**31 / 180
_RIGHT_BIT = 0x80
_BEATS_PER_MESSAGE = 5
_UNUSABLE = np.uint8(Quality.IMPLAUSIBLE | Quality.NO_CONTACT)
# Profile: file type, manufacturer "development", sports, activity "manual".
_ACTIVITY_FILE, _DEVELOPMENT, _MANUAL = 4, 255, 0
_GENERIC, _RUNNING, _CYCLING = 0, 1, 2
# One athlete's whole day; a longer span is two sessions, or a clock that was never set.
MAX_SECONDS = 48 * 3600

STREAMS = ("heart_rate", "rr", "speed", "cadence", "power", "gait", "location", "position")
"""The streams that a FIT activity can say something of."""

_TIME = Field(name="timestamp", number=253, base=UINT32)
FILE_ID = Layout(
    number=0,
    fields=(
        Field(name="type", number=0, base=ENUM),
        Field(name="manufacturer", number=1, base=UINT16),
        Field(name="product", number=2, base=UINT16),
        Field(name="serial_number", number=3, base=UINT32Z),
        Field(name="time_created", number=4, base=UINT32),
    ),
)
RECORD = Layout(
    number=20,
    fields=(
        _TIME,
        Field(name="position_lat", number=0, base=SINT32, scale=_SEMICIRCLES_PER_DEG),
        Field(name="position_long", number=1, base=SINT32, scale=_SEMICIRCLES_PER_DEG),
        Field(name="altitude", number=2, base=UINT16, scale=5, offset=500),
        Field(name="heart_rate", number=3, base=UINT8),
        Field(name="cadence", number=4, base=UINT8),
        Field(name="distance", number=5, base=UINT32, scale=100),
        Field(name="speed", number=6, base=UINT16, scale=1000),
        Field(name="power", number=7, base=UINT16),
        Field(name="left_right_balance", number=30, base=UINT8),
        Field(name="stance_time", number=41, base=UINT16, scale=10),
        Field(name="fractional_cadence", number=53, base=UINT8, scale=128),
        Field(name="stance_time_balance", number=84, base=UINT16, scale=100),
        Field(name="step_length", number=85, base=UINT16, scale=10),
    ),
)
HRV = Layout(number=78, fields=(Field(name="time", number=0, base=UINT16, scale=1000, count=_BEATS_PER_MESSAGE),))
_SPAN = (
    Field(name="start_time", number=2, base=UINT32),
    Field(name="total_elapsed_time", number=7, base=UINT32, scale=1000),
    Field(name="total_timer_time", number=8, base=UINT32, scale=1000),
    Field(name="total_distance", number=9, base=UINT32, scale=100),
)
LAP = Layout(number=19, fields=(_TIME, *_SPAN))
SESSION = Layout(
    number=18,
    fields=(
        _TIME,
        *_SPAN,
        Field(name="sport", number=5, base=ENUM),
        Field(name="avg_heart_rate", number=16, base=UINT8),
        Field(name="max_heart_rate", number=17, base=UINT8),
    ),
)
ACTIVITY = Layout(
    number=34,
    fields=(
        _TIME,
        Field(name="total_timer_time", number=0, base=UINT32, scale=1000),
        Field(name="num_sessions", number=1, base=UINT16),
        Field(name="type", number=2, base=ENUM),
    ),
)


@dataclass(slots=True)
class _Seconds:
    """Columns of one value a second, NaN where nothing is known."""

    first_ns: int
    count: int
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def put(self, name: str, block: Readings | None, quantity: str) -> None:
        """Sample a quantity: the last usable value of the 5 s up to the end of each second."""
        if block is None:
            return
        values = block.column(quantity)
        known = np.isfinite(values) & ((block.quality & _UNUSABLE) == 0)
        times, values = block.time_ns[known], values[known]
        if len(times):
            # A second stands for itself: what came in it belongs to it.
            ends = self.first_ns + (np.arange(self.count, dtype=np.int64) + 1) * NS_PER_S - 1
            last = np.searchsorted(times, ends, side="right") - 1
            fresh = (last >= 0) & (ends - times[last] < _HOLD_NS + NS_PER_S)
            self.columns[name] = np.where(fresh, values[last], np.nan)


def encode_fit(streams: dict[str, Readings], *, distance_m: NDArray[np.float64] | None = None) -> bytes | None:
    """Return one athlete's streams as a FIT file; None when they hold nothing that FIT has a field for.

    `distance_m` float64[seconds] is the way covered by the end of each second, where no device says it but positions.
    Raises: ValueError when they span more than MAX_SECONDS.
    """
    seconds = sample(streams)
    if seconds is None:
        return None
    columns = seconds.columns
    if distance_m is not None and "distance" not in columns:
        columns["distance"] = distance_m
        columns["speed"] = np.diff(distance_m, prepend=0.0)
    beats = streams.get("rr")
    known = np.isfinite(np.array(list(columns.values()))).any(axis=0) if columns else np.zeros(seconds.count, bool)
    if not known.any() and beats is None:
        return None
    file = FitFile()
    start = fit_time(seconds.first_ns)
    file.add(FILE_ID, {"type": _ACTIVITY_FILE, "manufacturer": _DEVELOPMENT, "product": 1, "time_created": start})
    intervals = _Intervals(beats)
    for index in range(seconds.count):
        intervals.write(file, seconds.first_ns + index * NS_PER_S)
        if known[index]:
            record = {name: float(column[index]) for name, column in columns.items()}
            file.add(RECORD, {"timestamp": start + index, **record})
    intervals.write(file, seconds.first_ns + seconds.count * NS_PER_S)
    _close(
        file, seconds, "steps" if _has(streams, "speed", "step_rate_spm") else "pedals" if "cadence" in streams else ""
    )
    return file.to_bytes()


def sample(streams: dict[str, Readings]) -> _Seconds | None:
    """Return what FIT has fields for, a value a second; None where there is nothing.

    Raises: ValueError when it spans more than MAX_SECONDS.
    """
    mine = [streams[name] for name in STREAMS if name in streams]
    if not mine:
        return None
    first_ns = min(int(block.time_ns[0]) for block in mine) // NS_PER_S * NS_PER_S
    count = (max(int(block.time_ns[-1]) for block in mine) - first_ns) // NS_PER_S + 1
    if count > MAX_SECONDS:
        raise ValueError(f"{count} seconds in one activity")
    seconds = _Seconds(first_ns=first_ns, count=count)
    get = streams.get
    for name, stream, quantity in (
        ("position_lat", "location", "lat_deg"),
        ("position_long", "location", "lon_deg"),
        ("altitude", "location", "altitude_m"),
        ("heart_rate", "heart_rate", "heart_rate_bpm"),
        ("distance", "speed", "distance_m"),
        ("speed", "speed", "speed_mps"),
        ("power", "power", "power_w"),
        ("stance_time", "gait", "contact_ms"),
        ("stance_time_balance", "gait", "left_percent"),
        ("step_length", "speed", "stride_m"),
        ("rpm", "cadence", "cadence_rpm"),
        ("steps", "speed", "step_rate_spm"),
        ("left", "power", "left_percent"),
    ):
        seconds.put(name, get(stream), quantity)
    _derive(seconds.columns)
    return seconds


def _derive(columns: dict[str, NDArray[np.float64]]) -> None:
    """Bring columns to what FIT means: cadence of one leg, whole and fraction; balance of the right; steps in mm."""
    steps, rpm = columns.pop("steps", None), columns.pop("rpm", None)
    cadence = steps / 2 if steps is not None else rpm
    if cadence is not None:
        columns["cadence"] = np.floor(cadence)
        columns["fractional_cadence"] = cadence - np.floor(cadence)
    left = columns.pop("left", None)
    if left is not None:
        columns["left_right_balance"] = np.round(100 - left) + _RIGHT_BIT
    if "step_length" in columns:
        columns["step_length"] = columns["step_length"] * 1000


class _Intervals:
    """Beat intervals, written between the records where they ended."""

    def __init__(self, block: Readings | None) -> None:
        self._times = np.empty(0, np.int64) if block is None else block.time_ns
        self._intervals_s = np.empty(0) if block is None else block.column("rr_ms") / 1000
        self._next = 0

    def write(self, file: FitFile, until_ns: int) -> None:
        """Write the intervals that ended before a time."""
        end = int(np.searchsorted(self._times, until_ns))
        while self._next < end:
            stop = min(end, self._next + _BEATS_PER_MESSAGE)
            file.add(HRV, {"time": [float(value) for value in self._intervals_s[self._next : stop]]})
            self._next = stop


def _has(streams: dict[str, Readings], stream: str, quantity: str) -> bool:
    return stream in streams and bool(np.isfinite(streams[stream].column(quantity)).any())


def _close(file: FitFile, seconds: _Seconds, kind: str) -> None:
    start, length_s = fit_time(seconds.first_ns), seconds.count - 1
    distance = seconds.columns.get("distance", np.empty(0))
    distance = distance[np.isfinite(distance)]
    rates = seconds.columns.get("heart_rate", np.empty(0))
    rates = rates[np.isfinite(rates)]
    span: dict[str, float] = {
        "timestamp": start + length_s,
        "start_time": start,
        "total_elapsed_time": length_s,
        "total_timer_time": length_s,
        "total_distance": float(distance[-1] - distance[0]) if len(distance) else math.nan,
    }
    file.add(LAP, span)
    sport = {"steps": _RUNNING, "pedals": _CYCLING}.get(kind, _GENERIC)
    hearts = {"avg_heart_rate": float(rates.mean()), "max_heart_rate": float(rates.max())} if len(rates) else {}
    file.add(SESSION, {**span, "sport": sport, **hearts})
    file.add(
        ACTIVITY, {"timestamp": start + length_s, "total_timer_time": length_s, "num_sessions": 1, "type": _MANUAL}
    )
