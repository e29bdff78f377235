from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from cloud.datasets.card import DatasetCard, rows_digest
from cloud.datasets.rows import EffortRows
from cloud.registry.release import check_releasable
from cloud.settings import Layout
from cloud.training.artifacts import MODEL_FILE, Artifacts, Trained
from cloud.training.export import OnnxModel, check_golden
from cloud.training.tabular.effort import EFFORT, task_rows
from cloud.training.tabular.export import INPUT, OUTPUT, to_onnx
from cloud.training.tabular.fitting import fit, fit_one
from cloud.training.tabular.model import TabularModel
from cloud.training.tabular.parity import check_parity
from cloud.training.tabular.road import train
from shared.clock import ManualClock
from shared.errors import ModelIncompatible
from shared.features.athlete import ATHLETE_EFFORT
from shared.model_card import file_sha256, read_card

Rows = Callable[..., EffortRows]
FEATURES = len(ATHLETE_EFFORT.features)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def card_of(rows: EffortRows) -> DatasetCard:
    return DatasetCard(
        name="effort",
        version="3",
        digest=rows_digest(rows),
        feature_set=ATHLETE_EFFORT.set_id,
        feature_hash=ATHLETE_EFFORT.schema_hash,
        query="made up",
        split="",
        rows=len(rows),
        held_out_rows=int(rows.held_out.sum()),
        athletes=len(np.unique(rows.athlete)),
        held_out_athletes=len(rows.held_out_athletes),
        sessions=1,
    )


def exported(model: TabularModel) -> bytes:
    return to_onnx(model, features=FEATURES, name="effort", metadata={})


def train_effort(rows: EffortRows, artifacts: Artifacts, clock: ManualClock) -> Trained:
    return train(EFFORT, task_rows(rows), card_of(rows), artifacts=artifacts, clock=clock, seed=0, explain=False)


@pytest.mark.parametrize("name", sorted(EFFORT.candidates))
def test_export_when_converted_then_equals_the_trained_model(rows: Rows, name: str) -> None:
    """On known, fresh, single and edge rows the file and scikit-learn agree to a hundred-thousandth of the range."""
    data = rows()
    model = fit_one(EFFORT, name, task_rows(data), seed=0)
    file = exported(model)
    assert check_parity(model, file, data.features, span=EFFORT.span, seed=5) < 1e-5
    answer = OnnxModel(file).run({INPUT: data.features[:3]})[OUTPUT]
    assert answer.shape == (3, 1)
    assert answer.dtype == np.float32


def test_parity_when_another_model_was_exported_then_refuses(rows: Rows) -> None:
    """A file that differs from the trained model is no export of it."""
    data = rows()
    model = fit_one(EFFORT, "ridge", task_rows(data), seed=0)
    other = EFFORT.make("ridge", 0, []).fit(data.features, data.hr_bpm + 1.0)
    with pytest.raises(ModelIncompatible, match="differs from the trained one"):
        check_parity(model, exported(other), data.features, span=EFFORT.span, seed=5)


def test_parity_when_trees_are_scaled_then_the_gate_can_see_it(rows: Rows) -> None:
    """Scaling before trees is a known silent error of the converter; known rows lie on the trees' edges and show it."""
    data = rows(athletes=20, seconds=120)
    trees = HistGradientBoostingRegressor(max_iter=100, min_samples_leaf=1, max_leaf_nodes=63, early_stopping=False)
    model = TabularModel(estimator=make_pipeline(StandardScaler(), trees)).fit(data.features, data.hr_bpm)
    with pytest.raises(ModelIncompatible, match="rows"):
        check_parity(model, exported(model), data.features, span=EFFORT.span, seed=5)


def test_fit_when_repeated_then_gives_the_same_model(rows: Rows) -> None:
    """The same rows and seed give the same bytes."""
    first, second = (exported(fit(EFFORT, task_rows(rows()), seed=3).model) for _ in range(2))
    assert first == second


def test_train_when_data_is_enough_then_writes_a_model_its_card_speaks_of(rows: Rows, tmp_path: Path) -> None:
    """The card names data, features, thresholds, metrics beside a baseline, and golden vectors that the file gives."""
    data, artifacts = rows(), Artifacts(Layout(tmp_path))
    trained = train_effort(data, artifacts, ManualClock(utc_ns=5))
    assert trained.folder == tmp_path / "models" / EFFORT.name / "1.0.0"
    card, model = read_card(trained.folder / "card.json"), trained.folder / MODEL_FILE
    assert card == trained.card
    assert card.sha256 == file_sha256(model)
    assert (card.data_set, card.data_digest, card.trained_ns) == ("effort@3", rows_digest(data), 5)
    assert card.metrics["mae_bpm"] < card.baseline["mae_bpm"]
    assert card.metrics["mae_low_bpm"] <= card.metrics["mae_bpm"] <= card.metrics["mae_high_bpm"]
    assert card.thresholds["unusual_residual"] == 2.5
    assert card.golden[0].inputs[INPUT].shape == [8, len(ATHLETE_EFFORT.features)]
    assert check_golden(model.read_bytes(), card) <= card.golden_tolerance
    check_releasable(card, model.read_bytes())
    again = train_effort(data, artifacts, ManualClock(utc_ns=6))
    assert again.card.version == "1.0.1"
    assert again.card.sha256 == card.sha256


@pytest.mark.parametrize(("athletes", "seconds"), [(3, 200), (10, 15)])
def test_train_when_data_is_too_little_then_refuses(rows: Rows, tmp_path: Path, athletes: int, seconds: int) -> None:
    """Below 200 rows or 4 athletes nothing is trained, and the message says what is missing."""
    data = rows(athletes=athletes, seconds=seconds)
    with pytest.raises(ModelIncompatible, match="needed are 200 rows and 4 athletes"):
        train_effort(data, Artifacts(Layout(tmp_path)), ManualClock())
    assert not list(tmp_path.rglob(MODEL_FILE))


def test_release_check_when_model_is_no_better_than_its_baseline_then_refuses(rows: Rows, tmp_path: Path) -> None:
    """A model that learnt nothing stays saved and is not released."""
    data = rows(noise_bpm=200.0)
    trained = train_effort(data, Artifacts(Layout(tmp_path)), ManualClock())
    assert (trained.folder / MODEL_FILE).exists()
    with pytest.raises(ModelIncompatible, match="not better than its baseline"):
        check_releasable(trained.card, (trained.folder / MODEL_FILE).read_bytes())
