"""How well movement is forecast: displacement errors beside plain baselines, and how honest the stated spread is.

ADE is the mean distance over all steps up to a horizon, FDE the distance at it, in metres, over athletes (the ball
apart). A stated region covers 80 % when 80 % of what happened lies in it.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from cloud.training.trajectory.decoder import Answer
from cloud.training.trajectory.geometry import own_moves
from cloud.training.trajectory.model import TrajectoryModel
from cloud.training.trajectory.moments import GraphBatch, Moments
from cloud.training.trajectory.validation import horizons
from shared.features.team import BALL_TEAM, RATE_HZ

Forecast = Callable[[GraphBatch], Tensor]
COVERED = 0.8
REGION = -2.0 * np.log(1.0 - COVERED)
"""Squared normalised distance that holds 80 % of a two-dimensional Gaussian: chi squared with 2 degrees of freedom."""
VELOCITY_STEPS = (1, 3, 5)
"""Constant velocity is measured over the last 0.1, 0.3 and 0.5 s; the best of them is the baseline."""
_BATCH = 128
_MOMENTS = 4096


def evaluate(model: TrajectoryModel, moments: Moments, *, limit: int = _MOMENTS) -> dict[str, float]:
    """Return displacement errors (m) of athletes and the ball, coverage of the 80 % region at each horizon, and NLL."""
    found = _errors(lambda batch: run(model, batch).offset, moments, limit)
    covered = coverage(model, moments, limit=limit)[0]
    reached = covered[torch.isfinite(covered)]
    for second in horizons(len(reached)):
        found[f"coverage80_{second}s"] = float(reached[second * RATE_HZ - 1])
    if len(reached):
        found["coverage80_lowest"], found["coverage80_highest"] = float(reached.min()), float(reached.max())
    return found


def baselines(model: TrajectoryModel, moments: Moments, *, limit: int = _MOMENTS) -> dict[str, float]:
    """Return the errors of the best constant velocity, and as `ridge_*` those of the model's own linear forecast."""
    straight = [_errors(_constant_velocity(steps), moments, limit) for steps in VELOCITY_STEPS]
    best = min(straight, key=lambda errors: errors[max(name for name in errors if name.startswith("ade_"))])
    ridge = _errors(lambda batch: _linear(model, batch), moments, limit)
    return best | {f"ridge_{name}": value for name, value in ridge.items()}


def calibrate(model: TrajectoryModel, moments: Moments, *, limit: int = _MOMENTS) -> None:
    """Scale the stated spread, per kind and step ahead, so that the 80 % region holds 80 % of these moments."""
    model.temperature.fill_(1.0)
    for kind, distances in enumerate(_normalised(model, moments, limit)):
        if len(distances):
            found = (torch.nanquantile(distances, COVERED, dim=0) / REGION).sqrt()
            # A step that nobody reached keeps the spread that the model states.
            model.temperature[kind] = torch.where(torch.isfinite(found), found, 1.0)


def coverage(model: TrajectoryModel, moments: Moments, *, limit: int = _MOMENTS) -> Tensor:
    """Return the share [2,H] of what happened that lies in the stated 80 % region, NaN where there was nothing."""
    shares = []
    for distances in _normalised(model, moments, limit):
        known = torch.isfinite(distances)
        shares.append((distances <= REGION).sum(0) / known.sum(0))
    return torch.stack(shares)


def run(model: TrajectoryModel, batch: GraphBatch) -> Answer:
    """Return the answer without keeping gradients."""
    with torch.no_grad():
        answer: Answer = model(batch.history, batch.role, batch.team, batch.mask)
    return answer


def batches(moments: Moments, limit: int) -> Iterator[GraphBatch]:
    """Yield at most `limit` moments, evenly spread over all."""
    picked = np.unique(np.linspace(0, len(moments) - 1, min(limit, len(moments))).astype(np.int64))
    for first in range(0, len(picked), _BATCH):
        yield moments.gather(picked[first : first + _BATCH])


def _normalised(model: TrajectoryModel, moments: Moments, limit: int) -> tuple[Tensor, Tensor]:
    """Return squared distances in units of sigma, [n,H] each of athletes and of the ball, NaN where unknown."""
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for batch in batches(moments, limit):
        answer = run(model, batch)
        distance = ((batch.future - answer.offset) / answer.sigma).square().sum(-1)
        for kind, rows in enumerate(_by_kind(distance, batch)):
            found[kind].append(rows)
    return torch.cat(found[0]), torch.cat(found[1])


def _errors(forecast: Forecast, moments: Moments, limit: int) -> dict[str, float]:
    players, ball = [], []
    for batch in batches(moments, limit):
        of_players, of_ball = _by_kind((forecast(batch) - batch.future).square().sum(-1).sqrt(), batch)
        players.append(of_players)
        ball.append(of_ball)
    found: dict[str, float] = {}
    for prefix, parts in (("", players), ("ball_", ball)):
        distances = torch.cat(parts)
        if not len(distances):
            continue
        for second in horizons(distances.shape[1]):
            steps = second * RATE_HZ
            reached = distances[torch.isfinite(distances[:, steps - 1]), :steps]
            if len(reached):
                found[f"{prefix}ade_{second}s_m"] = float(reached.mean())
                found[f"{prefix}fde_{second}s_m"] = float(reached[:, -1].mean())
    return found


def _by_kind(values: Tensor, batch: GraphBatch) -> tuple[Tensor, Tensor]:
    """Return values [B,P,H] as rows [n,H] of athletes and of the ball whose next step is known; NaN where unknown."""
    rows = torch.where(batch.known > 0, values, torch.nan)
    begun, ball = batch.known[..., 0] > 0, batch.team == BALL_TEAM
    return rows[begun & ~ball], rows[begun & ball]


def _constant_velocity(steps: int) -> Forecast:
    def forecast(batch: GraphBatch) -> Tensor:
        ahead = torch.arange(1, batch.future.shape[2] + 1, dtype=torch.float32)[:, None]
        moved = (batch.history[:, :, -1, :2] - batch.history[:, :, -1 - steps, :2]) / steps
        return moved[:, :, None] * ahead

    return forecast


def _linear(model: TrajectoryModel, batch: GraphBatch) -> Tensor:
    return model.forecast(own_moves(batch.history), (batch.team == BALL_TEAM).float() * batch.mask)
