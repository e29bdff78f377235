"""What the gateway knows of one athlete now: newest values, session totals, model inputs."""

import math
from collections import deque
from dataclasses import dataclass, field

from edge.messages import Cause, MetricNow, Tile
from edge.pipeline.session_metrics import SessionMetrics
from shared.clock import NS_PER_S
from shared.features import athlete as effort
from shared.metrics.base import Profile
from shared.metrics.heart import ZoneSeconds, zone_of
from shared.metrics.motion import HIGH_SPEED_BAND, SPRINT_BAND, SpeedBandDistance
from shared.metrics.trace import MAX_SPEED_MPS
from shared.metrics.trimp import BanisterTrimp
from shared.one_voice import Voice, one_voice
from shared.readings import Quality, Readings
from shared.windows import Window

TRACE_S = 60
HEART_LOST_NS = 10 * NS_PER_S
_SPEED_SPAN_NS = NS_PER_S // 2
# Of a block, no more readings than this can still be seen: the trace holds a minute of one a second.
_SHOWN_READINGS = TRACE_S
_DIGITS, _SHARE_DIGITS = 3, 5
_IMPLAUSIBLE = int(Quality.IMPLAUSIBLE)
_SHOWN = frozenset({"heart_rate", "position"})
_Row = tuple[int, int, list[float]]
"""Time (ns), sequence and values of a reading."""


@dataclass(slots=True)
class AthleteLive:
    """One athlete's live state; `plan_m` is the distance planned for the session."""

    profile: Profile
    plan_m: float
    hr_bpm: float | None = None
    hr_ns: int | None = None
    hr_seq: int | None = None
    contact: bool | None = None
    speed_mps: float | None = None
    position_ns: int | None = None
    position_seq: int | None = None
    effort_bpm: float | None = None
    effort_residual: float | None = None
    unusual: bool = False
    attention: str | None = None
    attention_cause: Cause | None = None
    path: deque[tuple[int, float, float]] = field(default_factory=lambda: deque(maxlen=16))
    trace: dict[int, float] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    zone_s: list[float] | None = None
    coverage: float | None = None
    voices: dict[str, Voice | None] = field(default_factory=dict)
    metrics: SessionMetrics = field(init=False)
    effort_state: effort.EffortState = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = SessionMetrics(self.profile)
        self.effort_state = effort.start(self.profile)

    def take(self, block: Readings) -> bool:
        """Take the newest readings of a block that has just come, of one sensor at a time as the metrics do.

        Return whether the tile may look different now.
        """
        stream = block.stream
        if stream not in _SHOWN:
            return False
        spoken, self.voices[stream] = one_voice((block,), self.voices.get(stream))
        if not spoken:
            return False
        block = spoken[0]
        take = self._take_positions if stream == "position" else self._take_heart_rates
        if len(block) == 1:  # live, most blocks
            if not block.quality.item(0) & _IMPLAUSIBLE:
                take([(block.time_ns.item(0), block.sequence.item(0), block.values[0].tolist())])
            return True
        newest = slice(-_SHOWN_READINGS, None)
        rows = zip(
            block.time_ns[newest].tolist(),
            block.sequence[newest].tolist(),
            block.values[newest].tolist(),
            block.quality[newest].tolist(),
            strict=True,
        )
        take([row[:3] for row in rows if not row[3] & _IMPLAUSIBLE])
        return True

    def close(self, window: Window) -> None:
        """Take a window that has closed: totals and model inputs move on."""
        self.metrics.update(window)
        self.feel(window)

    def feel(self, window: Window) -> None:
        """Move the model's inputs on by a window of a second."""
        self.effort_state = effort.update(self.effort_state, window)

    def refresh_totals(self, until_ns: int) -> None:
        """Read the session totals; coverage is that of the streams that this athlete has."""
        zones, trimp, bands = (
            value if value is not None and value.coverage else None
            for value in (
                self.metrics.value(metric.metric_id, until_ns=until_ns)
                for metric in (ZoneSeconds, BanisterTrimp, SpeedBandDistance)
            )
        )
        self.zone_s = None if zones is None else [round(seconds, 1) for seconds in zones.values]
        totals: dict[str, float] = {}
        if trimp is not None:
            totals["trimp"] = trimp.value
        if bands is not None:
            totals["distance_m"] = sum(bands.values)
            totals["high_speed_m"] = sum(bands.values[HIGH_SPEED_BAND:])
            totals["sprint_m"] = bands.values[SPRINT_BAND]
        # Digits that nobody sees are bytes on the air and work to write and to compress, for every tablet.
        self.totals = {name: round(total, _DIGITS) for name, total in totals.items()}
        covered = [value.coverage for value in (zones, bands) if value is not None]
        self.coverage = round(min(covered), _SHARE_DIGITS) if covered else None

    def metrics_now(self, until_ns: int) -> list[MetricNow]:
        """Return every metric of the session so far, null where a value cannot be said."""
        return [
            MetricNow(
                metric=metric_id,
                values=[None if math.isnan(one) or not value.coverage else one for one in value.values],
                coverage=value.coverage,
                quality=value.quality,
                notes=list(value.notes),
            )
            for metric_id, value in self.metrics.values(until_ns=until_ns).items()
        ]

    def fresh_heart_rate(self, now_ns: int) -> float | None:
        """Return the heart rate if it is not lost."""
        if self.hr_ns is None or now_ns - self.hr_ns > HEART_LOST_NS or self.contact is False:
            return None
        return self.hr_bpm

    def tile(self, *, trace_until_ns: int | None = None) -> Tile:
        """Return the tile; with `trace_until_ns` it carries the last 60 s of heart rate."""
        distance_m = self.totals.get("distance_m")
        trace = None
        if trace_until_ns is not None:
            last = trace_until_ns // NS_PER_S
            trace = [self.trace.get(second) for second in range(last - TRACE_S + 1, last + 1)]
        return Tile(
            athlete=self.profile.athlete,
            hr_bpm=self.hr_bpm,
            hr_ns=self.hr_ns,
            hr_seq=self.hr_seq,
            contact=self.contact,
            zone=None if self.hr_bpm is None else zone_of(self.hr_bpm, self.profile.hr_max_bpm),
            speed_mps=self.speed_mps,
            position_ns=self.position_ns,
            position_seq=self.position_seq,
            distance_m=distance_m,
            high_speed_m=self.totals.get("high_speed_m"),
            sprint_m=self.totals.get("sprint_m"),
            trimp=self.totals.get("trimp"),
            zone_s=self.zone_s,
            plan_percent=None if distance_m is None else round(100.0 * distance_m / self.plan_m, _DIGITS),
            coverage=self.coverage,
            effort_bpm=self.effort_bpm,
            effort_residual=self.effort_residual,
            unusual=self.unusual,
            attention=self.attention,
            attention_cause=self.attention_cause,
            trace_bpm=trace,
        )

    def _take_heart_rates(self, rows: list[_Row]) -> None:
        for time_ns, sequence, values in rows:
            if time_ns < (self.hr_ns or 0):
                continue
            self.contact = None if math.isnan(values[1]) else bool(values[1])
            if self.contact is not False:
                self.hr_bpm, self.hr_ns, self.hr_seq = values[0], time_ns, sequence
                self._remember(time_ns // NS_PER_S, self.hr_bpm)

    def _take_positions(self, rows: list[_Row]) -> None:
        moved, newest_ns = False, self.position_ns or 0
        for time_ns, sequence, values in rows:
            if time_ns >= newest_ns:
                self.position_ns = newest_ns = time_ns
                self.position_seq = sequence
                self.path.append((time_ns, values[0], values[1]))
                moved = True
        if moved:
            self.speed_mps = self._speed()

    def _speed(self) -> float | None:
        """Return the mean speed over the last half second of path, or None without one."""
        end_ns, x_m, y_m = self.path[-1]
        for time_ns, from_x_m, from_y_m in self.path:
            if end_ns - time_ns <= _SPEED_SPAN_NS:
                seconds = (end_ns - time_ns) / NS_PER_S
                if seconds < 0.05:
                    return None
                speed_mps = math.hypot(x_m - from_x_m, y_m - from_y_m) / seconds
                return round(speed_mps, _DIGITS) if speed_mps <= MAX_SPEED_MPS else None
        return None

    def _remember(self, second: int, heart_rate_bpm: float) -> None:
        self.trace[second] = heart_rate_bpm
        if len(self.trace) > 2 * TRACE_S:
            self.trace = {s: bpm for s, bpm in self.trace.items() if s > second - TRACE_S}
