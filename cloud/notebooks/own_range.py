"""An athlete's week beside their own weeks before, and in words: what, beside what, how sure.

Compared is only with the athlete's own past, never with others or with a fixed bound (Impellizzeri et al. 2020, "Time
to dismiss the acute:chronic workload ratio").
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WEEKS, FEWEST_WEEKS = 8, 4
"""The usual range is that of the last 8 weeks that are known well enough; of fewer than 4 nothing is said."""
BAND = (10.0, 90.0)
"""Percentiles between which a week is usual."""
MIN_RECORDED = 0.75
"""Share of the squad's sessions that must be recorded of somebody for a week to be known."""
MIN_REPORTS = 10
_FEWEST_POINTS = 1.0
"""A report on a whole-number scale moves by a point without meaning anything."""
NOT_MEDICAL = "Not a medical assessment."

Weekly = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnRange:
    """The band of an athlete's own known weeks, how many they are, and the share of sessions recorded in them."""

    low: float
    high: float
    weeks: int
    recorded: float


def own_range(amounts: Weekly, recorded: Weekly) -> OwnRange | None:
    """Return the range of earlier weeks [n], oldest first; None when too few are known.

    `recorded` [n] is the share 0..1 of the squad's sessions that were recorded of the athlete.
    """
    known = np.flatnonzero((recorded >= MIN_RECORDED) & np.isfinite(amounts))[-WEEKS:]
    if len(known) < FEWEST_WEEKS:
        return None
    low, high = np.percentile(amounts[known], BAND)
    return OwnRange(low=float(low), high=float(high), weeks=len(known), recorded=float(recorded[known].mean()))


def week_in_words(athlete: str, what: str, unit: str, amounts: Weekly, recorded: Weekly) -> str:
    """Return one sentence on the last of an athlete's weeks [n], oldest first."""
    usual = own_range(amounts[:-1], recorded[:-1])
    if usual is None or recorded[-1] < MIN_RECORDED or not np.isfinite(amounts[-1]):
        return f"{athlete}: {what}: data too sparse to say."
    now = amounts[-1]
    place = "above" if now > usual.high else "below" if now < usual.low else "within"
    change = "Unusual for this athlete. " if place != "within" else ""
    return (
        f"{athlete}: {what} {now:.3g} {unit} this week, {place} their usual {usual.low:.3g}–{usual.high:.3g} {unit} "
        f"({usual.weeks} weeks, {usual.recorded:.0%} of sessions recorded). {change}{NOT_MEDICAL}"
    )


def readiness_in_words(athlete: str, reports: NDArray[np.float64]) -> str:
    """Return one sentence on the last of an athlete's reports [n], oldest first, beside the mean of those before.

    Points are 1..10, NaN where nobody answered.
    """
    before = reports[:-1][np.isfinite(reports[:-1])]
    if not len(reports) or not np.isfinite(reports[-1]) or len(before) < MIN_REPORTS:
        return f"{athlete}: readiness: data too sparse to say."
    mean, spread, now = float(before.mean()), float(before.std(ddof=1)), float(reports[-1])
    low = now < mean - max(spread, _FEWEST_POINTS)
    ask = f" Check in with {athlete}." if low else ""
    return (
        f"{athlete}: reported {now:.0f}, own mean {mean:.1f} ± {spread:.1f} ({len(before)} reports).{ask} {NOT_MEDICAL}"
    )
