from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from threadpoolctl import threadpool_limits

from cloud.training.export import OnnxModel
from cloud.training.tabular.export import INPUT, OUTPUT, to_onnx
from cloud.training.tabular.model import (
    Folds,
    Maker,
    TabularModel,
    linear_classifier,
    linear_regressor,
    trees_classifier,
    trees_regressor,
)
from cloud.training.tabular.parity import check_parity, probes
from shared.errors import ModelIncompatible

FEATURES = 6
ROWS = 1200


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def table(*, gaps: bool = True) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return rows with gaps whose last column is a code, and a target that depends on number and code."""
    rng = np.random.default_rng(4)
    features = (rng.normal(0.0, 1.0, (ROWS, FEATURES)) * rng.uniform(0.1, 300.0, FEATURES)).astype(np.float32)
    features[:, -1] = rng.integers(0, 5, ROWS)
    effect = np.array([3.0, -2.0, 0.0, 4.0, -3.0])[features[:, -1].astype(int)]
    target = features[:, 0] / features[:, 0].std() + effect + rng.normal(0.0, 0.5, ROWS)
    if gaps:
        features[:, :-1][rng.random((ROWS, FEATURES - 1)) < 0.1] = np.nan
    return features, target.astype(np.float32)


def folds() -> Folds:
    parts = np.array_split(np.arange(ROWS), 3)
    return [(np.setdiff1d(np.arange(ROWS), part), part) for part in parts]


def exported(model: TabularModel) -> bytes:
    return to_onnx(model, features=FEATURES, name="made_up", metadata={"about": "a test"})


@pytest.mark.parametrize(
    ("maker", "probability"),
    [
        (trees_regressor(features=FEATURES, categories=1, iterations=60), False),
        (linear_regressor(features=FEATURES, categories=1), False),
        (trees_classifier(features=FEATURES, categories=1, iterations=60), True),
        (trees_classifier(features=FEATURES, iterations=60), True),
        (linear_classifier(features=FEATURES, categories=1), True),
    ],
)
def test_export_when_rows_have_gaps_and_codes_then_it_is_exact(maker: Maker, probability: bool) -> None:  # noqa: FBT001
    """Known, fresh, boundary and incomplete rows and codes never seen give what the trained model gives."""
    features, target = table()
    model = TabularModel(estimator=maker(0, folds()), probability=probability)
    model.fit(features, (target > 0).astype(np.float32) if probability else target)
    file = exported(model)
    assert check_parity(model, file, features, span=1.0 if probability else 10.0, seed=2, categories=1) < 1e-5
    loaded = OnnxModel(file)
    assert loaded.run({INPUT: features[:3]})[OUTPUT].shape == (3, 1)
    assert loaded.metadata["about"] == "a test"


def test_export_when_anchored_then_the_prediction_is_between_the_anchors() -> None:
    """A model of the share between two columns gives their unit back, in the file as in Python."""
    features, target = table(gaps=False)
    features[:, 1], features[:, 2] = 50.0, 190.0
    model = TabularModel(estimator=trees_regressor(features=FEATURES)(0, []), zero=1, full=2)
    share = (target - target.min()) / np.ptp(target)
    model.fit(features, 50.0 + share * 140.0)
    assert check_parity(model, exported(model), features, span=140.0, seed=2) < 1e-5
    assert np.abs(model.predict(features) - (50.0 + share * 140.0)).mean() < 10.0


def test_fit_when_a_column_is_never_known_then_trees_do_without_it() -> None:
    """A device that does not measure a quantity leaves its column empty; the others are learnt from."""
    features, target = table(gaps=False)
    features[:, 3] = np.nan
    model = TabularModel(estimator=trees_regressor(features=FEATURES)(0, [])).fit(features, target)
    assert np.abs(model.predict(features) - target).mean() < 0.6 * target.std()
    with_it = features.copy()
    with_it[:, 3] = 5.0
    assert np.array_equal(model.predict(with_it), model.predict(features))
    assert check_parity(model, exported(model), features, span=10.0, seed=2) < 1e-5


@pytest.mark.parametrize("kind", ["native categories", "forest with gaps", "poisson"])
def test_parity_when_the_converter_is_silently_wrong_then_refuses(kind: str) -> None:
    """What skl2onnx 1.20 is known to convert wrongly without a word does not get past the gate."""
    features, target = table()
    won = (target > 0).astype(np.float32)
    if kind == "native categories":
        model = TabularModel(estimator=HistGradientBoostingClassifier(max_iter=40, categorical_features=[5]))
        model.probability = True
    elif kind == "forest with gaps":
        model = TabularModel(estimator=RandomForestClassifier(20, max_depth=8, random_state=0), probability=True)
    else:
        model = TabularModel(estimator=HistGradientBoostingRegressor(max_iter=40, loss="poisson"))
        won = target - target.min()
    model.fit(features, won)
    with pytest.raises(ModelIncompatible, match=r"differs from the trained one|decides otherwise"):
        check_parity(model, exported(model), features, span=1.0, seed=2, categories=1)


def test_parity_when_calibrated_by_steps_then_refuses() -> None:
    """Isotonic steps fall on either side in float32: sigmoid calibration only."""
    features, target = table()
    trees = HistGradientBoostingClassifier(max_iter=60, early_stopping=False)
    model = TabularModel(estimator=CalibratedClassifierCV(trees, method="isotonic", cv=3), probability=True)
    model.fit(features, (target > 0).astype(np.float32))
    with pytest.raises(ModelIncompatible):
        check_parity(model, exported(model), features, span=1.0, seed=2, categories=1)


def test_probes_when_made_then_every_kind_is_there() -> None:
    """Nothing that differs between the two runtimes is left untried."""
    features, target = table()
    model = TabularModel(estimator=trees_regressor(features=FEATURES, categories=1)(0, [])).fit(features, target)
    found = probes(model, features, categories=1, seed=1)
    assert set(found) == {"known", "fresh", "single", "zero", "unknown value", "code never seen", "boundary"}
    assert np.isnan(found["unknown value"]).mean() > np.isnan(features).mean()
    assert not np.isin(found["code never seen"][:, -1], features[:, -1]).any()
