"""How well movement is forecast: displacement errors beside plain baselines, and how honest the stated spread is.

ADE is the mean distance over all steps up to a horizon, FDE the distance at it, in metres, over athletes (the ball
apart). A stated region covers 80 % when 80 % of what happened lies in it.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from cloud.training.graph_data import GraphBatch, Moments
from cloud.training.graph_model import TrajectoryModel
from shared.features.team import BALL_TEAM, HORIZON, RATE_HZ

Forecast = Callable[[GraphBatch], Tensor]
HORIZONS_S = (1, 2)
COVERED = 0.8
REGION = -2.0 * np.log(1.0 - COVERED)
"""Squared normalised distance that holds 80 % of a two-dimensional Gaussian: chi squared with 2 degrees of freedom."""
VELOCITY_STEPS = (1, 3, 5)
"""Constant velocity is measured over the last 0.1, 0.3 and 0.5 s; the best of them is the baseline."""
_BATCH = 128
_MOMENTS = 4096


def evaluate(model: TrajectoryModel, moments: Moments, *, limit: int = _MOMENTS) -> dict[str, float]:
    """Return displacement errors (m) of athletes and the ball, coverage of the 80 % region at each horizon, and NLL."""
    found = _errors(lambda batch: run(model, batch)[0], moments, limit)
    covered = coverage(model, moments, limit=limit)
    for second in HORIZONS_S:
        found[f"coverage80_{second}s"] = float(covered[0, second * RATE_HZ - 1])
    found["coverage80_lowest"] = float(covered[0].min())
    found["coverage80_highest"] = float(covered[0].max())
    return found


def baselines(model: TrajectoryModel, moments: Moments, *, limit: int = _MOMENTS) -> dict[str, float]:
    """Return the errors of the best constant velocity, and as `ridge_*` those of the model's own linear forecast."""
    straight = [_errors(_constant_velocity(steps), moments, limit) for steps in VELOCITY_STEPS]
    best = min(straight, key=lambda errors: errors[f"ade_{HORIZONS_S[-1]}s_m"])
    ridge = _errors(lambda batch: _linear(model, batch), moments, limit)
    return best | {f"ridge_{name}": value for name, value in ridge.items()}


def calibrate(model: TrajectoryModel, moments: Moments, *, limit: int = _MOMENTS) -> None:
    """Scale the stated spread, per kind and step ahead, so that the 80 % region holds 80 % of these moments."""
    model.temperature.fill_(1.0)
    for kind, distances in enumerate(_normalised(model, moments, limit)):
        if len(distances):
            model.temperature[kind] = (torch.quantile(distances, COVERED, dim=0) / REGION).sqrt()


def coverage(model: TrajectoryModel, moments: Moments, *, limit: int = _MOMENTS) -> Tensor:
    """Return the share [2,20] of what happened that lies in the stated 80 % region, NaN where there was nothing."""
    shares = [(distances <= REGION).float().mean(0) for distances in _normalised(model, moments, limit)]
    return torch.stack(shares)


def run(model: TrajectoryModel, batch: GraphBatch) -> tuple[Tensor, Tensor]:
    """Return offset and sigma without keeping gradients."""
    with torch.no_grad():
        offset, sigma = model(batch.history, batch.team, batch.mask)
    return offset, sigma


def batches(moments: Moments, limit: int) -> Iterator[GraphBatch]:
    """Yield at most `limit` moments, evenly spread over all."""
    picked = np.unique(np.linspace(0, len(moments) - 1, min(limit, len(moments))).astype(np.int64))
    for first in range(0, len(picked), _BATCH):
        yield moments.gather(picked[first : first + _BATCH])


def _normalised(model: TrajectoryModel, moments: Moments, limit: int) -> tuple[Tensor, Tensor]:
    """Return squared distances in units of sigma, [n,20] each of athletes and of the ball."""
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for batch in batches(moments, limit):
        offset, sigma = run(model, batch)
        distance = ((batch.future - offset) / sigma).square().sum(-1)
        whole, ball = batch.known.all(-1), batch.team == BALL_TEAM
        found[0].append(distance[whole & ~ball])
        found[1].append(distance[whole & ball])
    return torch.cat(found[0]), torch.cat(found[1])


def _errors(forecast: Forecast, moments: Moments, limit: int) -> dict[str, float]:
    players, ball = [], []
    for batch in batches(moments, limit):
        distance = (forecast(batch) - batch.future).square().sum(-1).sqrt()
        whole, is_ball = batch.known.all(-1), batch.team == BALL_TEAM
        players.append(distance[whole & ~is_ball])
        ball.append(distance[whole & is_ball])
    found: dict[str, float] = {}
    for prefix, parts in (("", players), ("ball_", ball)):
        distances = torch.cat(parts)
        if not len(distances):
            continue
        for second in HORIZONS_S:
            steps = second * RATE_HZ
            found[f"{prefix}ade_{second}s_m"] = float(distances[:, :steps].mean())
            found[f"{prefix}fde_{second}s_m"] = float(distances[:, steps - 1].mean())
    return found


def _constant_velocity(steps: int) -> Forecast:
    ahead = torch.arange(1, HORIZON + 1, dtype=torch.float32)[:, None]

    def forecast(batch: GraphBatch) -> Tensor:
        moved = (batch.history[:, :, -1] - batch.history[:, :, -1 - steps]) / steps
        return moved[:, :, None] * ahead

    return forecast


def _linear(model: TrajectoryModel, batch: GraphBatch) -> Tensor:
    steps = batch.history[:, :, 1:] - batch.history[:, :, :-1]
    return model.forecast(steps, (batch.team == BALL_TEAM).float() * batch.mask)
