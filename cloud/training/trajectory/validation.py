"""How a model does on games that it does not learn from, quick enough to be looked at during fitting."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from cloud.training.trajectory.geometry import own_moves
from cloud.training.trajectory.losses import gaussian_nll
from cloud.training.trajectory.model import TrajectoryModel
from cloud.training.trajectory.moments import GraphBatch, Moments
from shared.features.team import BALL_TEAM, RATE_HZ

SCORE = "val_share_of_linear"
"""Mean over the horizons of the error in shares of the linear forecast's: what is watched, lower is better."""
HORIZONS_S = (1, 2, 4)
_BATCH = 256
_MOMENTS = 2048


def validation_batches(moments: Moments) -> list[Tensor]:
    """Return newest frames [n] of batches: one moment a second, at most 2048, evenly spread."""
    starts = torch.from_numpy(moments.starts[::RATE_HZ].copy())
    if len(starts) > _MOMENTS:
        starts = starts[torch.linspace(0, len(starts) - 1, _MOMENTS).long()]
    return list(torch.split(starts.to(moments.device), _BATCH))


def horizons(steps: int) -> list[int]:
    """Return the horizons in s that a model of this many steps reaches."""
    return [second for second in HORIZONS_S if second * RATE_HZ <= steps]


@torch.no_grad()
def validation_sums(model: TrajectoryModel, batch: GraphBatch) -> Tensor:
    """Return sums [horizons + 1, 4]: model's error, linear forecast's error and how many; last row, column 3, NLL."""
    answer = model(batch.history, batch.role, batch.team, batch.mask)
    straight = model.forecast(own_moves(batch.history), (batch.team == BALL_TEAM).to(batch.mask.dtype) * batch.mask)
    known = batch.known * (batch.team != BALL_TEAM)[..., None]
    error, linear = ((path - batch.future).norm(dim=-1) for path in (answer.offset, straight))
    rows = []
    for second in horizons(model.horizon):
        ahead = second * RATE_HZ
        whole = known[..., ahead - 1 : ahead]  # known without a gap, so up to the horizon
        sums = [(value[..., :ahead] * whole).sum() for value in (error, linear)]
        rows.append(torch.stack([*sums, (error[..., ahead - 1 : ahead] * whole).sum(), whole.sum() * ahead]))
    nll = (gaussian_nll(answer.offset - batch.future, answer.sigma) * known).sum()
    rows.append(torch.stack([nll, known.sum(), nll * 0, nll * 0]))
    return torch.stack(rows).double()


def validation_metrics(model: TrajectoryModel, sums: Tensor) -> dict[str, float]:
    """Return ADE and FDE in m, ADE in shares of the linear forecast's, and NLL a step, of `validation_sums`."""
    found: dict[str, float] = {}
    shares = []
    for second, row in zip(horizons(model.horizon), sums[:-1], strict=True):
        error, linear, last, count = row.tolist()
        if not count:
            continue
        found[f"val_ade_{second}s_m"] = error / count
        found[f"val_fde_{second}s_m"] = last / count * second * RATE_HZ
        found[f"val_linear_ade_{second}s_m"] = linear / count
        shares.append(error / max(linear, 1e-9))
        found[f"val_share_of_linear_{second}s"] = shares[-1]
    nll, steps = sums[-1, :2].tolist()
    found["val_nll"] = nll / max(steps, 1.0)
    found[SCORE] = sum(shares) / max(len(shares), 1)
    return found


def validation_errors(model: TrajectoryModel, moments: Moments) -> dict[str, float]:
    """Return the metrics of a model in evaluation mode on all validation moments."""
    was_training = model.training
    model.eval()
    sums = total(validation_sums(model, batch) for batch in _batches(moments))
    model.train(was_training)
    return validation_metrics(model, sums)


def total(parts: Iterable[Tensor]) -> Tensor:
    """Return the sum of the batches' sums."""
    return torch.stack(list(parts)).sum(0)


def _batches(moments: Moments) -> Iterator[GraphBatch]:
    for newest in validation_batches(moments):
        yield moments.at(newest)
