"""What the model sees of a moment: paths, velocities, lines of the field and pairs, all as vectors between things.

Only differences of positions are used, and each can be turned: moving a field or turning it with everybody on it
changes nothing but the direction of the answer.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from cloud.datasets.scenes import ROLES, Field
from shared.features.team import BALL_TEAM

PAIR_FEATURES = 16
MOTION_COLUMNS = 6
"""Path, step and vector to the ball, x and y each; a field's recordings add velocity and facing."""
FIELD_MOTION_COLUMNS = 10
STANDING_FEATURES = 5
_BORDERS = 4
FIELD_STANDING_FEATURES = STANDING_FEATURES + _BORDERS * 5 + 3 + len(ROLES)
_END_ZONE_M = 9.144
_STEP_S = 0.1
_SPEED_STEPS = 3
"""A player's speed beside others' is the mean over these."""
_FAST_MPS, _MOST_MPS = 6.0, 12.0


class Paths(NamedTuple):
    """One batch as vectors: `last` [B,P,2] m, `path` [B,P,11,2] m from it, `steps` [B,P,10,2] m, `ball` [B,P] 1 where
    the row is the ball, `to_ball` [B,P,11,2] m and `seen` [B,1,1] 1 where there is one; of recordings with a field
    also `velocity` and `facing` [B,P,11,2] and `borders` [B,P,4,2] m to sidelines and goal lines.
    """  # noqa: D205  the shapes are the contract

    last: Tensor
    path: Tensor
    steps: Tensor
    ball: Tensor
    to_ball: Tensor
    seen: Tensor
    velocity: Tensor | None
    facing: Tensor | None
    borders: Tensor | None


def paths(history: Tensor, team: Tensor, mask: Tensor, field: Tensor | None) -> Paths:
    """Return the vectors of a batch; `field` is length and width in m, None without one."""
    xy = history[..., :2]
    last = xy[:, :, -1]
    ball = (team == BALL_TEAM).to(history.dtype) * mask
    count = ball.sum(1)[:, None, None]
    seen = count.clamp(max=1.0)
    where = (xy * ball[..., None, None]).sum(1, keepdim=True) / count.clamp(min=1.0)[..., None]
    return Paths(
        last=last,
        path=xy - last[:, :, None],
        steps=xy[:, :, 1:] - xy[:, :, :-1],
        ball=ball,
        to_ball=(where - xy) * seen[..., None],
        seen=seen,
        velocity=None if field is None else history[..., 2:4],
        facing=None if field is None else history[..., 4:6],
        borders=None if field is None else _borders(last, field),
    )


def turned(given: Paths, turn: Tensor) -> Paths:
    """Return every vector times `turn` [B,2,2], a rotation that may stretch; facings keep their length."""

    def apply(vectors: Tensor, by: Tensor = turn) -> Tensor:
        # Not as a matrix product: mixed precision would round metres to bfloat16.
        rows = by.view(-1, *[1] * (vectors.dim() - 2), 2, 2)
        return vectors[..., :1] * rows[..., 0, :] + vectors[..., 1:] * rows[..., 1, :]

    only_turned = turn / turn[:, :1].norm(dim=-1, keepdim=True)
    return given._replace(
        last=apply(given.last),
        path=apply(given.path),
        steps=apply(given.steps),
        to_ball=apply(given.to_ball),
        velocity=None if given.velocity is None else apply(given.velocity),
        facing=None if given.facing is None else apply(given.facing, only_turned),
        borders=None if given.borders is None else apply(given.borders),
    )


def own_moves(history: Tensor) -> Tensor:
    """Return what the linear forecast weighs [B,P,10 or 21,2] m: the last steps, and stated velocities as steps."""
    steps = history[:, :, 1:, :2] - history[:, :, :-1, :2]
    return steps if history.shape[-1] == 2 else torch.cat([steps, history[..., 2:4] * _STEP_S], 2)


def moves(given: Paths) -> Tensor:
    """Return `own_moves` of vectors that may have been turned."""
    return given.steps if given.velocity is None else torch.cat([given.steps, given.velocity * _STEP_S], 2)


def motion(given: Paths) -> Tensor:
    """Return each player's columns over time [B,P,11,6 or 10], of size about 1."""
    stepped = functional.pad(given.steps * 2.0, (0, 0, 1, 0)).clamp(-4, 4)
    parts = [given.path / 3.0, stepped, (given.to_ball / 15.0).clamp(-3, 3)]
    if given.velocity is not None and given.facing is not None:
        parts += [given.velocity / 5.0, given.facing]
    return torch.cat(parts, -1)


def standing(given: Paths, role: Tensor, team: Tensor, mask: Tensor) -> Tensor:
    """Return what does not change over time [B,P,5 or 39]: the ball, and on a field the borders, role and side."""
    now = given.to_ball[:, :, -1]
    near = torch.exp(-_length(now) / 5.0) * given.seen
    parts = [(now / 15.0).clamp(-3, 3), near, given.ball[..., None], given.seen.expand(-1, now.shape[1], -1)]
    if given.borders is not None:
        far = _length(given.borders)
        # Far lines matter by their direction, near ones by their distance.
        parts += [(given.borders / 30.0).flatten(2), (given.borders / (far + 3.0)).flatten(2)]
        parts += [torch.exp(-far / 8.0).flatten(2)]
        parts += [_one_hot(team + 1.0, 3) * mask[..., None], _one_hot(role, len(ROLES)) * mask[..., None]]
    return torch.cat(parts, -1)


class Ends(NamedTuple):
    """Players as ends of pairs: `last` [.,2,..] newest position in m, `speed` [.,2,..] in 6 m/s, `team` and `ball`
    [.,1,..], 1 where it is the ball. The second axis holds x and y, so that pairs lie side by side in memory.
    """  # noqa: D205  the shapes are the contract

    last: Tensor
    speed: Tensor
    team: Tensor
    ball: Tensor


def ends(given: Paths, team: Tensor) -> Ends:
    """Return everybody as an end of a pair: [B,2,P] and [B,1,P]."""
    fast = _FAST_MPS * _SPEED_STEPS * _STEP_S
    speed = (given.path[:, :, -1 - _SPEED_STEPS] / -fast).clamp(-_MOST_MPS / _FAST_MPS, _MOST_MPS / _FAST_MPS)
    return Ends(given.last.transpose(1, 2), speed.transpose(1, 2), team[:, None], given.ball[:, None])


def pair_features(one: Ends, other: Ends) -> Tensor:
    """Return [.,16,..] of ordered pairs: where the other is, how they move against each other, will be, whose side."""
    away, closing = other.last - one.last, other.speed - one.speed
    soon = away + closing * (0.6 * _FAST_MPS)
    far, far_soon = _length(away, 1), _length(soon, 1)
    direction = away / far
    leaves = (direction * other.speed).sum(1, keepdim=True)
    follows = (direction * one.speed).sum(1, keepdim=True)
    same = ((one.team - other.team).abs() < 0.5).to(away.dtype)
    parts = [
        away / (far + 2.0),
        away / 20.0,
        closing,
        soon / 20.0,
        torch.exp(far * (-1 / 2)),
        torch.exp(far * (-1 / 6)),
    ]
    parts += [torch.exp(far_soon * (-1 / 3)), leaves - follows, follows, leaves, same, other.ball.expand(same.shape)]
    return torch.cat(parts, 1)


def field_size(field: Field) -> Tensor:
    """Return length and width as a tensor [2] in m."""
    return torch.tensor([field.length_m, field.width_m])


def _borders(last: Tensor, field: Tensor) -> Tensor:
    """Return vectors [B,P,4,2] to both sidelines and both goal lines."""
    across, along = field.new_tensor([0.0, 1.0]), field.new_tensor([1.0, 0.0])
    lines = torch.stack([across * field[1], across * 0.0, along * (field[0] - _END_ZONE_M), along * _END_ZONE_M])
    return (lines - last[:, :, None]) * torch.stack([across, across, along, along])


def _length(vectors: Tensor, axis: int = -1) -> Tensor:
    """Return lengths along an axis, which stays; never 0, so that their gradient is always a number."""
    return (vectors.square().sum(axis, keepdim=True) + 0.01).sqrt()


def _one_hot(codes: Tensor, count: int) -> Tensor:
    return (codes[..., None] == torch.arange(count, device=codes.device, dtype=codes.dtype)).to(codes.dtype)
