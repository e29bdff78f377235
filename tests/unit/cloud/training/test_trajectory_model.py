"""The model's symmetries, its linear part, its losses, its spread."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cloud.datasets.positions import Recording  # noqa: E402
from cloud.datasets.scenes import Scenes  # noqa: E402
from cloud.training.trajectory.augment import draw_turns  # noqa: E402
from cloud.training.trajectory.linear import fit_linear  # noqa: E402
from cloud.training.trajectory.losses import changes, distance, gaussian_nll, loss  # noqa: E402
from cloud.training.trajectory.measure import REGION, calibrate, coverage, evaluate  # noqa: E402
from cloud.training.trajectory.model import TrajectoryModel  # noqa: E402
from cloud.training.trajectory.moments import GraphBatch, of_recordings, of_scenes  # noqa: E402
from cloud.training.trajectory.settings import TrajectorySettings, read_config  # noqa: E402
from shared.errors import ConfigError  # noqa: E402
from shared.features.field import FIELD_GRAPH  # noqa: E402

pytestmark = pytest.mark.train
SMALL = TrajectorySettings(width=16, layers=1, heads=2, edge_width=8, edge_values=2, batch=16, steps=5, max_minutes=5)
Make = Callable[..., Recording]
every_backend = pytest.mark.parametrize(
    "changes", [{}, {"stem": "conv"}, {"backend": "sparse"}, {"backend": "sparse", "layer": "transformer"}]
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def small_model(changes: dict[str, object] | None = None) -> TrajectoryModel:
    """Return a model whose head is not zero any more, so that everything takes part."""
    settings = msgspec.structs.replace(SMALL, **(changes or {}))
    return _stirred(TrajectoryModel(settings, torch.full((2, 10, 20), 0.1), torch.linspace(0.1, 2.0, 20).repeat(2, 1)))


def field_model(scenes: Scenes, **changes: object) -> TrajectoryModel:
    """Return a model with the inputs of a field."""
    settings = msgspec.structs.replace(SMALL, inputs="field_graph@1", stem="conv", **changes)
    linear, spread = torch.full((2, 21, 40), 0.05), torch.linspace(0.1, 4.0, 40).repeat(2, 1)
    return _stirred(TrajectoryModel(settings, linear, spread, scenes.field))


def _stirred(model: TrajectoryModel) -> TrajectoryModel:
    for part in model.parameters():
        torch.nn.init.normal_(part, std=0.2)
    return model.eval()


def run(model: TrajectoryModel, batch: GraphBatch, **changes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return offset and sigma of a batch with some of it exchanged."""
    given = batch._replace(**changes)
    answer = model(given.history, given.role, given.team, given.mask)
    return answer.offset, answer.sigma


@every_backend
def test_model_when_field_is_moved_then_offsets_stay(recording: Make, changes: dict[str, object]) -> None:
    """Only differences of positions count; who is masked is told to stay."""
    batch = of_recordings([recording()]).gather(np.arange(4))
    model = small_model(changes)
    mask = batch.mask.clone()
    mask[:, 1] = 0.0
    first = run(model, batch, mask=mask)
    moved = run(model, batch, history=batch.history + torch.tensor([40.0, -25.0]), mask=mask)
    for before, after in zip(first, moved, strict=True):
        torch.testing.assert_close(before[mask > 0], after[mask > 0], atol=2e-3, rtol=1e-3)
    assert not first[0][:, 1].any()
    assert (first[1] > 0).all()


@every_backend
def test_model_when_players_are_masked_reordered_or_teams_exchanged_then_others_are_told_the_same(
    recording: Make, changes: dict[str, object]
) -> None:
    """A masked player says nothing to anybody, the order of players and the names of teams mean nothing."""
    batch = of_recordings([recording(players=5)]).gather(np.arange(3))
    model = small_model(changes)
    mask = batch.mask.clone()
    mask[:, 2] = 0.0

    def of(rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return run(model, GraphBatch(*(v[:, rows] for v in batch[:6]), batch.coverage), mask=mask[:, rows])

    here, order = [0, 1, 3, 4, 5], [5, 3, 0, 1, 4]
    offset, sigma = run(model, batch, mask=mask)
    fewer, fewer_sigma = of(here)
    torch.testing.assert_close(offset[:, here], fewer, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sigma[:, here], fewer_sigma, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(offset[:, order], of(order)[0], atol=1e-5, rtol=1e-4)
    exchanged = torch.where(batch.team >= 0, 1.0 - batch.team, batch.team)
    torch.testing.assert_close(run(model, batch, team=exchanged, mask=mask)[0], offset, atol=1e-5, rtol=1e-5)


def test_model_when_not_fitted_then_answers_turn_with_the_play(games: Callable[..., Scenes]) -> None:
    """The linear part turns with what it sees, and a fresh model is the linear part."""
    scenes = games(count=2)
    moments = of_scenes(scenes, FIELD_GRAPH)
    batch = moments.gather(np.arange(6))
    model = field_model(scenes)
    torch.nn.init.zeros_(model.decoder.head[-1].weight)
    torch.nn.init.zeros_(model.decoder.head[-1].bias)
    turn = draw_turns(6, msgspec.structs.replace(SMALL, rotate=1.0, stretch=0.2), torch.device("cpu"))
    straight = model(batch.history, batch.role, batch.team, batch.mask)
    turned = model(batch.history, batch.role, batch.team, batch.mask, turn)
    expected = (straight.offset.flatten(1, 2) @ turn).view_as(straight.offset)
    torch.testing.assert_close(turned.offset, expected, atol=1e-4, rtol=1e-4)


def test_model_when_on_a_field_then_its_lines_and_roles_count(games: Callable[..., Scenes]) -> None:
    """With a field, being near a line and having a role change what is expected."""
    scenes = games(count=2)
    batch = of_scenes(scenes, FIELD_GRAPH).gather(np.arange(3))
    model = field_model(scenes)
    offset, _ = run(model, batch)
    moved = batch.history + torch.tensor([0.0, 8.0, 0.0, 0.0, 0.0, 0.0])
    assert (run(model, batch, history=moved)[0] - offset).abs().max() > 0.01
    assert (run(model, batch, role=batch.role + 1)[0] - offset).abs().max() > 0.01


@pytest.mark.parametrize("decoder", ["deterministic", "gaussian", "gmm"])
def test_model_when_decoder_is_chosen_then_answers_have_its_parts(games: Callable[..., Scenes], decoder: str) -> None:
    """Every decoder gives a path and a spread; the mixture adds its modes, the head of the defence one number."""
    scenes = games(count=2)
    batch = of_scenes(scenes, FIELD_GRAPH).gather(np.arange(3))
    answer = field_model(scenes, decoder=decoder, coverage=True)(batch.history, batch.role, batch.team, batch.mask)
    assert answer.offset.shape == answer.sigma.shape == (3, 7, 40, 2)
    assert answer.coverage_logit is not None
    assert answer.coverage_logit.shape == (3,)
    if decoder == "gmm":
        assert answer.modes.shape == answer.mode_sigma.shape == (3, 7, 6, 40, 2)
        assert answer.mode_logit.shape == (3, 7, 6)
        assert (answer.mode_sigma > 0).all()
    else:
        assert answer.modes is None


def test_linear_when_fitted_then_continues_a_straight_run() -> None:
    """For people who run straight on, the linear forecast is exact, and so is an unfitted model."""
    rng = np.random.default_rng(4)
    speed = rng.normal(0, 3, (1, 8, 2))
    made = Recording(
        session="s",
        athletes=tuple("abcdefgh"),
        team=np.zeros(8, np.int8),
        time_ns=np.arange(400, dtype=np.int64),
        xy_m=(speed * np.arange(400)[:, None, None] * 0.1).astype(np.float32),
        hr_bpm=np.full((400, 8), np.nan, np.float32),
    )
    moments = of_recordings([made])
    model = TrajectoryModel(SMALL, *fit_linear(moments, seed=0)).eval()
    batch = moments.gather(np.array([5]))
    torch.testing.assert_close(run(model, batch)[0], batch.future, atol=0.02, rtol=0.01)


def test_calibration_when_spread_is_wrong_then_region_holds_its_share(recording: Make) -> None:
    """After calibration 80 % of what happened lies in the 80 % region, at every step, for athletes and the ball."""
    moments = of_recordings([recording(seconds=40.0)])
    model = TrajectoryModel(SMALL, *fit_linear(moments, seed=0)).eval()
    model.spread.mul_(7.0)
    assert coverage(model, moments)[0].min() > 0.95
    calibrate(model, moments)
    assert (coverage(model, moments) - 0.8).abs().max() < 0.01
    found = evaluate(model, moments)
    assert abs(found["coverage80_2s"] - 0.8) < 0.01
    assert pytest.approx(3.2189, abs=1e-3) == REGION


@pytest.mark.parametrize("decoder", ["gaussian", "gmm"])
def test_loss_when_future_is_unknown_then_it_does_not_count(recording: Make, decoder: str) -> None:
    """What was not recorded neither teaches nor confuses."""
    batch = of_recordings([recording()]).gather(np.arange(4))
    settings = msgspec.structs.replace(SMALL, decoder=decoder, velocity_weight=1.0, acceleration_weight=1.0)
    model = small_model({"decoder": decoder})
    answer = model(batch.history, batch.role, batch.team, batch.mask)
    known = batch.known.clone()
    known[:, :2] = 0.0
    wrong = batch.future.clone()
    wrong[:, :2] = 1e3
    first = loss(settings, model.spread, batch._replace(known=known), answer, progress=0.5)
    second = loss(settings, model.spread, batch._replace(known=known, future=wrong), answer, progress=0.5)
    assert first.item() == second.item()
    nothing = batch._replace(known=torch.zeros_like(known))
    assert loss(settings, model.spread, nothing, answer, progress=0.5).item() == 0.0


def test_loss_when_coverage_is_stated_then_its_cross_entropy_counts_with_its_weight(
    games: Callable[..., Scenes],
) -> None:
    """Man and zone are learnt from the plays that state them, as much as the settings say; others teach nothing."""
    scenes = games(count=2)
    batch = of_scenes(scenes, FIELD_GRAPH).gather(np.arange(3))
    model = field_model(scenes, coverage=True)
    answer = model(batch.history, batch.role, batch.team, batch.mask)

    def value(weight: float, coverage: list[float]) -> float:
        settings = msgspec.structs.replace(model.settings, coverage_weight=weight)
        return loss(settings, model.spread, batch._replace(coverage=torch.tensor(coverage)), answer).item()

    zone = torch.sigmoid(answer.coverage_logit)
    entropy = -(zone[0].log() + (1.0 - zone[1]).log()).item() / 2.0
    unknown = value(3.0, [-1.0, -1.0, -1.0])
    assert value(0.0, [1.0, 0.0, -1.0]) == unknown
    assert value(3.0, [1.0, 0.0, -1.0]) == pytest.approx(unknown + 3.0 * entropy, rel=1e-4)


def test_loss_parts_when_computed_by_hand_then_equal() -> None:
    """Distance, Huber's version of it, growth from step to step and the Gaussian follow their formulas."""
    error = torch.tensor([[[3.0, 4.0], [3.0, 4.0]]])
    torch.testing.assert_close(distance(error), torch.full((1, 2), 5.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(distance(error, 10.0), torch.full((1, 2), 1.25), atol=1e-3, rtol=0)
    torch.testing.assert_close(distance(error, 1.0), torch.full((1, 2), 4.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(changes(error), torch.tensor([[[3.0, 4.0], [0.0, 0.0]]]))
    sigma = torch.tensor([2.0, 0.5])
    normal = torch.distributions.Normal(torch.zeros(2), sigma)
    torch.testing.assert_close(gaussian_nll(error, sigma), -normal.log_prob(error).sum(-1))


@pytest.mark.parametrize(
    "text",
    ["width: 10\nheads: 4", "steps: 0", "ema: 2", "colour: red", "max_minutes: -1", "a: [", "steps: x", "stem: tree"],
)
def test_config_when_wrong_then_names_the_key(tmp_path: Path, text: str) -> None:
    """A configuration is read strictly."""
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError):
        read_config(str(tmp_path / "c.yaml"))


def test_config_when_named_then_read_and_overridden() -> None:
    """Configurations that ship with the code are known by name."""
    settings = read_config("sanity", seed=3, max_minutes=0.5, batch=None)
    assert (settings.seed, settings.max_minutes) == (3, 0.5)
    assert read_config("shipped").steps > settings.steps
    assert read_config("probabilistic").decoder == "gmm"
    assert read_config("coverage").coverage
    assert not read_config("coverage", coverage=False).coverage
    with pytest.raises(ConfigError, match="known: coverage, probabilistic, production, sanity, shipped"):
        read_config("nothing")
