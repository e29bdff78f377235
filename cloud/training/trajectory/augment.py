"""Moments seen anew: mirrored, turned, stretched, with players taken away; on the device, drawn by its generator."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from cloud.datasets.scenes import Field
from cloud.training.trajectory.moments import GraphBatch
from cloud.training.trajectory.settings import TrajectorySettings

_ACROSS = (1, 3, 5)
"""Columns that change sign when left and right are exchanged: y, velocity y, facing y."""


class Augmented(NamedTuple):
    """A batch and how its vectors are to be turned, [B,2,2]; its future is turned already."""

    batch: GraphBatch
    turn: Tensor


def augment(batch: GraphBatch, settings: TrajectorySettings, field: Field | None) -> Augmented:
    """Return the batch changed at random as the settings say."""
    batch = mirrored(thinned(batch, settings), settings.mirror, field)
    turn = draw_turns(len(batch.mask), settings, batch.mask.device)
    rows = turn[:, None, None]
    future = batch.future[..., :1] * rows[..., 0, :] + batch.future[..., 1:] * rows[..., 1, :]
    return Augmented(batch._replace(future=future), turn)


def mirrored(batch: GraphBatch, share: float, field: Field | None) -> GraphBatch:
    """Return the batch with left and right exchanged in this share of its moments, about the field's long axis."""
    flip = torch.rand(len(batch.mask), device=batch.mask.device) < share
    sign = 1.0 - 2.0 * flip.to(batch.future.dtype)
    columns = batch.history.shape[-1]
    across = torch.tensor([float(column in _ACROSS) for column in range(columns)], device=sign.device)
    signs = 1.0 - across * (1.0 - sign)[:, None]
    history = batch.history * signs[:, None, None]
    if field is not None:
        moved = flip[:, None].to(history.dtype) * field.width_m * batch.mask
        history = torch.cat([history[..., :1], history[..., 1:2] + moved[..., None, None], history[..., 2:]], -1)
    return batch._replace(history=history, future=batch.future * signs[:, None, None, :2])


def thinned(batch: GraphBatch, settings: TrajectorySettings) -> GraphBatch:
    """Return the batch with some players of some moments taken away."""
    device = batch.mask.device
    count = len(batch.mask)
    some = torch.rand(count, device=device) < settings.drop_graphs
    share = torch.where(some, torch.rand(count, device=device) * settings.drop_players, 0.0)
    kept = (torch.rand(batch.mask.shape, device=device) >= share[:, None]).to(batch.mask.dtype)
    here = kept[..., None, None]
    return batch._replace(
        history=batch.history * here,
        mask=batch.mask * kept,
        future=batch.future * here,
        known=batch.known * kept[..., None],
    )


def draw_turns(count: int, settings: TrajectorySettings, device: torch.device) -> Tensor:
    """Return random rotations [B,2,2], stretched by the settings' share."""
    some = torch.rand(count, device=device) < settings.rotate
    angle = torch.where(some, (torch.rand(count, device=device) * 2.0 - 1.0) * math.pi, 0.0)
    scale = 1.0 + (torch.rand(count, device=device) * 2.0 - 1.0) * settings.stretch
    cosine, sine = angle.cos() * scale, angle.sin() * scale
    return torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], -2)
