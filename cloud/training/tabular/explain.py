"""Which features a model leans on: permutation importance over many rows, SHAP values of single predictions.

Both speak about the model, never about causes in people (Bullock 2022).
"""

import os
import sys
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.task_rows import TaskRows
from cloud.training.export import OnnxModel
from cloud.training.tabular.export import INPUT, OUTPUT
from cloud.training.tabular.fitting import row_loss
from cloud.training.tabular.model import TabularModel
from cloud.training.tabular.task import Task
from shared.features.occlusion import log_odds

Rows = NDArray[np.float32]
_REPEATS = 5
_MAX_ROWS = 4000
_SHAP_ROUNDS = 4


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Per feature, on held-out rows: `importance` is by how much the row loss grows when the feature is shuffled;
    `mean_shap` is the mean |SHAP value| in `unit`, empty where SHAP was not asked for.
    """  # noqa: D205  the fields are the contract

    unit: str
    importance: dict[str, float]
    mean_shap: dict[str, float]


def permutation_importance(task: Task, model: TabularModel, rows: TaskRows, *, seed: int) -> dict[str, float]:
    """Return per feature the rise of the mean row loss when it is shuffled (Breiman 2001), the largest first."""
    rng = np.random.default_rng(seed)
    picked = rng.permutation(len(rows))[:_MAX_ROWS]
    chosen = rows.where(picked)
    before = row_loss(task, model.predict(chosen.features), chosen.target).mean()
    found = {}
    for column, (name, _) in enumerate(task.feature_set.features):
        rises = []
        for _ in range(_REPEATS):
            shuffled = chosen.features.copy()
            shuffled[:, column] = rng.permutation(shuffled[:, column])
            rises.append(row_loss(task, model.predict(shuffled), chosen.target).mean() - before)
        found[name] = float(np.mean(rises))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def shap_values(exported: bytes, rows: Rows, background: Rows, *, probability: bool, seed: int) -> NDArray[np.float64]:
    """Return SHAP values [n, F] of the exported file itself (Lundberg and Lee 2017, permutation estimate).

    They are in log odds for a probability, in the prediction's unit otherwise, and sum to the difference from the mean
    over `background` [k, F].
    """
    # Compiling takes 100 times longer than it would save on a few dozen rows. numba does not stand a change of mind.
    if "numba" not in sys.modules:
        os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    # Seconds of import, and numba with it: only when somebody asks.
    from shap.explainers import Permutation  # noqa: PLC0415
    from shap.maskers import Independent  # noqa: PLC0415

    answer = answers(exported, probability=probability)
    explainer = Permutation(answer, Independent(background, max_samples=len(background)), seed=seed)
    explained = explainer(rows, max_evals=_SHAP_ROUNDS * (2 * rows.shape[1] + 1), silent=True)
    values: NDArray[np.float64] = np.asarray(explained.values, np.float64)
    return values


def answers(exported: bytes, *, probability: bool) -> Callable[[Rows], NDArray[np.float64]]:
    """Return the file as a function from rows [n, F] to the numbers [n] that explanations add up to."""
    loaded = OnnxModel(exported)

    def answer(rows: Rows) -> NDArray[np.float64]:
        said = loaded.run({INPUT: np.ascontiguousarray(rows, np.float32)})[OUTPUT][:, 0].astype(np.float64)
        return log_odds(said) if probability else said

    return answer
