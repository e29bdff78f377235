"""What can be forecast without a model: standing still, going on as before, and linear forecasts from one's own motion.

A model earns its place only by being better than `ridge` and than `control`, the linear forecast that sees all a model
sees but the other players.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.scenes import ROLES, Scenes
from cloud.evaluation.protocols import Cases, Windows, cases_of
from shared.errors import ConfigError
from shared.features.team import BALL_TEAM, HISTORY, RATE_HZ

CONSTANT_POSITION, CONSTANT_VELOCITY, DAMPED_VELOCITY = "constant_position", "constant_velocity", "damped_velocity"
RIDGE, CONTROL = "ridge", "linear_control"
PENALTY = 1.0
"""Added to the diagonal of the normal equations."""
TIME_CONSTANTS_S = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
_LEAST_CASES = 300
"""A step seen in fewer cases than this is forecast where the last one seen in so many is."""
_FEW = 30
_BALL_FRAMES = (0, 5, 10)

Floats = NDArray[np.floating]
Features = Callable[[Scenes, Windows, Cases], Floats]


def constant_position(cases: Cases, steps: int) -> Floats:
    """Return offsets [n,steps,2] m of players who stay where they are."""
    return np.zeros((len(cases), steps, 2))


def damped_velocity(cases: Cases, steps: int, time_constant_s: float = np.inf) -> Floats:
    """Return offsets [n,steps,2] m of players who keep the velocity of their last step, which decays exponentially.

    v * tau * (1 - exp(-t / tau)), or v * t with no decay: constant velocity.
    """
    velocity = (cases.history[:, -1] - cases.history[:, -2]) * RATE_HZ
    time_s = np.arange(1, steps + 1) / RATE_HZ
    if np.isfinite(time_constant_s):
        time_s = time_constant_s * -np.expm1(-time_s / time_constant_s)
    return np.asarray(velocity[:, None] * time_s[:, None])


def own_motion(_scenes: Scenes, _windows: Windows, cases: Cases) -> Floats:
    """Return the ridge's features [n,21]: the steps of the last second, and 1."""
    steps = np.diff(cases.history, axis=1).reshape(len(cases), -1)
    return np.concatenate([steps, np.ones((len(cases), 1))], axis=1)


def own_view(scenes: Scenes, windows: Windows, cases: Cases) -> Floats:
    """Return the control's features [n,77]: own motion, velocity and facing as stated, ball, role by team, place.

    All as if team 1 ran towards +x; what a recording does not state is 0. Nothing of any other player.
    """
    n, frame = len(cases), windows.frame[cases.window]
    scene = windows.scene[cases.window]
    sign = turned(scenes, windows, cases)[:, None, None]
    last = frame[:, None] + np.arange(1 - HISTORY, 1)
    own = sign * np.diff(cases.history, axis=1)
    velocity = sign * np.nan_to_num(scenes.velocity_mps[last, cases.player[:, None]]) / 5.0
    angle = scenes.facing_rad[frame, cases.player]
    facing = sign[:, 0] * np.nan_to_num(np.stack([np.sin(angle), np.cos(angle)], axis=1))
    ball = sign * np.nan_to_num(_ball_path(scenes, scene, last) - cases.history)[:, _BALL_FRAMES] / 10.0
    kind = np.eye(len(ROLES))[scenes.role[scene, cases.player]]
    offence = scenes.team[scene, cases.player] == 1
    place = _place_m(scenes, scene, cases) / 50.0
    wide = (own, velocity, facing, ball, kind, kind * offence[:, None], place, place**2, np.ones((n, 1)))
    return np.concatenate([part.reshape(n, -1) for part in wide], axis=1)


def turned(scenes: Scenes, windows: Windows, cases: Cases) -> Floats:
    """Return -1 for each case [n] of a scene whose offence runs towards -x, else 1."""
    return np.where(scenes.leftwards[windows.scene[cases.window]], -1.0, 1.0)


@dataclass(slots=True)
class LeastSquares:
    """Normal equations of a linear forecast for each step ahead; sums of them are those of all their cases."""

    features: Features
    turn: bool
    steps: int
    """Steps ahead to forecast; of cases that reach further, only as many are used."""
    gram: Floats = field(default_factory=lambda: np.zeros(0))
    moment: Floats = field(default_factory=lambda: np.zeros(0))
    count: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, scenes: Scenes, windows: Windows) -> "LeastSquares":
        """Take the cases of windows in; return self."""
        for chunk in windows.chunks():
            cases = cases_of(scenes, chunk)
            if not len(cases):
                continue
            x = self.features(scenes, chunk, cases)
            y = cases.future - cases.history[:, -1:]
            if self.turn:
                y = y * turned(scenes, chunk, cases)[:, None, None]
            if not self.gram.size:
                width = x.shape[1]
                self.gram = np.zeros((self.steps, width, width))
                self.moment, self.count = np.zeros((self.steps, width, 2)), np.zeros(self.steps, np.int64)
            for ahead in np.unique(cases.steps):  # cases of the same length share one product
                rows = cases.steps == ahead
                reach = min(int(ahead), self.steps)
                self.gram[:reach] += x[rows].T @ x[rows]
                self.moment[:reach] += np.einsum("nd,nsc->sdc", x[rows], y[rows, :reach], optimize=True)
                self.count[:reach] += int(rows.sum())
        return self

    def solve(self) -> Floats:
        """Return the weights [steps, features, 2] of the ridge regression.

        Raises: ConfigError when there were too few cases.
        """
        if not self.count.size or self.count[0] < _FEW:
            cases = int(self.count[:1].sum())
            raise ConfigError("--data", f"{cases} forecasts are too few to fit a baseline on; needed are {_FEW}")
        known = np.flatnonzero(self.count >= min(_LEAST_CASES, int(self.count[0])))
        penalty = PENALTY * np.eye(self.gram.shape[1])
        weights = np.linalg.solve(self.gram[known] + penalty, self.moment[known])
        return np.asarray(weights[np.minimum(np.arange(self.steps), len(known) - 1)])

    def forecast(self, weights: Floats, scenes: Scenes, windows: Windows, cases: Cases) -> Floats:
        """Return offsets [n,steps,2] m."""
        offset = np.einsum("nd,sdc->nsc", self.features(scenes, windows, cases), weights, optimize=True)
        if self.turn:
            offset = offset * turned(scenes, windows, cases)[:, None, None]
        return np.asarray(offset)


def total(parts: Sequence[LeastSquares]) -> LeastSquares:
    """Return the normal equations of several sets of cases together."""
    full = [part for part in parts if part.gram.size]
    first = parts[0]
    summed = LeastSquares(first.features, turn=first.turn, steps=first.steps)
    if full:
        summed.gram, summed.moment, summed.count = (
            np.sum([getattr(part, name) for part in full], axis=0) for name in ("gram", "moment", "count")
        )
    return summed


def _ball_path(scenes: Scenes, scene: NDArray[np.int64], frames: NDArray[np.int64]) -> Floats:
    """Return where the ball was [n,T,2] m, NaN where there is none or it was not seen."""
    is_ball = scenes.team == BALL_TEAM
    row = is_ball.argmax(axis=1)[scene]
    path: Floats = scenes.xy_m[frames, row[:, None]].astype(np.float64)
    path[~is_ball.any(axis=1)[scene]] = np.nan
    return path


def _place_m(scenes: Scenes, scene: NDArray[np.int64], cases: Cases) -> Floats:
    """Return the newest positions [n,2] m on the field turned as the offence runs; 0 without a field."""
    here = cases.history[:, -1]
    if scenes.field is None:
        return np.zeros_like(here)
    size = np.array([scenes.field.length_m, scenes.field.width_m])
    return np.where(scenes.leftwards[scene][:, None], size - here, here)
