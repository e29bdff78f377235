"""`strategy`: how likely the first-named team wins, and `play_success`: how likely a play gains what it needs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.task_rows import TaskRows
from cloud.training.tabular.model import linear_classifier, trees_classifier
from cloud.training.tabular.task import Task, base_rate
from shared.features.games import GAME_OUTCOME
from shared.features.plays import PLAY_SUCCESS_ROWS

_FEATURES = len(GAME_OUTCOME.features)
_PLAY_FEATURES = len(PLAY_SUCCESS_ROWS.features)
_DISTANCES_YD = (2.5, 5.5, 8.5, 10.5)
_PRIOR_ROWS = 20.0

STRATEGY = Task(
    name="strategy",
    feature_set=GAME_OUTCOME,
    metric="brier",
    candidates={
        "logistic": linear_classifier(features=_FEATURES),
        "gradient_boosting": trees_classifier(features=_FEATURES),
    },
    groups_are="seasons",
    intended_use=(
        "States before a game how likely the first-named team is to win, beside the Elo probability, for analysts who "
        "plan a season. A draw counts as half. Learnt from results of one league; unusual line-ups are not known to "
        "it. It speaks about results, not about athletes, and no decision is left to it."
    ),
)


def situation_rates(training: TaskRows, rows: TaskRows) -> Mapping[str, NDArray[np.floating]]:
    """Return the training plays' rate of success: over all, and at the same down and distance (drawn to all by 20)."""
    overall = base_rate(training, rows)["base_rate"]
    known, asked = _situation(training), _situation(rows)
    expected = np.array(overall)
    for value in np.unique(asked):
        same = training.target[known == value]
        expected[asked == value] = (same.sum() + _PRIOR_ROWS * overall[0]) / (len(same) + _PRIOR_ROWS)
    return {"base_rate": overall, "down_and_distance": expected}


def _situation(rows: TaskRows) -> NDArray[np.int64]:
    distance = np.searchsorted(_DISTANCES_YD, rows.feature("yards_to_go"))
    return (rows.feature("down") * (len(_DISTANCES_YD) + 1) + distance).astype(np.int64)


PLAY_SUCCESS = Task(
    name="play_success",
    feature_set=PLAY_SUCCESS_ROWS,
    metric="brier",
    categories=1,
    candidates={
        "logistic": linear_classifier(features=_PLAY_FEATURES, categories=1, strength=0.05),
        "gradient_boosting": trees_classifier(features=_PLAY_FEATURES, categories=1, iterations=60),
    },
    fitted_bars=situation_rates,
    groups_are="games",
    intended_use=(
        "States before a snap how likely the play is to gain what it needs, beside the rate at that down and distance, "
        "for analysts who review games. It knows what both teams show, not what they call. It speaks about plays, not "
        "about athletes, and no decision is left to it."
    ),
)
