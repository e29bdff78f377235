"""The trajectory model from recordings to a checked ONNX file, small."""

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rich.console import Console  # noqa: E402

from cloud.datasets.scenes import Field  # noqa: E402
from cloud.settings import Layout  # noqa: E402
from cloud.training.export import OnnxModel, check_golden  # noqa: E402
from cloud.training.trajectory.export import (  # noqa: E402
    check_module_parity,
    check_parity,
    output_names,
    sample,
    to_int8,
    to_onnx,
    to_pt2,
    to_torchscript,
)
from cloud.training.trajectory.job import Asked, Source, run_trajectory  # noqa: E402
from cloud.training.trajectory.model import TrajectoryModel  # noqa: E402
from cloud.training.trajectory.settings import TrajectorySettings  # noqa: E402
from firmware_sim.export import export_positions  # noqa: E402
from firmware_sim.squad import SimulatedSession  # noqa: E402
from shared.clock import ManualClock  # noqa: E402
from shared.errors import ConfigError, ModelIncompatible  # noqa: E402
from shared.features.field import FIELD_GRAPH  # noqa: E402
from shared.features.registry import feature_set  # noqa: E402
from shared.features.team import HORIZON, TEAM_GRAPH  # noqa: E402
from shared.model_card import file_sha256, read_card  # noqa: E402
from tests.tracking_files import big_data_bowl  # noqa: E402

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(300)]
SMALL = TrajectorySettings(width=16, layers=1, heads=2, edge_width=8, edge_values=2, batch=32, steps=80, max_minutes=5)
UNTRACKED = Asked(track=False)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def squad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two minutes and a half of a simulated squad of 8."""
    path = tmp_path_factory.mktemp("squad") / "squad.parquet"
    session = SimulatedSession(athletes=8, seed=5)
    export_positions(session, path, seconds=150, name="sim-5", console=Console(quiet=True))
    return path


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return twelve games of two plays in the layout of the Big Data Bowl 2024."""
    return big_data_bowl(tmp_path_factory.mktemp("season"), weeks=range(1, 13))


@pytest.fixture(scope="module")
def exported(model: TrajectoryModel) -> bytes:
    """Return the model as an ONNX file."""
    return to_onnx(model, {"name": "trajectory"})


@pytest.fixture(scope="module")
def model() -> TrajectoryModel:
    """Return a model in which every weight takes part."""
    return _stirred(TrajectoryModel(SMALL, torch.full((2, 10, 20), 0.1), torch.linspace(0.1, 2.0, 20).repeat(2, 1)))


@pytest.fixture(scope="module")
def mixture() -> TrajectoryModel:
    """Return a model of a field with all outputs."""
    settings = msgspec.structs.replace(SMALL, inputs="field_graph@1", stem="conv", decoder="gmm", coverage=True)
    linear, spread = torch.full((2, 21, 40), 0.05), torch.linspace(0.1, 4.0, 40).repeat(2, 1)
    return _stirred(TrajectoryModel(settings, linear, spread, Field(length_m=109.728, width_m=48.768)))


def _stirred(made: TrajectoryModel) -> TrajectoryModel:
    torch.manual_seed(0)
    for part in made.parameters():
        torch.nn.init.normal_(part, std=0.1)
    return made.eval()


def test_export_when_sizes_differ_then_equals_torch(model: TrajectoryModel, exported: bytes) -> None:
    """At 1 to 8 graphs of 1 to 61 players, some masked, file and model agree; another model's file is refused."""
    assert check_parity(model, exported, seed=3) < 1e-4
    loaded = OnnxModel(exported)
    assert loaded.metadata == {"name": "trajectory"}
    for graphs, players in ((1, 1), (8, 61), (2, 7)):
        answer = loaded.run(sample(graphs, players, seed=9))
        assert {name: value.shape for name, value in answer.items()} == dict.fromkeys(
            ("offset", "sigma"), (graphs, players, HORIZON, 2)
        )
        assert all(np.isfinite(value).all() for value in answer.values())
        assert (answer["sigma"] > 0).all()
    assert str(Path(__file__).parents[2]).encode() not in exported
    model.temperature.mul_(2.0)
    with pytest.raises(ModelIncompatible, match="differs by"):
        check_parity(model, exported, seed=3)
    model.temperature.div_(2.0)


def test_export_when_model_has_a_field_and_modes_then_all_outputs_equal_torch(mixture: TrajectoryModel) -> None:
    """The mixture and the coverage head are in the file and agree at every size."""
    exported = to_onnx(mixture)
    assert check_parity(mixture, exported, seed=3) < 1e-3
    assert OnnxModel(exported).outputs == list(output_names(mixture))
    assert output_names(mixture) == ("offset", "sigma", "modes", "mode_sigma", "mode_logit", "coverage_logit")


def test_export_when_saved_as_pt2_or_torchscript_then_equals_torch(mixture: TrajectoryModel, tmp_path: Path) -> None:
    """Both files, read again, agree with the model at seven sizes."""
    exported = torch.export.load(to_pt2(mixture, tmp_path / "model.pt2")).module()
    assert check_module_parity(mixture, exported, seed=4) < 1e-3
    traced = torch.jit.load(to_torchscript(mixture, tmp_path / "model.pt"))
    assert check_module_parity(mixture, traced, seed=4) < 1e-3


def test_export_when_int8_then_smaller_and_near(exported: bytes) -> None:
    """Weights as int8 move no forecast far, and the file is smaller."""
    small = to_int8(exported)
    assert len(small) < len(exported)
    inputs = sample(8, 23, seed=2)
    full, rounded = OnnxModel(exported).run(inputs), OnnxModel(small).run(inputs)
    typical = np.abs(full["offset"]).mean()
    assert 0 < np.abs(full["offset"] - rounded["offset"]).mean() < 0.1 * typical


def test_export_when_backend_is_sparse_then_refused() -> None:
    """The sparse backend trains; it is not exported."""
    settings = msgspec.structs.replace(SMALL, backend="sparse")
    model = TrajectoryModel(settings, torch.zeros(2, 10, 20), torch.ones(2, 20))
    with pytest.raises(ModelIncompatible, match="only the dense backend"):
        to_onnx(model)


def test_train_when_run_on_a_small_squad_then_writes_a_card_that_fits(squad: Path, tmp_path: Path) -> None:
    """The whole job: fit, calibrate, measure, export, golden vectors; the card names seed, data and metrics."""
    clock = ManualClock(utc_ns=7)
    trained = run_trajectory(Layout(tmp_path), clock, Source(files=[squad]), SMALL, UNTRACKED)
    assert trained is not None
    card = read_card(trained.folder / "card.json")
    assert card == trained.card
    assert (card.name, card.version, card.seed, card.trained_ns) == ("trajectory", "1.0.0", SMALL.seed, 7)
    assert (card.inputs, card.outputs) == (["history", "team", "mask"], ["offset", "sigma"])
    feature_set(card.feature_set, card.feature_hash).check_names(card.name, card.inputs, card.outputs)
    assert card.sha256 == file_sha256(trained.folder / "model.onnx")
    assert check_golden((trained.folder / "model.onnx").read_bytes(), card) <= card.golden_tolerance
    assert card.golden[0].inputs["history"].shape == [1, 9, 11, 2]
    assert 0.0 < card.metrics["ade_1s_m"] < card.metrics["ade_2s_m"] < card.metrics["fde_2s_m"]
    assert {"ade_2s_m", "ridge_ade_2s_m"} <= card.baseline.keys()
    assert trained.parameters["steps_taken"] == SMALL.steps
    said = OnnxModel((trained.folder / "model.onnx").read_bytes()).metadata
    assert (said["feature_set"], said["feature_hash"]) == (TEAM_GRAPH.set_id, TEAM_GRAPH.schema_hash)
    assert json.loads(said["drift_deciles"])["speed_mps"][5] > 0
    assert json.loads(said["golden"])[0]["inputs"]["team"]["shape"] == [1, 9]


def test_train_when_games_are_in_a_public_layout_then_field_model_with_everything(season: Path, tmp_path: Path) -> None:
    """From files of a season to a model of the field, with its checkpoints, its other formats and its games named."""
    settings = msgspec.structs.replace(SMALL, inputs="field_graph@1", stem="conv", batch=8, validate_every=5)
    asked = Asked(track=False, max_epochs=1, torchscript=True, int8=True, onnx=tmp_path / "copy.onnx")
    trained = run_trajectory(Layout(tmp_path), ManualClock(), Source(folder=season), settings, asked)
    assert trained is not None
    assert trained.card.feature_set == FIELD_GRAPH.set_id
    assert {path.name for path in trained.folder.iterdir()} == {
        "card.json", "model.onnx", "model.int8.onnx", "model.torchscript.pt",
    }  # fmt: skip
    assert (tmp_path / "copy.onnx").read_bytes() == (trained.folder / "model.onnx").read_bytes()
    said = OnnxModel((trained.folder / "model.onnx").read_bytes()).metadata
    assert len(json.loads(said["training_games"])) >= 2
    assert {"ade_2s_m", "coverage80_2s"} <= trained.card.metrics.keys()  # no play lasts 4 s


def test_train_when_recording_is_too_short_then_refuses(
    squad: Path, tmp_path: Path, settings_of: Callable[..., TrajectorySettings]
) -> None:
    """Without moments to measure on, nothing is trained."""
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(squad).slice(0, 9 * 50), tmp_path / "short.parquet")
    short = Source(files=[tmp_path / "short.parquet"])
    with pytest.raises(ConfigError, match=r"short\.parquet: too little data"):
        run_trajectory(Layout(tmp_path), ManualClock(), short, settings_of(steps=1), UNTRACKED)


@pytest.fixture
def settings_of() -> Callable[..., TrajectorySettings]:
    """Change some settings."""
    return lambda **changes: msgspec.structs.replace(SMALL, **changes)
