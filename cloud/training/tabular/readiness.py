"""`readiness`: what an athlete will answer next, so that an unusual answer stands out."""

from cloud.training.tabular.model import linear_regressor, trees_regressor
from cloud.training.tabular.task import Task
from shared.features.wellness import WELLNESS

_FEATURES = len(WELLNESS.features)

READINESS = Task(
    name="readiness",
    feature_set=WELLNESS,
    metric="mae_points",
    unit="points",
    span=9.0,
    zero="recent_readiness",
    categories=1,
    candidates={
        "gradient_boosting": trees_regressor(
            features=_FEATURES, categories=1, iterations=150, rate=0.04, leaves=8, least=40
        ),
        "ridge": linear_regressor(features=_FEATURES, categories=1, alpha=100.0),
    },
    new_groups=True,
    intended_use=(
        "Expects an athlete's next self-reported readiness (1 to 10) from their earlier reports and session loads, so "
        "that a sports scientist sees an answer that is unusual for this athlete and can check in with them. For the "
        "sports scientist's view only, off by default, with the athlete's agreement to share reports. Not a medical "
        "assessment; it ranks nobody and selects nobody."
    ),
)
