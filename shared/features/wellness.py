"""Feature sets on an athlete's daily reports and load: `wellness@1` (next report) and `report_history@1` (next week).

Both hold what was known the evening before the day they speak about, relative to the athlete's own past.
"""

from shared.features.base import FeatureSet, row_set

ANSWERS = ("readiness", "fatigue", "mood", "sleep_quality", "soreness", "stress", "sleep_duration")
"""Questions of a daily report; readiness 1..10, sleep_duration in hours, the others 1..5."""
RECENT = 7
"""Reports over which the recent mean fades (span of an exponential mean)."""
LOAD_DAYS = (1, 3, 7, 28)
_UNITS = {"sleep_duration": "h"}

_HISTORY = (
    *((f"last_{name}", _UNITS.get(name, "points")) for name in ANSWERS),
    *((f"recent_{name}", _UNITS.get(name, "points")) for name in ANSWERS),
    *((f"mean_{name}", _UNITS.get(name, "points")) for name in ANSWERS),
    ("readiness_sd", "points"),
    ("reports", "1"),
    ("days_since_report", "day"),
    *((f"load_{days}d", "AU") for days in LOAD_DAYS),
    ("squad_readiness_change", "points"),
    ("weekday", "code"),
)
_NOTE = (
    "from reports and session loads of earlier days only; recent: exponential mean, span 7 reports; mean, sd: all "
    "earlier reports; load: mean daily session-RPE load of the last days; squad_readiness_change: the others' mean of "
    "the last 3 days against their last 28; weekday 0 is Monday; NaN where unknown"
)
WELLNESS: FeatureSet = row_set("wellness@1", features=_HISTORY, note=_NOTE, model="readiness")
REPORT_HISTORY: FeatureSet = row_set(
    "report_history@1",
    features=_HISTORY,
    note=f"{_NOTE}; for the seven days that begin on the row's day",
    model="injury",
)
