import numpy as np
import pytest

from cloud.evaluation.bootstrap import Resampling, Value
from cloud.evaluation.calibration import conformal_threshold, cross_conformal, cross_fitted, temperature
from cloud.evaluation.displacement import YARD_M, displacement, distances, skill
from cloud.evaluation.forecasts import Forecasts
from cloud.evaluation.spread import (
    best_of_paths,
    cross_fitted_nll,
    gaussian_nll,
    gaussian_rank,
    mixture_nll,
    mixture_rank,
    squared_radius,
)


def gaussian(n: int, steps: int, sigma: float, *, seed: int = 0) -> tuple[Forecasts, np.ndarray]:
    """Return forecasts at 0 that are `sigma` unsure, and what happened: 1.0 and 2.0 m of scatter in x and y."""
    rng = np.random.default_rng(seed)
    actual = rng.normal(size=(n, steps, 2)) * [1.0, 2.0]
    zero = np.zeros((n, steps, 2))
    return Forecasts(offset=zero, sigma=zero + np.array([1.0, 2.0]) * sigma), actual


def test_displacement_when_worked_out_by_hand_then_equal() -> None:
    """Rule: ADE over all steps asked for, FDE at a case's own last step, a miss over 2 yd, RMSE of one coordinate."""
    actual = np.array([[[3.0, 4.0], [0.0, 1.0]], [[0.0, 1.0], [np.nan, np.nan]]])
    distance = distances(np.zeros((2, 2, 2)), actual)
    found = displacement(distance, Resampling(np.array(["a", "b"])), unit_m=YARD_M)
    assert found.ade.value == pytest.approx((5 + 1 + 1) / 3 / YARD_M)
    assert found.fde.value == pytest.approx(1 / YARD_M)
    assert found.miss_2yd.value == 0.0
    assert found.rmse.value == pytest.approx(np.sqrt((25 + 1 + 1) / 6) / YARD_M)
    far = displacement(np.array([[1.83], [1.82]]), Resampling(np.array(["a", "a"])), unit_m=1.0)
    assert far.miss_2yd == Value(0.5)


def test_interval_when_games_differ_then_it_is_of_games_and_not_of_rows() -> None:
    """Rule: a thousand rows of two games are worth two; rows of one game alone give no interval."""
    values = np.concatenate([np.zeros(500), np.ones(500)])
    two = Resampling(np.repeat(["a", "b"], 500)).mean(values)
    assert (two.value, two.low, two.high) == (0.5, 0.0, 1.0)
    many = Resampling(np.repeat(np.arange(100), 10)).mean(values)
    assert many.low is not None
    assert many.high is not None
    assert 0.37 < many.low < 0.45
    assert 0.55 < many.high < 0.63
    assert Resampling(np.repeat("a", 1000)).mean(values) == Value(0.5)


def test_skill_when_a_baseline_is_twice_as_far_off_then_half_with_paired_draws() -> None:
    """Rule: 1 - ADE / ADE of the baseline, on the same draws of games, so that a constant ratio has no spread."""
    rng = np.random.default_rng(1)
    distance = rng.exponential(size=(300, 5))
    found = skill(distance, {"same": distance, "twice": 2 * distance}, Resampling(np.arange(300) % 20))
    assert found["same"] == Value(0.0, 0.0, 0.0)
    np.testing.assert_allclose([found["twice"].value, found["twice"].low, found["twice"].high], 0.5)


def test_gaussian_when_honest_then_ranks_are_uniform_and_the_likelihood_is_the_formula() -> None:
    """Rule: the region of level p holds p of what happens; NLL is that of a two-dimensional Gaussian."""
    forecasts, actual = gaussian(40_000, 1, 1.0)
    rank = gaussian_rank(squared_radius(forecasts, actual))
    for level in (0.5, 0.8, 0.9, 0.95):
        assert (rank <= level).mean() == pytest.approx(level, abs=0.01)
    entropy = 1.0 + np.log(2 * np.pi) + np.log(2.0)
    assert gaussian_nll(forecasts, actual).mean() == pytest.approx(entropy, abs=0.02)


def test_mixture_when_it_is_one_gaussian_then_it_says_what_the_gaussian_says() -> None:
    """Rule: ranks and likelihood of a mixture generalise those of one Gaussian."""
    forecasts, actual = gaussian(2000, 3, 1.3)
    paths = np.repeat(forecasts.offset[:, None], 2, axis=1)
    spread = np.repeat(forecasts.sigma[:, None], 2, axis=1)
    both = Forecasts(
        offset=forecasts.offset,
        sigma=forecasts.sigma,
        modes=paths,
        mode_sigma=spread,
        weight=np.tile([0.25, 0.75], (2000, 1)),
    )
    np.testing.assert_allclose(mixture_nll(both, actual), gaussian_nll(forecasts, actual))
    exact = gaussian_rank(squared_radius(forecasts, actual))
    assert np.abs(mixture_rank(both, actual) - exact).mean() < 0.04
    assert np.abs(mixture_rank(both, actual) - exact).max() < 0.25


def test_mixture_when_two_paths_are_apart_then_regions_follow_both() -> None:
    """Rule: what lies on either path is inside, what lies between them is not; the best path counts for minADE."""
    paths = np.array([[-5.0, 0.0], [5.0, 0.0]])[None, :, None]
    mixture = Forecasts(
        offset=np.zeros((1, 1, 2)),
        sigma=np.ones((1, 1, 2)),
        modes=paths,
        mode_sigma=np.ones_like(paths),
        weight=np.array([[0.5, 0.5]]),
    )
    on, between = np.array([[[5.0, 0.0]]]), np.array([[[0.0, 0.0]]])
    assert mixture_rank(mixture, on)[0, 0] < 0.1
    assert mixture_rank(mixture, between)[0, 0] > 0.95
    assert best_of_paths(mixture, on).min() == 0.0
    assert best_of_paths(mixture, between).min() == 5.0


def test_temperature_when_sigma_is_half_then_two() -> None:
    """Rule: the temperature makes the 80 % region hold 80 %; it is fitted on other folds than it is used on."""
    forecasts, actual = gaussian(20_000, 2, 0.5)
    squared = squared_radius(forecasts, actual)
    np.testing.assert_allclose(temperature(squared), 2.0, atol=0.03)
    fold = np.arange(20_000) % 4
    squared[fold == 3] *= 100.0
    fitted = cross_fitted(squared[:, 0], fold)
    assert fitted[fold == 3].max() == pytest.approx(2.0, abs=0.05)
    assert fitted[fold != 3].min() > 2.3


def test_conformal_when_errors_are_not_what_a_model_thinks_then_new_games_are_held_still() -> None:
    """Rule: the region holds its share of a new game on average, whatever the errors; with few games, all."""
    rng = np.random.default_rng(3)
    held = []
    for _ in range(200):
        size = rng.lognormal(0.0, 1.0, 31)  # each game has a size of errors of its own
        score = 1.0 - np.exp(-(rng.standard_t(2, (31, 40)) ** 2) * size[:, None] ** 2 / 50)
        level = conformal_threshold(score[:-1].ravel(), np.repeat(np.arange(30), 40), 0.8)
        held.append((score[-1] <= level).mean())
    assert 0.76 < np.mean(held) < 0.88
    assert conformal_threshold(np.linspace(0, 1, 90), np.repeat(np.arange(9), 10), 0.95) == np.inf
    alone = cross_conformal(np.linspace(0, 1, 10), np.repeat("a", 10), np.zeros(10, np.int64), 0.5)
    assert np.isinf(alone).all()


def test_likelihood_of_a_baseline_when_its_spread_is_fitted_elsewhere_then_near_the_entropy() -> None:
    """Rule: a forecast without a spread gets that of its errors in other folds."""
    rng = np.random.default_rng(4)
    distance = np.linalg.norm(rng.normal(0.0, 3.0, (5000, 2, 2)), axis=-1)
    found = cross_fitted_nll(distance, np.arange(5000) % 5)
    np.testing.assert_allclose(found.mean(axis=0), 1.0 + np.log(2 * np.pi * 9.0), atol=0.05)
