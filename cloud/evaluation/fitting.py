"""Baselines fitted on games apart from those they are measured on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.scenes import Scenes, choose
from cloud.evaluation import baselines as plain
from cloud.evaluation.displacement import distances
from cloud.evaluation.protocols import STRIDE, Cases, Windows, cases_of, trajectory_windows
from shared.errors import ConfigError
from shared.features.team import RATE_HZ

FOLDS = 5
_PASS_STEPS = 4 * RATE_HZ
_DENSE_STRIDE = STRIDE // 2
_SEED = 0

Floats = NDArray[np.floating]
FittedOn = Literal["other games", "training games", "the same windows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What is measured, `fold` int64[N] of each of its scenes (whole games), and what baselines are fitted on.

    Without `training` each fold's baselines are fitted on all other folds, or on itself when there is but one.
    """

    measured: Scenes
    fold: NDArray[np.int64]
    training: Scenes | None

    @property
    def fitted_on(self) -> FittedOn:
        """In words, for the report."""
        if self.training is not None:
            return "training games"
        return "other games" if len(np.unique(self.fold)) > 1 else "the same windows"


def split(scenes: Scenes, known: frozenset[str], training: Scenes | None = None) -> Split:
    """Return what to measure: all games but those `known` to the model, on which baselines are fitted if there are any.

    `training` are other scenes to fit baselines on; games that are measured are left out of them.
    Raises: ConfigError when there is no game, or none that the model does not know.
    """
    if not len(scenes):
        raise ConfigError("--data", "holds no game")
    own = np.isin(scenes.game, sorted(known))
    if own.all():
        raise ConfigError("--data", "every game in it is one that the model learnt from")
    measured = choose(scenes, np.flatnonzero(~own))
    if training is not None:
        apart = ~np.isin(training.game, measured.game)
        if not apart.any():
            raise ConfigError("--training", "holds only games that are measured")
        training = choose(training, np.flatnonzero(apart))
    elif own.any():
        training = choose(scenes, np.flatnonzero(own))
    return Split(measured=measured, fold=folds(measured.game), training=training)


def folds(game: NDArray[np.str_]) -> NDArray[np.int64]:
    """Return a fold for each scene; whole games, evenly spread by chance."""
    names, row = np.unique(game, return_inverse=True)
    shuffled = np.random.default_rng(_SEED).permutation(len(names))
    return np.asarray((shuffled % FOLDS)[row])


def trajectory_baselines(parts: Split, windows: Windows, cases: Cases, steps: int) -> dict[str, Floats]:
    """Return the offsets [n,steps,2] m of every baseline for windows of `steps`, fitted on windows of as many."""
    return _baselines(parts, windows, cases, steps, fitted_steps=steps)


def pass_baselines(parts: Split, windows: Windows, cases: Cases) -> dict[str, Floats]:
    """Return the offsets [n,S,2] m of every baseline for passes; fitted on windows of 4 s, of which there are many."""
    return _baselines(parts, windows, cases, cases.future.shape[1], fitted_steps=_PASS_STEPS)


def _baselines(parts: Split, windows: Windows, cases: Cases, steps: int, *, fitted_steps: int) -> dict[str, Floats]:
    shown = _Shown(parts, fitted_steps)
    ridge = plain.LeastSquares(plain.own_motion, turn=False, steps=steps)
    control = plain.LeastSquares(plain.own_view, turn=True, steps=steps)
    return {
        plain.CONSTANT_POSITION: plain.constant_position(cases, steps),
        plain.CONSTANT_VELOCITY: plain.damped_velocity(cases, steps),
        plain.DAMPED_VELOCITY: _damped(shown, windows, cases, steps),
        plain.RIDGE: _linear(shown, windows, cases, ridge, STRIDE),
        plain.CONTROL: _linear(shown, windows, cases, control, _DENSE_STRIDE),
    }


@dataclass(frozen=True, slots=True)
class _Shown:
    """The windows that baselines learn from, fold by fold."""

    split: Split
    steps: int

    def parts(self, stride: int) -> list[tuple[Scenes, Windows]]:
        """Return one part a fold, or the training games as the only part."""
        if self.split.training is not None:
            return [(self.split.training, trajectory_windows(self.split.training, self.steps, stride=stride))]
        windows = trajectory_windows(self.split.measured, self.steps, stride=stride)
        fold = self.split.fold[windows.scene]
        return [(self.split.measured, windows.pick(fold == part)) for part in np.unique(self.split.fold)]

    def asked(self, windows: Windows, cases: Cases) -> Iterator[tuple[NDArray[np.bool_], list[int]]]:
        """Yield which cases may learn from which parts."""
        if self.split.training is not None:
            yield np.ones(len(cases), np.bool_), [0]
            return
        fold = self.split.fold[windows.scene][cases.window]
        known = np.unique(self.split.fold).tolist()
        for part in known:
            yield fold == part, [index for index, other in enumerate(known) if other != part] or [0]


def _linear(shown: _Shown, windows: Windows, cases: Cases, empty: plain.LeastSquares, stride: int) -> Floats:
    """Return offsets [n,steps,2] m of a linear forecast."""
    sums = [
        plain.LeastSquares(empty.features, turn=empty.turn, steps=empty.steps).add(scenes, part)
        for scenes, part in shown.parts(stride)
    ]
    offset = np.zeros((len(cases), empty.steps, 2))
    for rows, chosen in shown.asked(windows, cases):
        if rows.any():
            weights = plain.total([sums[index] for index in chosen]).solve()
            offset[rows] = empty.forecast(weights, shown.split.measured, windows, cases.pick(rows))
    return offset


def _damped(shown: _Shown, windows: Windows, cases: Cases, steps: int) -> Floats:
    """Return offsets [n,steps,2] m of the damped velocity whose time constant errs least where it may learn."""
    sums = [_errors_by_time_constant(scenes, part, shown.steps) for scenes, part in shown.parts(STRIDE)]
    offset = np.zeros((len(cases), steps, 2))
    for rows, chosen in shown.asked(windows, cases):
        best = int(np.sum([sums[index] for index in chosen], axis=0).argmin())
        offset[rows] = plain.damped_velocity(cases.pick(rows), steps, plain.TIME_CONSTANTS_S[best])
    return offset


def _errors_by_time_constant(scenes: Scenes, windows: Windows, steps: int) -> Floats:
    found = np.zeros(len(plain.TIME_CONSTANTS_S))
    for chunk in windows.chunks():
        cases = cases_of(scenes, chunk)
        actual = cases.future - cases.history[:, -1:]
        found += [
            distances(plain.damped_velocity(cases, steps, seconds), actual).sum() for seconds in plain.TIME_CONSTANTS_S
        ]
    return found
