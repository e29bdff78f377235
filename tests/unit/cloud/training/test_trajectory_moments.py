"""What is learnt from: moments, graphs, splits and how they are seen anew."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cloud.datasets.positions import Recording  # noqa: E402
from cloud.datasets.scenes import Scenes, choose  # noqa: E402
from cloud.training.trajectory.augment import augment, mirrored  # noqa: E402
from cloud.training.trajectory.graph import ITSELF, MARKING, PROXIMITY, TEAM_MATE, dense, edges, moment  # noqa: E402
from cloud.training.trajectory.moments import Moments, of_recordings, of_scenes  # noqa: E402
from cloud.training.trajectory.settings import TrajectorySettings  # noqa: E402
from cloud.training.trajectory.split import game_shares, recordings_digest, split_recordings, split_scenes  # noqa: E402
from shared.errors import ModelIncompatible  # noqa: E402
from shared.features.field import FIELD_GRAPH  # noqa: E402

pytestmark = pytest.mark.train
SMALL = TrajectorySettings(width=16, layers=1, heads=2, edge_width=8, edge_values=2, batch=16, steps=5, max_minutes=5)
Make = Callable[..., Recording]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_moments_when_history_or_future_is_missing_then_masked_or_unknown(recording: Make) -> None:
    """A player without the whole last second is masked; steps whose future was not recorded do not count."""
    made = recording(players=4, ball=False)
    made.xy_m[100:105, 0] = np.nan
    made.xy_m[130:, 1] = np.nan
    moments = of_recordings([made])
    batch = moments.gather(np.flatnonzero(moments.starts == 112))
    assert batch.mask[0].tolist() == [0.0, 1.0, 1.0, 1.0]
    assert batch.known[0].sum(-1).tolist() == [0.0, 17.0, 20.0, 20.0]
    assert not batch.history[0, 0].any()
    expected = made.xy_m[113:133, 2] - made.xy_m[112, 2]
    np.testing.assert_allclose(batch.future[0, 2].numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(batch.history[0, 2].numpy(), made.xy_m[102:113, 2])


def test_moments_when_tracking_jumps_then_nothing_is_learnt_across(games: Callable[..., Scenes]) -> None:
    """A step of over 1.5 m in 0.1 s ends what is known of a player; the others go on."""
    scenes = games(count=1)
    scenes.xy_m[40:, 2] += 5.0
    moments = of_scenes(scenes, FIELD_GRAPH)
    batch = moments.gather(np.flatnonzero(moments.starts == 30))
    assert batch.known[0].sum(-1).tolist() == [29.0, 29.0, 9.0, 29.0, 29.0, 29.0, 29.0]
    later = moments.gather(np.flatnonzero(moments.starts == 45))
    assert later.mask[0].tolist() == [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]


def test_moments_when_cut_from_scenes_then_lie_where_is_measured(games: Callable[..., Scenes]) -> None:
    """Moments begin at a scene's beginning, or some frames earlier if asked for, and none reaches over its end."""
    scenes = games(count=3)
    moments = of_scenes(scenes, FIELD_GRAPH)
    assert set(moments.starts.tolist()) == {60 * n + step for n in range(3) for step in range(12, 55)}
    assert len(of_scenes(scenes, FIELD_GRAPH, earlier_cut=2)) == len(moments) + 6
    batch = moments.gather(np.array([0]))
    assert (batch.history.shape, batch.future.shape) == ((1, 7, 11, 6), (1, 7, 40, 2))
    size = np.array([109.728, 48.768], np.float32)  # the first play runs leftwards and is turned
    np.testing.assert_allclose(batch.history[0, 0, -1, :2].numpy(), size - scenes.xy_m[12, 0], rtol=1e-5)


def test_graph_when_made_of_a_moment_then_joins_the_present_players(recording: Make) -> None:
    """Every present player is joined to every other one, and the vector on an edge points from target to source."""
    made = recording(players=4)
    made.xy_m[:, 2] = np.nan
    graph = moment(of_recordings([made]).gather(np.array([7])), 0)
    assert (graph.num_nodes, graph.num_edges) == (4, 12)
    assert graph.team.tolist() == [0, 1, 1, -1]
    source, target = graph.edge_index
    assert not (source == target).any()
    assert graph.validate()
    torch.testing.assert_close(graph.edge_attr[:, 2:4] * 20.0, graph.x[source, -1] - graph.x[target, -1])


def test_edges_when_players_stand_apart_then_are_of_their_kinds() -> None:
    """Near ones, team-mates, opponents and who marks whom are told apart; who is masked has no edge."""
    last = torch.tensor([[[0.0, 0.0], [1.0, 0.0], [9.0, 0.0], [20.0, 0.0], [2.0, 2.0]]])
    team = torch.tensor([[0.0, 1.0, 0.0, 1.0, -1.0]])
    mask = torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]])
    found = edges(last, team, mask, neighbours=1)[0]
    assert found[0, 1] & PROXIMITY
    assert found[0, 1] & MARKING
    assert found[0, 2] == TEAM_MATE
    assert found[3, 2] & MARKING  # the nearest opponent of the one far away, and the other way round
    assert found[2, 3] & MARKING
    assert found.diagonal().tolist() == [ITSELF] * 4 + [0]
    assert not found[4].any()
    assert not found[:, 4].any()


def test_graphs_when_batched_then_equal_dense_arrays(recording: Make) -> None:
    """Graphs collated by PyG and arrays gathered directly hold the same."""
    made = recording(players=5)
    made.xy_m[:, 1] = np.nan
    batch = of_recordings([made]).gather(np.array([3, 90, 200]))
    graphs = dense([moment(batch, index) for index in range(3)])
    here = batch.mask > 0
    for name in ("history", "team", "future", "known"):
        torch.testing.assert_close(getattr(graphs, name).flatten(0, 1), getattr(batch, name)[here])


def test_augment_when_turned_and_mirrored_then_distances_stay(recording: Make) -> None:
    """Augmentation keeps every distance of a path and only ever takes players away."""
    batch = of_recordings([recording()]).gather(np.arange(40))
    changed, turn = augment(batch, SMALL, None)
    kept = changed.mask > 0
    assert (changed.mask <= batch.mask).all()
    assert 0 < int(kept.sum()) < int(batch.mask.sum())
    for name in ("history", "future"):
        before, after = (getattr(value, name)[kept].diff(dim=1).norm(dim=-1) for value in (batch, changed))
        torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(turn @ turn.transpose(1, 2), torch.eye(2).expand(40, 2, 2))
    assert not torch.allclose(batch.future, changed.future)
    straight = msgspec.structs.replace(SMALL, rotate=0.0, mirror=0.0, drop_graphs=0.0)
    torch.testing.assert_close(augment(batch, straight, None).batch.future, batch.future)


def test_mirror_when_on_a_field_then_left_and_right_are_exchanged_inside_it(games: Callable[..., Scenes]) -> None:
    """A mirrored play lies on the same field, runs the same way, and twice mirrored it is itself."""
    scenes = games(count=2)
    batch = of_scenes(scenes, FIELD_GRAPH).gather(np.arange(5))
    once = mirrored(batch, 1.0, scenes.field)
    torch.testing.assert_close(once.history[..., 0], batch.history[..., 0])
    torch.testing.assert_close(once.history[..., 1], 48.768 - batch.history[..., 1])
    torch.testing.assert_close(once.history[..., 3], -batch.history[..., 3])
    torch.testing.assert_close(mirrored(once, 1.0, scenes.field).history, batch.history, atol=1e-4, rtol=1e-5)


def test_split_when_many_sessions_then_no_session_is_in_two_parts(recording: Make) -> None:
    """Whole sessions are calibrated on and measured on."""
    parts = split_recordings([recording(session=f"s{i}", seconds=10.0 + i, seed=i) for i in range(6)])
    lengths = [_lengths(part) for part in (parts.fitting, parts.calibration, parts.test)]
    assert [len(found) for found in lengths] == [4, 1, 1]
    assert sorted(length for found in lengths for length in found) == [100, 110, 120, 130, 140, 150]


def _lengths(moments: Moments) -> list[int]:
    """Return the steps of the sessions whose moments these are."""
    breaks = np.flatnonzero(np.diff(moments.starts) > 1)
    return [len(part) + 30 for part in np.split(moments.starts, breaks + 1)]


def test_split_when_few_sessions_then_cut_by_time_with_a_gap(recording: Make) -> None:
    """A single session is cut in three; too short a one is refused."""
    parts = split_recordings([recording(seconds=60.0)])
    assert (len(parts.fitting), len(parts.calibration), len(parts.test)) == (390, 29, 29)
    with pytest.raises(ModelIncompatible, match="too little data"):
        split_recordings([recording(seconds=10.0)])


def test_split_when_games_then_plays_of_a_game_stay_together(games: Callable[..., Scenes]) -> None:
    """All plays of a game are in one part, and a part without any game is refused."""
    scenes = games(count=80)
    shares = game_shares(scenes)
    assert all(len(set(shares[scenes.game == game])) == 1 for game in scenes.game)
    parts = split_scenes(scenes, FIELD_GRAPH)
    counts = [len(part) for part in (parts.fitting, parts.calibration, parts.test)]
    wanted = [shares >= 0.3, (shares >= 0.15) & (shares < 0.3), shares < 0.15]
    assert counts == [len(of_scenes(choose(scenes, np.flatnonzero(part)), FIELD_GRAPH)) for part in wanted]
    with pytest.raises(ModelIncompatible, match="too little data"):
        split_scenes(games(count=2), FIELD_GRAPH)


def test_digest_when_order_of_sessions_differs_then_same(recording: Make) -> None:
    """A data set of recordings is named by what they hold."""
    first, second = recording(session="a"), recording(session="b", seed=2)
    assert recordings_digest([first, second]) == recordings_digest([second, first])
    assert recordings_digest([first]) != recordings_digest([second])
