"""`activity_effort`: a heart rate now from movement up to now and a heart rate some seconds ago, on watches' files."""

from cloud.training.tabular.model import linear_regressor, trees_regressor
from cloud.training.tabular.task import Task
from shared.features.activity import ACTIVITY_EFFORT

_FEATURES = len(ACTIVITY_EFFORT.features)

ACTIVITY = Task(
    name="activity_effort",
    feature_set=ACTIVITY_EFFORT,
    metric="mae_bpm",
    unit="bpm",
    span=100.0,
    zero="hr_before",
    candidates={
        # Absolute loss: over ten seconds the likeliest change is none, and strap errors are large.
        "gradient_boosting": trees_regressor(
            features=_FEATURES, iterations=100, rate=0.05, leaves=6, least=100, loss="absolute_error"
        ),
        "ridge": linear_regressor(features=_FEATURES, alpha=100.0),
    },
    new_groups=True,
    groups_are="recordings",
    intended_use=(
        "Expects the heart rate (bpm) now from movement up to now and the heart rate 10 to 60 seconds ago, to bridge "
        "short losses of a strap's contact in reviews after a session and to show where a measured one is unusual for "
        "the effort. Learnt from watches, bicycle computers and actigraphs of the data set named here. Not a medical "
        "assessment; no decision is left to it."
    ),
)
