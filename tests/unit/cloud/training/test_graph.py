from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cloud.datasets.positions import Recording  # noqa: E402
from cloud.training.evaluate import REGION, calibrate, coverage, evaluate  # noqa: E402
from cloud.training.graph_data import GraphBatch, Moments, dense, moment, recordings_digest, split  # noqa: E402
from cloud.training.graph_fit import augment, fit, fit_linear, loss  # noqa: E402
from cloud.training.graph_model import TrajectoryModel  # noqa: E402
from cloud.training.settings import TrajectorySettings, read_config  # noqa: E402
from shared.clock import ManualClock  # noqa: E402
from shared.errors import ConfigError, ModelIncompatible  # noqa: E402

pytestmark = pytest.mark.train
SMALL = TrajectorySettings(width=16, layers=1, heads=2, edge_width=8, edge_values=2, batch=16, steps=5, max_minutes=5)
Make = Callable[..., Recording]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def small_model() -> TrajectoryModel:
    """Return a model whose head is not zero any more, so that everything takes part."""
    model = TrajectoryModel(SMALL, torch.full((2, 10, 20), 0.1), torch.linspace(0.1, 2.0, 20).repeat(2, 1))
    for part in model.parameters():
        torch.nn.init.normal_(part, std=0.2)
    return model.eval()


def test_moments_when_history_or_future_is_missing_then_masked_or_unknown(recording: Make) -> None:
    """A player without the whole last second is masked; steps whose future was not recorded do not count."""
    made = recording(players=4, ball=False)
    made.xy_m[100:105, 0] = np.nan
    made.xy_m[130:, 1] = np.nan
    moments = Moments([made])
    wanted = int(np.flatnonzero(moments.starts[:, 1] == 112)[0])
    batch = moments.gather(np.array([wanted]))
    assert batch.mask[0].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert batch.known[0].sum(-1).tolist() == [0.0, 17.0, 20.0, 20.0]
    assert not batch.history[0, 0].any()
    expected = made.xy_m[113:133, 2] - made.xy_m[112, 2]
    np.testing.assert_allclose(batch.future[0, 2].numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(batch.history[0, 2].numpy(), made.xy_m[102:113, 2])


def test_graph_when_made_of_a_moment_then_joins_the_present_players(recording: Make) -> None:
    """Every present player is joined to every other one, and the vector on an edge points from source to target."""
    made = recording(players=4)
    made.xy_m[:, 2] = np.nan
    graph = moment(Moments([made]).gather(np.array([7])), 0)
    assert (graph.num_nodes, graph.num_edges) == (4, 12)
    assert graph.team.tolist() == [0, 1, 1, -1]
    source, target = graph.edge_index
    assert not (source == target).any()
    torch.testing.assert_close(graph.edge_attr, graph.x[target, -1] - graph.x[source, -1])


def test_graphs_when_batched_then_model_answers_as_for_dense_arrays(recording: Make) -> None:
    """Graphs collated by PyG and arrays gathered directly give the same forecast."""
    made = recording(players=5)
    made.xy_m[:, 1] = np.nan
    batch = Moments([made]).gather(np.array([3, 90, 200]))
    graphs = dense([moment(batch, index) for index in range(3)])
    model = small_model()
    direct, _ = model(batch.history, batch.team, batch.mask)
    collated, _ = model(graphs.history, graphs.team, graphs.mask)
    torch.testing.assert_close(collated, direct[batch.mask > 0].view_as(collated), atol=1e-5, rtol=1e-5)


def test_model_when_field_is_moved_then_offsets_stay(recording: Make) -> None:
    """Only differences of positions count; who is masked is told to stay."""
    batch = Moments([recording()]).gather(np.arange(4))
    model = small_model()
    mask = batch.mask.clone()
    mask[:, 1] = 0.0
    first = model(batch.history, batch.team, mask)
    moved = model(batch.history + torch.tensor([40.0, -25.0]), batch.team, mask)
    for before, after in zip(first, moved, strict=True):
        torch.testing.assert_close(before[mask > 0], after[mask > 0], atol=2e-3, rtol=1e-3)
    assert not first[0][:, 1].any()
    assert (first[1] > 0).all()


def test_model_when_players_are_masked_reordered_or_teams_exchanged_then_others_are_told_the_same(
    recording: Make,
) -> None:
    """A masked player says nothing to anybody, the order of players and the names of teams mean nothing."""
    batch = Moments([recording(players=5)]).gather(np.arange(3))
    model = small_model()
    mask = batch.mask.clone()
    mask[:, 2] = 0.0
    here = [0, 1, 3, 4, 5]
    offset, sigma = model(batch.history, batch.team, mask)
    fewer, fewer_sigma = model(batch.history[:, here], batch.team[:, here], mask[:, here])
    torch.testing.assert_close(offset[:, here], fewer, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sigma[:, here], fewer_sigma, atol=1e-5, rtol=1e-5)
    order = [5, 3, 0, 1, 4]
    other, _ = model(batch.history[:, order], batch.team[:, order], mask[:, order])
    torch.testing.assert_close(offset[:, order], other, atol=1e-5, rtol=1e-5)
    exchanged = torch.where(batch.team >= 0, 1.0 - batch.team, batch.team)
    torch.testing.assert_close(model(batch.history, exchanged, mask)[0], offset, atol=1e-5, rtol=1e-5)


def test_linear_when_fitted_then_continues_a_straight_run() -> None:
    """For people who run straight on, the linear forecast is exact, and so is an unfitted model."""
    rng = np.random.default_rng(4)
    speed = rng.normal(0, 3, (1, 8, 2))
    xy_m = (speed * np.arange(400)[:, None, None] * 0.1).astype(np.float32)
    made = Recording(
        session="s",
        athletes=tuple("abcdefgh"),
        team=np.zeros(8, np.int8),
        time_ns=np.arange(400, dtype=np.int64),
        xy_m=xy_m,
        hr_bpm=np.full((400, 8), np.nan, np.float32),
    )
    moments = Moments([made])
    model = TrajectoryModel(SMALL, *fit_linear(moments, seed=0)).eval()
    batch = moments.gather(np.array([5]))
    offset, _ = model(batch.history, batch.team, batch.mask)
    torch.testing.assert_close(offset, batch.future, atol=0.02, rtol=0.01)


def test_augment_when_turned_and_mirrored_then_distances_stay(recording: Make) -> None:
    """Augmentation keeps every distance of a path and only ever takes players away."""
    batch = Moments([recording()]).gather(np.arange(40))
    changed = augment(batch, SMALL, np.random.default_rng(1))
    kept = changed.mask > 0
    assert (changed.mask <= batch.mask).all()
    assert 0 < int(kept.sum()) < int(batch.mask.sum())
    for name in ("history", "future"):
        before, after = (getattr(value, name)[kept].diff(dim=1).norm(dim=-1) for value in (batch, changed))
        torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(batch.future, changed.future)
    straight = msgspec.structs.replace(SMALL, rotate=0.0, mirror=0.0, drop_graphs=0.0)
    same = augment(batch, straight, np.random.default_rng(1))
    torch.testing.assert_close(same.future, batch.future)


def test_split_when_many_sessions_then_no_session_is_in_two_parts(recording: Make) -> None:
    """Whole sessions are calibrated on and measured on."""
    recordings = [recording(session=f"s{i}", seconds=10.0 + i, seed=i) for i in range(6)]
    parts = split(recordings)
    steps = [np.bincount(part.starts[:, 0]) for part in parts]
    assert [len(part) for part in steps] == [4, 1, 1]
    lengths = sorted(int(count) + 30 for part in steps for count in part)
    assert lengths == [100, 110, 120, 130, 140, 150]


def test_split_when_few_sessions_then_cut_by_time_with_a_gap(recording: Make) -> None:
    """A single session is cut in three; too short a one is refused."""
    fitting, calibration, test = split([recording(seconds=60.0)])
    assert (len(fitting), len(calibration), len(test)) == (390, 29, 29)
    with pytest.raises(ModelIncompatible, match="too little data"):
        split([recording(seconds=10.0)])


def test_calibration_when_spread_is_wrong_then_region_holds_its_share(recording: Make) -> None:
    """After calibration 80 % of what happened lies in the 80 % region, at every step, for athletes and the ball."""
    moments = Moments([recording(seconds=40.0)])
    model = TrajectoryModel(SMALL, *fit_linear(moments, seed=0)).eval()
    model.spread.mul_(7.0)
    assert coverage(model, moments)[0].min() > 0.95
    calibrate(model, moments)
    assert (coverage(model, moments) - 0.8).abs().max() < 0.01
    found = evaluate(model, moments)
    assert abs(found["coverage80_2s"] - 0.8) < 0.01
    assert pytest.approx(3.2189, abs=1e-3) == REGION


def test_loss_when_future_is_unknown_then_it_does_not_count(recording: Make) -> None:
    """What was not recorded neither teaches nor confuses."""
    batch = Moments([recording()]).gather(np.arange(4))
    model = small_model()
    offset, sigma = model(batch.history, batch.team, batch.mask)
    known = batch.known.clone()
    known[:, :2] = 0.0
    wrong = batch.future.clone()
    wrong[:, :2] = 1e3
    first = loss(model, GraphBatch(*batch[:3], batch.future, known), offset, sigma, 0.5)
    second = loss(model, GraphBatch(*batch[:3], wrong, known), offset, sigma, 0.5)
    assert first.item() == second.item()
    assert loss(model, GraphBatch(*batch[:4], torch.zeros_like(known)), offset, sigma, 0.5).item() == 0.0


def test_fit_when_repeated_then_gives_the_same_weights(recording: Make) -> None:
    """On a CPU the same seed and data give the same model to the bit."""
    moments = Moments([recording()])
    first, second = (fit(moments, SMALL, ManualClock())[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_fit_when_time_is_over_then_stops(recording: Make) -> None:
    """Fitting ends at the minute it was given, whatever steps are left."""

    class _Passing(ManualClock):
        def mono_ns(self) -> int:
            self.advance(1.0)
            return super().mono_ns()

    settings = msgspec.structs.replace(SMALL, steps=10_000, max_minutes=0.1)
    _, steps = fit(Moments([recording()]), settings, _Passing())
    assert 1 <= steps < 10


def test_digest_when_order_of_sessions_differs_then_same(recording: Make) -> None:
    """A data set of recordings is named by what they hold."""
    first, second = recording(session="a"), recording(session="b", seed=2)
    assert recordings_digest([first, second]) == recordings_digest([second, first])
    assert recordings_digest([first]) != recordings_digest([second])


@pytest.mark.parametrize(
    "text", ["width: 10\nheads: 4", "steps: 0", "ema: 2", "colour: red", "max_minutes: -1", "a: [", "steps: x"]
)
def test_config_when_wrong_then_names_the_key(tmp_path: Path, text: str) -> None:
    """A configuration is read strictly."""
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError):
        read_config(str(tmp_path / "c.yaml"))


def test_config_when_named_then_read_and_overridden() -> None:
    """Configurations that ship with the code are known by name."""
    settings = read_config("sanity", seed=3, max_minutes=0.5)
    assert (settings.seed, settings.max_minutes) == (3, 0.5)
    assert read_config("shipped").steps > settings.steps
    with pytest.raises(ConfigError, match="known: sanity, shipped"):
        read_config("nothing")
