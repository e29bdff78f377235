from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from cloud.datasets.task_rows import TaskRows, hold_out_later, make_task_rows
from cloud.training.tabular.explain import answers, permutation_importance, shap_values
from cloud.training.tabular.export import to_onnx
from cloud.training.tabular.fitting import fit_one
from cloud.training.tabular.strategy import STRATEGY
from shared.features.games import GAME_OUTCOME
from shared.features.occlusion import contributions, occluded

FEATURES = len(GAME_OUTCOME.features)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def rows(count: int = 400) -> TaskRows:
    """Return games that only the first feature decides."""
    rng = np.random.default_rng(6)
    features = rng.normal(0.0, 1.0, (count, FEATURES)).astype(np.float32)
    won = rng.random(count) < 1.0 / (1.0 + np.exp(-2.0 * features[:, 0]))
    made = make_task_rows(
        GAME_OUTCOME, group=np.arange(count) // 40, time_ns=np.arange(count), features=features,
        target=won.astype(float), bars={"elo": np.full(count, 0.5)},
    )  # fmt: skip
    return hold_out_later(made, share=0.3)


def test_shap_when_summed_then_gives_the_distance_from_the_backgrounds_mean() -> None:
    """SHAP values of a row add up to its log odds less the background's mean, and occlusion names the same feature."""
    data = rows()
    task = replace(STRATEGY, candidates={"logistic": STRATEGY.candidates["logistic"]})
    file = to_onnx(fit_one(task, "logistic", data, seed=0), features=FEATURES, name="strategy", metadata={})
    background, explained = data.features[:16], data.features[50:60]
    values = shap_values(file, explained, background, probability=True, seed=0)
    answer = answers(file, probability=True)
    assert np.allclose(values.sum(axis=1), answer(explained) - answer(background).mean(), atol=1e-4)
    occlusion = np.array([contributions(answer(occluded(row, background)), len(background)) for row in explained])
    # A linear model's two explanations are the same.
    assert np.allclose(occlusion, values, atol=1e-3)


def test_importance_when_one_feature_decides_then_it_comes_first_and_the_rest_near_nothing() -> None:
    """Shuffling what decides costs much, shuffling anything else little."""
    data = rows()
    found = permutation_importance(STRATEGY, fit_one(STRATEGY, "logistic", data, seed=0), data, seed=0)
    name, largest = next(iter(found.items()))
    assert name == "elo_log_odds"
    assert largest > 0.05
    assert max(value for other, value in found.items() if other != name) < largest / 5
