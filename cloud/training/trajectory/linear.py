"""The linear forecast that the model corrects, fitted by ridge regression."""

import torch
from torch import Tensor

from cloud.training.trajectory.geometry import own_moves
from cloud.training.trajectory.moments import Moments
from shared.errors import ModelIncompatible
from shared.features.team import BALL_TEAM

_MOMENTS = 4_000
_RIDGE = 1.0
_FLOOR_M = 0.02


def fit_linear(moments: Moments, seed: int) -> tuple[Tensor, Tensor]:
    """Return ridge weights [2,L,H] from own moves to each step ahead, and their residual spread [2,H] in m.

    Athletes (0) and the ball (1) apart; both axes share the weights, so that the forecast turns with the field.
    Raises: ModelIncompatible when nobody's next step is known.
    """
    generator = torch.Generator().manual_seed(seed)
    batch = moments.gather(torch.randperm(len(moments), generator=generator)[:_MOMENTS].sort().values)
    moves, begun = own_moves(batch.history), batch.known[..., 0] > 0
    if not begun.any():
        raise ModelIncompatible("too little data: nobody is seen for a whole second and a step more")
    weights, spreads = [], []
    for is_ball in (False, True):
        here = begun & ((batch.team == BALL_TEAM) == is_ball)
        if not here.any():  # a squad without a tagged ball: what holds for athletes has to do
            here = begun
        x = moves[here].transpose(1, 2).flatten(0, 1).double()
        y = batch.future[here].transpose(1, 2).flatten(0, 1).double()
        known = batch.known[here].repeat_interleave(2, 0) > 0
        solved, spread = _ridge(x, y, known)
        weights.append(solved.float())
        spreads.append(spread.clamp(min=_FLOOR_M).float())
    return torch.stack(weights).cpu(), torch.stack(spreads).cpu()


def _ridge(x: Tensor, y: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights [L,H] and spread [H] of x [n,L] to y [n,H], each step from where it is known.

    A step that nobody reached goes on as the one before it did.
    """
    weights: list[Tensor] = []
    spreads: list[Tensor] = []
    for step in range(y.shape[1]):
        here = known[:, step]
        if not here.any():
            longer = (step + 1) / step
            weights.append(weights[-1] * longer)
            spreads.append(spreads[-1] * longer)
            continue
        seen, ahead = x[here], y[here, step]
        gram = seen.T @ seen + _RIDGE * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        weights.append(torch.linalg.solve(gram, seen.T @ ahead))
        spreads.append((ahead - seen @ weights[-1]).square().mean().sqrt())
    return torch.stack(weights, 1), torch.stack(spreads)
