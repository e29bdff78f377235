import dataclasses

import numpy as np
import pytest

from cloud.datasets.scenes import normalise_direction
from cloud.evaluation import baselines as plain
from cloud.evaluation.fitting import folds, pass_baselines, split, trajectory_baselines
from cloud.evaluation.protocols import cases_of, trajectory_windows
from shared.errors import ConfigError
from tests.unit.cloud.evaluation.made import scenes

STEPS = 10


def test_velocities_when_steady_then_constant_velocity_is_exact_and_damping_falls_short() -> None:
    """Rule: v * t; damped, v * tau * (1 - exp(-t / tau)) with the velocity of the last step."""
    found = scenes(seed=1)
    seconds = np.arange(len(found.xy_m), dtype=np.float32) / 10
    found.xy_m[:] = np.stack([3.0 * seconds, -1.0 * seconds], axis=-1)[:, None]
    windows = trajectory_windows(found, STEPS)
    cases = cases_of(found, windows)
    actual = cases.future - cases.history[:, -1:]
    np.testing.assert_allclose(plain.damped_velocity(cases, STEPS), actual, atol=1e-3)
    damped = plain.damped_velocity(cases, STEPS, 2.0)
    np.testing.assert_allclose(damped[:, -1, 0], 3.0 * 2.0 * (1 - np.exp(-0.5)), rtol=1e-3)
    assert not plain.constant_position(cases, STEPS).any()


def test_ridge_when_the_world_is_linear_then_its_weights_are_found_from_parts() -> None:
    """Rule: sums of normal equations of parts are those of all; a linear future is forecast to the penalty's size."""
    found = scenes(games=30, seed=2)
    windows = trajectory_windows(found, STEPS)
    empty = plain.LeastSquares(plain.own_motion, turn=False, steps=STEPS)
    halves = [
        plain.LeastSquares(plain.own_motion, turn=False, steps=STEPS).add(
            found, windows.pick(windows.scene % 2 == part)
        )
        for part in (0, 1)
    ]
    whole = plain.LeastSquares(plain.own_motion, turn=False, steps=STEPS).add(found, windows).solve()
    np.testing.assert_allclose(plain.total(halves).solve(), whole, atol=1e-9)
    cases = cases_of(found, windows)
    x = plain.own_motion(found, windows, cases)
    y = (cases.future - cases.history[:, -1:]).reshape(len(cases), -1)
    expected = np.linalg.solve(x.T @ x + plain.PENALTY * np.eye(x.shape[1]), x.T @ y)
    np.testing.assert_allclose(empty.forecast(whole, found, windows, cases).reshape(len(cases), -1), x @ expected)


def test_control_when_the_field_is_turned_then_its_forecast_turns_with_it() -> None:
    """Rule: the control sees every play as if the offence ran towards +x."""
    found = scenes(games=20, seed=3)
    turned = normalise_direction(found)
    control = plain.LeastSquares(plain.own_view, turn=True, steps=STEPS)
    weights = control.add(found, trajectory_windows(found, STEPS)).solve()
    windows = trajectory_windows(found, STEPS)
    cases, cases_turned = cases_of(found, windows), cases_of(turned, windows)
    sign = plain.turned(found, windows, cases)[:, None, None]
    as_it_is = control.forecast(weights, found, windows, cases)
    np.testing.assert_allclose(
        as_it_is * sign, control.forecast(weights, turned, windows, cases_turned), rtol=1e-3, atol=1e-4
    )


def test_control_when_others_move_then_it_does_not_care() -> None:
    """Rule: nothing of any other player is in the control; the ball is."""
    found = scenes(games=4, seed=4)
    windows = trajectory_windows(found, STEPS)
    cases = cases_of(found, windows)
    before = plain.own_view(found, windows, cases)
    moved = dataclasses.replace(found, xy_m=found.xy_m.copy())
    moved.xy_m[:, 1:-1] += 0.5
    same = cases.player == 0
    np.testing.assert_array_equal(plain.own_view(moved, windows, cases)[same], before[same])
    moved.xy_m[:, -1] += 5.0
    assert (plain.own_view(moved, windows, cases)[same] != before[same]).any()


def test_control_when_a_recording_states_little_then_it_is_a_number_still() -> None:
    """Rule: what is not stated is 0, so the control never fails for lack of it."""
    found = scenes(games=4, seed=5, field=None)
    found.velocity_mps[:] = np.nan
    found.facing_rad[:] = np.nan
    found.team[:, -1] = 1
    windows = trajectory_windows(found, STEPS)
    assert np.isfinite(plain.own_view(found, windows, cases_of(found, windows))).all()


def test_baselines_when_fitted_then_never_on_the_game_they_are_measured_on() -> None:
    """Rule: what happens in a game changes the fitted baselines of every fold but its own."""
    found = scenes(games=10, seed=6)
    other = dataclasses.replace(found, xy_m=found.xy_m.copy())
    strange = found.game == "game3"
    rows = np.repeat(strange, np.diff(found.first))
    seconds = np.arange(rows.sum()) % 80 / 10.0
    other.xy_m[rows] = (40.0 + 4.0 * np.sin(seconds))[:, None, None].astype(np.float32)
    offsets = []
    for each in (found, other):
        windows = trajectory_windows(found, STEPS)
        cases = cases_of(found, windows)
        # Forecast are always the first recording's cases; only what is learnt from differs.
        parts = split(each, frozenset())
        offsets.append(trajectory_baselines(parts, windows, cases, STEPS)[plain.RIDGE])
    fold = folds(found.game)[windows.scene][cases.window]
    own = fold == folds(found.game)[strange][0]
    np.testing.assert_allclose(offsets[0][own], offsets[1][own], atol=1e-9)
    assert np.abs(offsets[0][~own] - offsets[1][~own]).max() > 1e-3


def test_split_when_the_model_names_its_games_then_they_are_only_learnt_from() -> None:
    """Rule: games the model learnt from are never measured; they are what baselines are fitted on."""
    found = scenes(games=6)
    parts = split(found, frozenset({"game0", "game1", "elsewhere"}))
    assert sorted(set(parts.measured.game)) == ["game2", "game3", "game4", "game5"]
    assert parts.training is not None
    assert set(parts.training.game) == {"game0", "game1"}
    assert parts.fitted_on == "training games"
    with pytest.raises(ConfigError, match="learnt from"):
        split(found, frozenset(found.game.tolist()))


def test_split_when_other_recordings_are_given_then_measured_games_are_left_out_of_them() -> None:
    """Rule: baselines learn from nothing that is measured, even when the same game is in both."""
    found = scenes(games=3)
    parts = split(found, frozenset(), scenes(games=8))
    assert parts.training is not None
    assert sorted(set(parts.training.game)) == ["game3", "game4", "game5", "game6", "game7"]
    with pytest.raises(ConfigError, match="only games that are measured"):
        split(found, frozenset(), scenes(games=2))


def test_baselines_when_there_is_one_game_then_they_say_that_they_saw_it() -> None:
    """Rule: with one game alone the fit is on the same windows, and the report says so."""
    one = split(scenes(games=1, plays=6, seed=7), frozenset())
    assert one.fitted_on == "the same windows"
    windows = trajectory_windows(one.measured, STEPS)
    found = trajectory_baselines(one, windows, cases_of(one.measured, windows), STEPS)
    assert all(np.isfinite(offset).all() for offset in found.values())


def test_baselines_when_there_is_too_little_to_fit_then_it_is_said() -> None:
    """Rule: a linear forecast from a handful of cases would be no bar."""
    few = split(scenes(games=2, plays=1, players=2, frames=30), frozenset())
    windows = trajectory_windows(few.measured, STEPS)
    with pytest.raises(ConfigError, match="too few"):
        trajectory_baselines(few, windows, cases_of(few.measured, windows), STEPS)


def test_pass_baselines_when_a_pass_is_longer_than_what_was_fitted_then_it_is_forecast_still() -> None:
    """Rule: linear forecasts of passes are fitted on windows of 4 s; beyond, the last step's forecast stands."""
    found = scenes(games=8, seed=8)
    found.thrown[0], found.arrived[0] = found.first[0] + 12, found.first[0] + 62
    windows = trajectory_windows(found, 50)
    offsets = pass_baselines(split(found, frozenset()), windows, cases_of(found, windows))
    assert {offset.shape[1] for offset in offsets.values()} == {50}
    np.testing.assert_array_equal(offsets[plain.RIDGE][:, 39], offsets[plain.RIDGE][:, 49])
