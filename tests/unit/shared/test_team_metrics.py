"""Team metrics: geometry by hand, floodlight on generated and real games, what missing players do."""

import csv
import importlib.util
import warnings
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from shared.clock import NS_PER_S
from shared.features.team import BALL_TEAM, TeamHistory
from shared.ids import BALL, AthleteId
from shared.metrics.pitch_control import Pitch
from shared.metrics.team import (
    MIN_PLAYERS,
    TEAM_METRICS,
    Centroid,
    Extent,
    HullArea,
    NearestOpponent,
    StretchIndex,
    TeamFrame,
    TeamMetric,
    area_m2,
    hull,
    on_pitch,
)
from shared.metrics.team_grid import Samples, frame_of, frames, sample
from tests.factories import START_NS, positions
from tests.tools import OPEN_DATA, missing

PITCH = Pitch()
SQUAD = 11
every_metric = pytest.mark.parametrize("metric", TEAM_METRICS, ids=lambda metric: metric.metric_id)


def frame(xy_m: Any, *, second: int = 0, known: Any = None, velocity_mps: Any = None) -> TeamFrame:
    """Return a frame of two equal teams, home first; a row beyond an even count is the ball."""
    xy = np.asarray(xy_m, np.float64)
    half = len(xy) // 2
    team = np.array([0] * half + [1] * half + [BALL_TEAM] * (len(xy) - 2 * half), np.int64)
    return TeamFrame(
        time_ns=START_NS + second * NS_PER_S,
        athletes=tuple(AthleteId(f"a{i:02d}") for i in range(len(xy))),
        xy_m=xy,
        velocity_mps=np.zeros_like(xy) if velocity_mps is None else np.asarray(velocity_mps, np.float64),
        team=team,
        mask=np.ones(len(xy), bool) if known is None else np.asarray(known, bool),
    )


def generated(count: int = 40, seed: int = 21) -> NDArray[np.float64]:
    """Return a game of two teams, float64[frames, 22, 2]: formations that drift, and players around their places."""
    rng = np.random.default_rng(seed)
    home = np.column_stack((rng.uniform(10, 60, SQUAD), rng.uniform(5, 63, SQUAD)))
    away = np.column_stack((rng.uniform(45, 95, SQUAD), rng.uniform(5, 63, SQUAD)))
    drift = np.cumsum(rng.normal(0, 0.3, (count, 1, 2)), axis=0)
    return np.concatenate((home, away))[None] + drift + np.cumsum(rng.normal(0, 0.3, (count, 22, 2)), axis=0)


def real() -> NDArray[np.float64]:
    """Return the sample of a real game that Metrica publishes, float64[frames, players, 2] in metres."""
    sides = []
    for side in ("home", "away"):
        path = OPEN_DATA / "tracking_format_samples" / f"metrica_{side}.csv"
        if not path.exists():
            missing("open/tracking_format_samples")
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[3:]
        xy = np.array([[float(cell) if cell else np.nan for cell in row[3:-2]] for row in rows])
        xy = xy[:, : 2 * (xy.shape[1] // 2)].reshape(len(rows), -1, 2) * (PITCH.length_m, PITCH.width_m)
        sides.append(xy[:, np.isfinite(xy).all(axis=(0, 2))])
    players = min(side.shape[1] for side in sides)
    return np.concatenate([side[:, :players] for side in sides], axis=1)


def sampled() -> list[TeamFrame]:
    """Return a minute of one team's real positions at 20 Hz, laid on whole seconds."""
    path = OPEN_DATA.parent / "restricted" / "soccer_zxy_tromso" / "tracking.parquet"
    if not path.exists():
        missing("restricted/soccer_zxy_tromso")
    table = pq.read_table(path, columns=["t", "id", "x", "y"])
    times = table["t"].cast("int64").to_numpy()
    xy, names = np.column_stack((table["x"].to_numpy(), table["y"].to_numpy())), np.array(table["id"].to_pylist())
    first = times < times[0] + 60 * NS_PER_S
    samples = {}
    for name in np.unique(names):
        rows = np.flatnonzero(first & (names == name))
        rows = rows[np.argsort(times[rows], kind="stable")]
        samples[AthleteId(str(name))] = sample(times[rows], xy[rows], np.zeros(len(rows), np.uint8))
    return list(frames(samples, dict.fromkeys(samples, 0)))


def floodlight(games: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return floodlight's numbers of the home team in each frame."""
    if importlib.util.find_spec("floodlight") is None:
        missing("floodlight")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, at import
        from floodlight import XY
        from floodlight.models.geometry import CentroidModel, ConvexHullModel, NearestOpponentModel

    half = games.shape[1] // 2
    home, away = (XY(games[:, side].reshape(len(games), -1)) for side in (slice(0, half), slice(half, None)))
    centre, outline, opponents = CentroidModel(), ConvexHullModel(), NearestOpponentModel()
    centre.fit(home)
    outline.fit(home)
    opponents.fit(home, away)
    nearest, _ = opponents.distance_to_nearest_opponent()
    return {
        "centroid": centre.centroid().xy,
        "stretch": centre.stretch_index(home).property,
        "area": outline.convex_hull_area().property,
        "nearest": nearest.property,
    }


@pytest.mark.parametrize("game", [generated, real], ids=["generated", "real"])
def test_team_metrics_when_compared_with_floodlight_then_the_same(game: Any) -> None:
    """Rule: centroid, stretch index, hull area and nearest opponent agree with an independent implementation."""
    games = game()
    wanted = floodlight(games)
    for i, xy in enumerate(games):
        now = frame(xy)
        assert Centroid().measure(now, 0, PITCH) == pytest.approx(tuple(wanted["centroid"][i]), rel=1e-9)
        assert StretchIndex().measure(now, 0, PITCH)[0] == pytest.approx(wanted["stretch"][i], rel=1e-9)
        assert HullArea().measure(now, 0, PITCH)[0] == pytest.approx(wanted["area"][i], rel=1e-9)
        nearest = wanted["nearest"][i]
        assert NearestOpponent().measure(now, 0, PITCH) == pytest.approx((nearest.mean(), nearest.min()), rel=1e-9)


def test_team_metrics_when_on_real_positions_with_holes_then_as_floodlight() -> None:
    """Rule: at every second, of those whose position is known then."""
    if importlib.util.find_spec("floodlight") is None:
        missing("floodlight")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, at import
        from floodlight import XY
        from floodlight.models.geometry import CentroidModel, ConvexHullModel

    given = sampled()
    places = np.array([np.where(now.mask[:, None], now.xy_m, np.nan).ravel() for now in given])
    centre, outline = CentroidModel(), ConvexHullModel()
    centre.fit(XY(places))
    outline.fit(XY(places))
    stretch, area = centre.stretch_index(XY(places)).property, outline.convex_hull_area().property
    assert len(given) >= 58
    for i, now in enumerate(given):
        assert StretchIndex().measure(now, 0, PITCH)[0] == pytest.approx(stretch[i], rel=1e-9)
        if now.mask.sum() >= MIN_PLAYERS:
            assert HullArea().measure(now, 0, PITCH)[0] == pytest.approx(area[i], rel=1e-9)


def test_hull_when_points_lie_inside_or_on_a_line_then_only_corners_stay() -> None:
    """Rule: corners counter-clockwise, each once; a line spans nothing."""
    square = [(0, 0), (4, 0), (4, 3), (0, 3)]
    corners = hull(np.array([*square, (1, 1), (2, 0), (4, 3), (0, 1.5)], np.float64))
    np.testing.assert_array_equal(corners, square)
    assert area_m2(corners) == 12
    assert area_m2(hull(np.array([(0, 0), (1, 1), (2, 2), (5, 5)], np.float64))) == 0
    assert len(hull(np.array([(1, 2), (1, 2), (1, 2)], np.float64))) == 1


def test_extent_when_measured_then_along_and_across_the_pitch() -> None:
    """Rule: length is along x, width across y."""
    now = frame([(10, 20), (40, 25), (30, 60), (50, 1), (60, 2), (70, 3)])
    assert Extent().measure(now, 0, PITCH) == (30, 40)
    assert Extent().measure(now, 1, PITCH) == (20, 2)


def session(metric: TeamMetric, given: list[TeamFrame], team: int = 0) -> Any:
    """Return a metric's value over frames."""
    state = metric.start(team, PITCH)
    for now in given:
        state = metric.update(state, now)
    return metric.value(state)


@every_metric
def test_team_metric_when_over_a_session_then_the_mean_of_its_frames(metric: TeamMetric) -> None:
    """Rule: (state, frame) -> state; states can be kept, the mean is that of the moments."""
    given = [frame(xy, second=i) for i, xy in enumerate(generated(12))]
    state = metric.start(0, PITCH)
    first = metric.update(state, given[0])
    assert (state.frames, first.frames) == (0, 1)
    moments = np.array([metric.measure(now, 0, PITCH) for now in given])
    value = session(metric, given)
    assert value.values == pytest.approx(tuple(moments.mean(axis=0)), rel=1e-12)
    assert len(value.values) == len(metric.labels)
    assert (value.coverage, value.quality) == (1.0, 1.0)


@every_metric
def test_team_metric_when_players_are_missing_then_coverage_and_quality_fall(metric: TeamMetric) -> None:
    """Rule: a moment with under three players of the team does not count; quality is the share that is there."""
    games = generated(10)
    given = [frame(xy, second=i) for i, xy in enumerate(games[:5])]
    given += [frame(xy, second=5 + i, known=[i % 2 for i in range(22)]) for i, xy in enumerate(games[5:8])]
    given += [frame(xy, second=8 + i, known=[i < 2 or i > 10 for i in range(22)]) for i, xy in enumerate(games[8:])]
    value = session(metric, given)
    assert value.coverage == pytest.approx(0.8)
    assert value.quality == pytest.approx((5 * 11 + 3 * 5) / (8 * 11))
    assert metric.now(given[-1], 0, PITCH).coverage == 0
    assert np.isnan(metric.now(given[-1], 0, PITCH).values).all()
    assert metric.now(given[5], 0, PITCH).quality == pytest.approx(5 / 11)


@every_metric
def test_team_metric_when_nothing_came_then_nothing_is_said(metric: TeamMetric) -> None:
    """Rule: no frames, or empty ones: NaN with coverage 0."""
    for given in ([], [frame(generated(1)[0], known=[False] * 22)]):
        value = session(metric, given)
        assert np.isnan(value.values).all()
        assert value.coverage == 0


def test_opponents_when_the_other_team_is_away_then_only_their_metrics_are_unsaid() -> None:
    """Rule: a training of one team has a shape, but no opponents."""
    now = frame(generated(1)[0], known=[i < 11 for i in range(22)])
    assert {m.metric_id for m in TEAM_METRICS if m.now(now, 0, PITCH).coverage} == {
        "team_centroid@1",
        "stretch_index@1",
        "team_extent@1",
        "hull_area@1",
    }


def test_bench_when_beside_the_pitch_then_it_does_not_count() -> None:
    """Rule: who stands over two metres outside is no part of the team's shape."""
    now = frame([(10, 10), (20, 10), (10, 30), (50, -6), (60, 30), (60, 40), (70, 40), (107.5, 40)])
    inside = on_pitch(now, PITCH)
    assert inside.mask.tolist() == [True, True, True, False, True, True, True, False]
    assert HullArea().now(inside, 0, PITCH).value == 100


def walk(seed: int, *, seconds: int = 20, rate_hz: int = 10) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return times with jitter and places of a player who runs about."""
    rng = np.random.default_rng(seed)
    count = seconds * rate_hz
    steps = rng.uniform(0, 0.7 / rate_hz * 10, (count, 1)) * rng.normal(0, 1, (count, 2))
    times = START_NS + np.arange(count) * (NS_PER_S // rate_hz) + rng.integers(0, 30_000_000, count)
    return times, 40 + np.cumsum(steps, axis=0)


def test_samples_when_positions_are_missing_then_nothing_is_invented() -> None:
    """Rule: no place between positions over 0.5 s apart, at a flagged one, before the first or after the last."""
    times, xy = walk(1)
    quality = np.zeros(len(times), np.uint8)
    whole = sample(times, xy, quality)
    assert whole.seconds.tolist() == list(range(START_NS // NS_PER_S + 1, START_NS // NS_PER_S + 20))
    kept = (times < START_NS + 5 * NS_PER_S) | (times > START_NS + 8.2 * NS_PER_S)
    gap = sample(times[kept], xy[kept], quality[kept])
    assert set(whole.seconds.tolist()) - set(gap.seconds.tolist()) == {START_NS // NS_PER_S + s for s in (5, 6, 7, 8)}
    flagged = quality.copy()
    flagged[~kept] = 1
    assert sample(times, xy, flagged).seconds.tolist() == gap.seconds.tolist()
    assert len(sample(times[:1], xy[:1], quality[:1]).seconds) == 0


def test_samples_when_compared_with_the_live_graph_then_the_same_places_and_velocities() -> None:
    """Rule: what is shown live and what the tables hold come from the same moments alike."""
    names = [AthleteId(f"a{i}") for i in range(6)]
    teams = {**{name: i % 2 for i, name in enumerate(names)}, BALL: BALL_TEAM}
    walks = {name: walk(10 + i) for i, name in enumerate([*names, BALL])}
    samples = {
        name: sample(times, xy.astype(np.float32).astype(np.float64), np.zeros(len(times), np.uint8))
        for name, (times, xy) in walks.items()
    }
    at_second = {now.time_ns: now for now in frames(samples, teams)}
    end_ns = START_NS + 12 * NS_PER_S
    history = TeamHistory(teams)
    for name, (times, xy) in walks.items():
        until = times <= end_ns
        # Everybody's newest reading is at the whole second, so that the graph's newest moment is.
        here = [np.interp(end_ns - START_NS, times - START_NS, xy[:, axis]) for axis in (0, 1)]
        stamps = np.append(times[until], end_ns)
        history.push(positions(np.vstack((xy[until], here)), times_ns=stamps, athlete=name))
    graph = history.graph()
    assert graph is not None
    live, stored = frame_of(graph), at_second[end_ns]
    assert (live.time_ns, live.athletes, live.mask.all()) == (stored.time_ns, stored.athletes, stored.mask.all())
    np.testing.assert_allclose(live.xy_m, stored.xy_m, atol=1e-4)
    np.testing.assert_allclose(live.velocity_mps, stored.velocity_mps, atol=1e-3)
    for metric in TEAM_METRICS:
        assert metric.measure(live, 0, PITCH) == pytest.approx(metric.measure(stored, 0, PITCH), rel=1e-4)


def test_frames_when_nobody_has_a_position_then_they_come_all_the_same() -> None:
    """Rule: every second from the first to the last is a moment; one without anybody lowers the coverage."""
    one = Samples(seconds=np.array([5, 9]), xy_m=np.zeros((2, 2)), velocity_mps=np.zeros((2, 2)))
    given = list(frames({AthleteId("a1"): one}, {AthleteId("a1"): 0, AthleteId("a2"): 1}))
    assert [now.time_ns // NS_PER_S for now in given] == [5, 6, 7, 8, 9]
    assert [bool(now.mask.any()) for now in given] == [True, False, False, False, True]
    assert list(frames({}, {AthleteId("a1"): 0})) == []


def test_pitch_control_when_a_team_holds_a_third_of_the_field_then_its_area_says_so() -> None:
    """Rule: a place belongs to whoever reaches it more, however far everybody is; the paper's mean hardly leaves 50."""
    metric = next(metric for metric in TEAM_METRICS if metric.metric_id == "pitch_control@1")
    home = [(20.0, 14.0), (20.0, 34.0), (20.0, 54.0)]
    away = [(50.0, 14.0), (50.0, 34.0), (50.0, 54.0)]
    own, theirs = (metric.measure(frame([*home, *away]), team, PITCH) for team in (0, 1))
    assert own[0] == pytest.approx(100 / 3, abs=1.5)
    assert own[0] + theirs[0] == pytest.approx(100)
    assert own[1] == pytest.approx(50, abs=3)
