"""`injury`: a trial of the road on reported injuries; no release of it is expected to pass the gate.

No published model of this kind holds out of time and out of team (Bullock 2022: 204 models, none externally
validated), and its number must not be shown to anybody: at four injuries in a hundred player-weeks nineteen of twenty
flags would be false. The task is here so that the gate is tried on a question that data like these cannot answer.
"""

from cloud.training.tabular.model import linear_classifier, trees_classifier
from cloud.training.tabular.task import Task, base_rate
from shared.features.wellness import REPORT_HISTORY

_FEATURES = len(REPORT_HISTORY.features)

INJURY = Task(
    name="injury",
    feature_set=REPORT_HISTORY,
    metric="brier",
    categories=1,
    candidates={
        "logistic": linear_classifier(features=_FEATURES, categories=1, strength=0.01),
        "gradient_boosting": trees_classifier(features=_FEATURES, categories=1, iterations=50),
    },
    fitted_bars=base_rate,
    new_groups=True,
    intended_use=(
        "None. Made to try the release gate: it must beat the plain base rate on later days and on athletes it never "
        "saw before it may leave this machine. Its output is not to be shown to a coach or an athlete, as a percentage "
        "or otherwise, and must not be used to select or rank anybody. Not a medical assessment."
    ),
)
