"""A session as it is exported: every reading once, in order, and what the metrics make of it."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.ids import AthleteId
from shared.metrics.base import Profile
from shared.metrics.registry import METRICS, MetricTracker
from shared.one_voice import one_voice
from shared.quantities import STREAMS
from shared.readings import Readings
from shared.roster import Roster, profile_of
from shared.windows import Window, Windower, merge

# Metrics give the same over windows of any length; long ones are fast.
_WINDOW_NS = 60 * NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Blocks by stream: one per athlete, sensor and origin, by time; athletes in order, nobody's last."""

    streams: Mapping[str, tuple[Readings, ...]]
    start_ns: int
    end_ns: int

    @property
    def athletes(self) -> tuple[AthleteId, ...]:
        """All athletes that have readings."""
        found = {block.athlete for blocks in self.streams.values() for block in blocks}
        return tuple(sorted(athlete for athlete in found if athlete is not None))

    def of(self, athlete: AthleteId) -> dict[str, Readings]:
        """Return one athlete's streams, each as one block in time order, of one sensor at a time."""
        mine = {
            stream: [block for block in blocks if block.athlete == athlete] for stream, blocks in self.streams.items()
        }
        return {stream: merge(one_voice(blocks, None)[0]) for stream, blocks in mine.items() if blocks}


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One value of one metric of one athlete; `value` is NaN where it cannot be said."""

    athlete: str
    number: int
    name: str
    metric: str
    title: str
    label: str
    value: float
    unit: str
    coverage: float
    quality: float


def gather(blocks: Iterable[Readings]) -> Session | None:
    """Return blocks, in whatever order they were stored, as a session; None when there is no reading."""
    parts: dict[tuple[str, str, str, str], list[Readings]] = defaultdict(list)
    for block in blocks:
        # "~" sorts after every id: readings of nobody come last.
        parts[block.stream, block.athlete or "~", block.sensor, block.origin].append(block)
    streams: dict[str, list[Readings]] = defaultdict(list)
    for key in sorted(parts):
        streams[key[0]].append(merge(parts[key]))
    if not streams:
        return None
    every = [block for members in streams.values() for block in members]
    return Session(
        streams={name: tuple(streams[name]) for name in STREAMS if name in streams},
        start_ns=min(int(block.time_ns[0]) for block in every),
        end_ns=max(int(block.time_ns[-1]) for block in every),
    )


def summarise(session: Session, roster: Roster) -> list[SummaryRow]:
    """Return every metric of every athlete of the roster, by shirt number."""
    described = {metric.metric_id: metric for metric in METRICS}
    rows: list[SummaryRow] = []
    for member in sorted(roster.athletes, key=lambda member: (member.team, member.number)):
        athlete = AthleteId(member.athlete)
        if athlete not in session.athletes:
            continue
        tracker = MetricTracker(profile_of(member, roster))
        for window in _windows(list(session.of(athlete).values())):
            tracker.update(window)
        for name, value in tracker.values(until_ns=session.end_ns).items():
            metric = described[name]
            for label, number in zip(metric.labels, value.values, strict=False):
                rows.append(
                    SummaryRow(athlete=athlete, number=member.number, name=member.name, metric=name,
                               title=metric.title, label=label, value=number, unit=metric.unit,
                               coverage=value.coverage, quality=value.quality)
                )  # fmt: skip
    return rows


def travelled(
    athlete: AthleteId, streams: Mapping[str, Readings], profile: Profile | None
) -> NDArray[np.float64] | None:
    """Return the metres that an athlete's positions add up to by the end of each second of all streams, by our metric.

    None where there are no positions.
    """
    positions = streams.get("position")
    if positions is None:
        return None
    first = min(int(block.time_ns[0]) for block in streams.values()) // NS_PER_S
    last = max(int(block.time_ns[-1]) for block in streams.values()) // NS_PER_S
    metric = next(metric for metric in METRICS if metric.metric_id.startswith("distance@"))
    state = metric.start(profile or _anybody(athlete))
    way_m = np.full(last - first + 1, np.nan)
    for window in _windows([positions], size_ns=NS_PER_S):
        state = metric.update(state, window)
        way_m[window.start_ns // NS_PER_S - first] = metric.value(state).value
    return way_m


def _anybody(athlete: AthleteId) -> Profile:
    """Return a profile for a metric of movement, which asks nothing of the heart."""
    return Profile(athlete=athlete, sex="m", hr_rest_bpm=60.0, hr_max_bpm=190.0)


def _windows(blocks: Sequence[Readings], size_ns: int = _WINDOW_NS) -> list[Window]:
    windower = Windower(size_ns=size_ns)
    return [*windower.push(*blocks), *windower.flush()]


def finite(value: float) -> float | None:
    """Return a number that can be written, None for NaN and infinity."""
    return value if math.isfinite(value) else None
