import dataclasses

import numpy as np

from cloud.datasets.scenes import ROLES, Scenes
from cloud.evaluation.protocols import Windows, cases_of, pass_windows, trajectory_windows
from shared.features.team import HISTORY
from tests.unit.cloud.evaluation.made import FRAMES, scenes, without


def asked_slowly(found: Scenes, steps: int) -> list[tuple[int, int, int]]:
    """Return (scene, frame, player) of every case, read off the protocol's words."""
    cases = []
    for scene in range(len(found)):
        first, begin, end = found.first[scene], found.begin[scene], found.end[scene]
        for frame in range(max(begin, first + 10), end - steps + 1, 10):
            for player in range(found.players):
                path = found.xy_m[frame - 10 : frame + steps + 1, player]
                lengths = np.linalg.norm(np.diff(path, axis=0), axis=-1)
                if found.team[scene, player] >= 0 and bool((lengths < 1.5).all()):
                    cases.append((scene, frame, player))
    return cases


def asked(windows: Windows) -> list[tuple[int, int, int]]:
    """Return (scene, frame, player) of every case."""
    rows, players = np.nonzero(windows.counted)
    return list(zip(windows.scene[rows].tolist(), windows.frame[rows].tolist(), players.tolist(), strict=True))


def test_windows_when_tracking_gaps_and_jumps_then_only_whole_paths_count() -> None:
    """Rule: a window a second, every player with whole history and future; gaps, jumps, nobody and the ball are out."""
    found = without(scenes(seed=1), 2, 3)
    found.xy_m[137, 1] = np.nan
    found.xy_m[160:, 2] += 2.0  # a jump of 2 m on the first frame of a scene, and later one within
    found.xy_m[205:240, 4] += 2.0
    found.begin[1] += 7
    found.end[3] -= 13
    for steps in (5, 10, 20, 40):
        assert asked(trajectory_windows(found, steps)) == asked_slowly(found, steps)


def test_windows_when_the_horizon_grows_then_they_are_among_the_shorter_ones() -> None:
    """Rule: what is asked at 4 s is asked at 0.5 s too, so that a model is run once for all horizons."""
    found = scenes(seed=2)
    assert set(asked(trajectory_windows(found, 40))) < set(asked(trajectory_windows(found, 5)))


def test_cases_when_cut_then_history_and_future_are_the_players_own() -> None:
    """Rule: 11 frames up to the window and `steps` after it, of the player counted."""
    found = scenes(seed=3)
    windows = trajectory_windows(found, 10)
    cases = cases_of(found, windows)
    row = len(cases) // 2
    frame, player = windows.frame[cases.window[row]], cases.player[row]
    np.testing.assert_array_equal(cases.history[row], found.xy_m[frame - HISTORY + 1 : frame + 1, player])
    np.testing.assert_array_equal(cases.future[row], found.xy_m[frame + 1 : frame + 11, player])


def test_passes_when_known_then_catchers_and_defenders_are_asked_until_the_arrival() -> None:
    """Rule: from throw to arrival; receivers, backs, linebackers; passes too short or too early are left out."""
    found = scenes(games=5, plays=1, players=6, seed=4)
    thrown, arrived = found.thrown.copy(), found.arrived.copy()
    thrown[:4] = found.first[:4] + np.array([30, 9, 30, 30])
    arrived[:4] = thrown[:4] + np.array([14, 14, 2, 25])
    found = dataclasses.replace(found, thrown=thrown, arrived=arrived)
    found.xy_m[found.first[3] + 50, 0] = np.nan  # the receiver is lost on the way
    windows = pass_windows(found)
    assert windows.scene.tolist() == [0, 3]
    assert windows.steps.tolist() == [14, 25]
    kinds = [ROLES[found.role[0, player]] for player in np.flatnonzero(windows.counted[0])]
    assert kinds == ["WR", "DB", "LB", "TE"]
    assert not windows.counted[1, 0]
    future = cases_of(found, windows).future
    assert np.isnan(future[:4, 14:]).all()
    assert np.isfinite(future[4:]).all()


def test_windows_when_scenes_are_too_short_then_there_are_none() -> None:
    """Rule: without room for history and future nothing is asked."""
    assert len(trajectory_windows(scenes(frames=14), 5)) == 0
    assert len(trajectory_windows(scenes(), FRAMES)) == 0
