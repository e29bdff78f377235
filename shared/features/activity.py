"""`activity_effort@1`: recent movement and an earlier heart rate, from recordings of sports watches and actigraphs."""

from shared.features.base import FeatureSet, row_set

TAUS_S = (10.0, 30.0, 60.0, 120.0)
"""Time constants of the exponential means of movement."""
HORIZONS_S = (10, 30, 60)
"""How old the newest known heart rate is."""
MOVEMENT = (("speed", "1"), ("power", "1"), ("cadence", "1"), ("climb", "m/s"), ("counts", "1"))

ACTIVITY_EFFORT: FeatureSet = row_set(
    "activity_effort@1",
    features=(
        *((f"{name}_{tau:.0f}s", unit) for name, unit in MOVEMENT for tau in TAUS_S),
        *((f"{name}_change", unit) for name, unit in MOVEMENT),
        ("elapsed", "min"),
        ("hr_before", "bpm"),
        ("hr_before_change", "bpm"),
        ("hr_before_above_mean", "bpm"),
        ("hr_band_above_before", "bpm"),
        ("horizon", "s"),
    ),
    note=(
        "1 Hz; movement as a multiple of its own mean so far, climb in m/s; exponential means up to now; NAME_change: "
        "mean since the newest known heart rate less that of the 60 s before it; hr_before: heart rate `horizon` "
        "seconds ago, its change over the 30 s before that, and how far it is above its mean so far; "
        "hr_band_above_before: the mean so far at the effort of now less hr_before; NaN where a device does not "
        "measure a quantity"
    ),
    model="activity_effort",
)
