"""How far the heart rate falls in the minute after an effort."""

from dataclasses import dataclass
from statistics import median

from shared.clock import NS_PER_S
from shared.metrics.base import Profile
from shared.metrics.fold import Folded, FoldMetric
from shared.metrics.held import HEART, HOLD_RULE, HOLD_S, Held

EFFORT_SHARE = 0.85
EFFORT_S = 10.0
_AFTER_NS = 60 * NS_PER_S
_AROUND_NS = 2 * NS_PER_S
_HOLD_NS = round(HOLD_S * NS_PER_S)
_EFFORT_NS = round(EFFORT_S * NS_PER_S)
_NONE = "no effort above 85 % of HRmax for 10 s with a minute after it"

Beat = tuple[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """The effort under way, the end of one that is being watched, and the last result.

    `recent` are the readings of the last 2 s. `near` and `after` are those around the watched end and a minute later.
    """

    since_ns: int | None = None
    latest_ns: int = 0
    recent: tuple[Beat, ...] = ()
    end_ns: int | None = None
    near: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    fall_bpm: float = float("nan")


def follow(state: Recovery, time_ns: int, heart_rate_bpm: float, threshold_bpm: float) -> Recovery:
    """Return the state after one reading."""
    since_ns, end_ns, near, after, fall = state.since_ns, state.end_ns, state.near, state.after, state.fall_bpm
    recent = tuple(beat for beat in state.recent if beat[0] >= time_ns - 2 * _AROUND_NS)
    over = heart_rate_bpm > threshold_bpm
    if since_ns is not None and (not over or time_ns - state.latest_ns > _HOLD_NS):
        if state.latest_ns - since_ns >= _EFFORT_NS:
            end_ns, after = state.latest_ns, ()
            near = tuple(bpm for at_ns, bpm in state.recent if at_ns >= end_ns - _AROUND_NS)
        since_ns = None
    if over:
        since_ns = time_ns if since_ns is None else since_ns
        end_ns = None  # the effort goes on: its end is still to come
    if end_ns is not None:
        if time_ns <= end_ns + _AROUND_NS:
            near = (*near, heart_rate_bpm)
        elif time_ns > end_ns + _AFTER_NS + _AROUND_NS:
            fall = median(near) - median(after) if after else fall
            end_ns = None
        elif time_ns >= end_ns + _AFTER_NS - _AROUND_NS:
            after = (*after, heart_rate_bpm)
    return Recovery(
        since_ns=since_ns,
        latest_ns=time_ns if over else state.latest_ns,
        recent=(*recent, (time_ns, heart_rate_bpm)),
        end_ns=end_ns,
        near=near,
        after=after,
        fall_bpm=fall,
    )


class HeartRateRecovery(FoldMetric[Held, Recovery]):
    """Fall of the heart rate in the minute after the last effort that had one."""

    metric_id = "hr_recovery_60s@1"
    title = "Heart-rate recovery"
    decimals = 0
    cut = HEART
    streams = ("heart_rate",)
    needs = ("hr_max_bpm",)
    rules = (
        "end = last reading above 85 % of HRmax after at least 10 s above it; both heart rates are medians over ±2 s; "
        f"void when the effort resumes within the minute; the latest counts; {HOLD_RULE}"
    )
    source = "Cole 1999; Daanen 2012"
    unit = "bpm"
    labels = ("fall",)
    formula = "HR(end) − HR(end + 60 s)"

    def begin(self, profile: Profile) -> Recovery:  # noqa: ARG002  the same for everybody
        """Return the state before any reading."""
        return Recovery()

    def add(self, total: Recovery, piece: Held, profile: Profile) -> Recovery:
        """Return the state after the piece's readings."""
        threshold_bpm = EFFORT_SHARE * profile.hr_max_bpm
        for time_ns, rate in zip(piece.times_ns.tolist(), piece.values[:, 0].tolist(), strict=True):
            total = follow(total, time_ns, rate, threshold_bpm)
        return total

    def tell(self, folded: Folded[Held, Recovery]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Return the fall, or why there is none."""
        fall = folded.total.fall_bpm
        return (fall,), (_NONE,) * (fall != fall)  # noqa: PLR0124  NaN

    def quality(self, folded: Folded[Held, Recovery]) -> float:
        """Return the share of sound readings; none is while HRmax is estimated."""
        return 0.0 if folded.profile.hr_max_estimated else super().quality(folded)
