"""Moments as PyG graphs: players and ball are nodes, and what stands between them is edges of four kinds.

The dense backend needs none of this; the sparse one, notebooks and whoever brings a model of their own do.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_dense_batch

from cloud.training.trajectory.geometry import Ends, ends, pair_features, paths
from cloud.training.trajectory.moments import GraphBatch
from shared.features.team import BALL_TEAM

PROXIMITY, TEAM_MATE, OPPONENT, MARKING, ITSELF = 1, 2, 4, 8, 16
"""Kinds of an edge, as bits: one edge may be several, as a marking opponent near by is."""


def edges(last: Tensor, team: Tensor, mask: Tensor, neighbours: int) -> Tensor:
    """Return kinds of edges uint8[B,P,P] from player q (last axis) to p, 0 where there is none.

    `last` [B,P,2] m are newest places, `team` and `mask` [B,P] as in a GraphBatch.

    Proximity: q is among p's `neighbours` nearest; marking: q is p's nearest opponent or p is q's; everybody has an
    edge to itself, so that no graph is without any.
    """
    here, players = mask > 0, last.shape[1]
    both = here[:, :, None] & here[:, None]
    self_loop = torch.eye(players, dtype=torch.bool, device=last.device) & both
    other = both & ~self_loop
    far = torch.cdist(last, last).masked_fill(~other, float("inf"))
    plays = (team != BALL_TEAM)[:, :, None] & (team != BALL_TEAM)[:, None]
    same = team[:, :, None] == team[:, None]
    near = _nearest(far, neighbours) & other
    opponents = other & plays & ~same
    marked = _nearest(far.masked_fill(~opponents, float("inf")), 1) & opponents
    kinds = [near, other & plays & same, opponents, marked | marked.transpose(1, 2), self_loop]
    bits = torch.stack([kind.to(torch.uint8) * (1 << place) for place, kind in enumerate(kinds)])
    return bits.sum(0, dtype=torch.uint8)


def kept(kinds: Tensor) -> Tensor:
    """Return which edges carry messages: near ones, markings and loops; all team-mates would be nearly everybody."""
    return (kinds & (PROXIMITY | MARKING | ITSELF)) > 0


def moment(batch: GraphBatch, index: int, *, neighbours: int = 8) -> Data:
    """Return one moment as a graph of its present players.

    `x` [N,11,C] m, `role`, `team` [N], `y` [N,H,2] m, `known` [N,H]; `edge_index` [2,E] of every pair, `edge_kind` [E]
    bits, and `edge_attr` [E,16] the pair's geometry (`pair_features`) seen from the edge's target.
    """
    here = batch.mask[index] > 0
    one = GraphBatch(*(value[index : index + 1] for value in batch))
    kinds = edges(one.history[:, :, -1, :2], one.team, one.mask, neighbours)[0][here][:, here]
    kinds = torch.where(kinds == ITSELF, 0, kinds)
    target, source = torch.nonzero(kinds, as_tuple=True)
    seen = ends(paths(one.history[..., :2], one.team, one.mask, None), one.team)
    nodes = Ends(*(value[0].T[here] for value in seen))
    return Data(
        x=batch.history[index][here],
        role=batch.role[index][here],
        team=batch.team[index][here],
        y=batch.future[index][here],
        known=batch.known[index][here],
        coverage=batch.coverage[index : index + 1],
        edge_index=torch.stack([source, target]),
        edge_kind=kinds[target, source],
        edge_attr=pair_features(Ends(*(v[target] for v in nodes)), Ends(*(v[source] for v in nodes))),
        num_nodes=int(here.sum()),
    )


def dense(graphs: Sequence[Data]) -> GraphBatch:
    """Return PyG graphs as padded arrays; the inverse of `moment` but for the order of absent players."""
    batch = Batch.from_data_list(list(graphs))
    history, mask = to_dense_batch(batch.x, batch.batch)
    padded = (to_dense_batch(value, batch.batch)[0] for value in (batch.role, batch.team, batch.y, batch.known))
    role, team, future, known = padded
    return GraphBatch(history, role, team, mask.float(), future, known, batch.coverage)


def _nearest(far: Tensor, count: int) -> Tensor:
    """Return which others are among the `count` nearest of each row."""
    count = min(count, far.shape[-1])
    found = far.topk(count, dim=-1, largest=False).indices
    return torch.zeros_like(far, dtype=torch.bool).scatter_(-1, found, value=True)
