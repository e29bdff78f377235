"""The trajectory model from simulated squads to a checked ONNX file, small."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.console import Console  # noqa: E402

from cloud.settings import Layout  # noqa: E402
from cloud.training.export import OnnxModel, check_golden  # noqa: E402
from cloud.training.graph_export import OUTPUTS, check_parity, sample, to_onnx  # noqa: E402
from cloud.training.graph_job import run_trajectory  # noqa: E402
from cloud.training.graph_model import TrajectoryModel  # noqa: E402
from cloud.training.settings import TrajectorySettings  # noqa: E402
from firmware_sim.export import export_positions  # noqa: E402
from firmware_sim.squad import SimulatedSession  # noqa: E402
from shared.clock import ManualClock  # noqa: E402
from shared.errors import ModelIncompatible  # noqa: E402
from shared.features.registry import feature_set  # noqa: E402
from shared.features.team import HORIZON  # noqa: E402
from shared.model_card import file_sha256, read_card  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.slow]
SMALL = TrajectorySettings(width=16, layers=1, heads=2, edge_width=8, edge_values=2, batch=32, steps=80, max_minutes=5)


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two minutes and a half of a simulated squad of 8."""
    path = tmp_path_factory.mktemp("squad") / "squad.parquet"
    session = SimulatedSession(athletes=8, seed=5)
    export_positions(session, path, seconds=150, name="sim-5", console=Console(quiet=True))
    return path


@pytest.fixture(scope="module")
def model() -> TrajectoryModel:
    """Return a model in which every weight takes part."""
    torch.manual_seed(0)
    made = TrajectoryModel(SMALL, torch.full((2, 10, 20), 0.1), torch.linspace(0.1, 2.0, 20).repeat(2, 1))
    for part in made.parameters():
        torch.nn.init.normal_(part, std=0.2)
    return made.eval()


def test_export_when_sizes_differ_then_equals_torch(model: TrajectoryModel) -> None:
    """At 1 to 8 graphs of 1 to 61 players, some masked, file and model agree; another model's file is refused."""
    torch.set_num_threads(1)
    exported = to_onnx(model)
    assert check_parity(model, exported, seed=3) < 1e-4
    loaded = OnnxModel(exported)
    for graphs, players in ((1, 1), (8, 61), (2, 7)):
        answer = loaded.run(sample(graphs, players, seed=9))
        assert {name: answer[name].shape for name in OUTPUTS} == dict.fromkeys(OUTPUTS, (graphs, players, HORIZON, 2))
        assert all(np.isfinite(value).all() for value in answer.values())
        assert (answer["sigma"] > 0).all()
    assert str(Path(__file__).parents[2]).encode() not in exported
    model.temperature.mul_(2.0)
    with pytest.raises(ModelIncompatible, match="differs by"):
        check_parity(model, exported, seed=3)
    model.temperature.div_(2.0)


def test_train_when_run_on_a_small_squad_then_writes_a_card_that_fits(squad: Path, tmp_path: Path) -> None:
    """The whole job: fit, calibrate, measure, export, golden vectors; the card names seed, data and metrics."""
    trained = run_trajectory(Layout(tmp_path), ManualClock(utc_ns=7), [squad], SMALL, track=False)
    card = read_card(trained.folder / "card.json")
    assert card == trained.card
    assert (card.name, card.version, card.seed, card.trained_ns) == ("trajectory", "1.0.0", SMALL.seed, 7)
    assert (card.inputs, card.outputs) == (["history", "team", "mask"], ["offset", "sigma"])
    feature_set(card.feature_set, card.feature_hash)
    assert card.sha256 == file_sha256(trained.folder / "model.onnx")
    assert check_golden((trained.folder / "model.onnx").read_bytes(), card) <= card.golden_tolerance
    assert card.golden[0].inputs["history"].shape == [1, 9, 11, 2]
    assert 0.0 < card.metrics["ade_1s_m"] < card.metrics["ade_2s_m"] < card.metrics["fde_2s_m"]
    assert {"ade_2s_m", "ridge_ade_2s_m"} <= card.baseline.keys()
    assert trained.parameters["steps_taken"] == SMALL.steps


def test_train_when_recording_is_too_short_then_refuses(
    squad: Path, tmp_path: Path, settings_of: Callable[..., TrajectorySettings]
) -> None:
    """Without moments to measure on, nothing is trained."""
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(squad).slice(0, 9 * 50), tmp_path / "short.parquet")
    with pytest.raises(ModelIncompatible, match="too little data"):
        run_trajectory(Layout(tmp_path), ManualClock(), [tmp_path / "short.parquet"], settings_of(steps=1), track=False)


@pytest.fixture
def settings_of() -> Callable[..., TrajectorySettings]:
    """Change some settings."""
    return lambda **changes: msgspec.structs.replace(SMALL, **changes)
