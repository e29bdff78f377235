"""Message passing along edges between players (GATv2, Brody et al. 2021; or TransformerConv, Shi et al. 2020).

It costs by the edge where the dense backend costs by the pair: for many more players than two teams. It trains and
compares; what is shipped is the dense one.
"""

import torch
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv, TransformerConv

from cloud.training.trajectory.dense import feed_forward
from cloud.training.trajectory.geometry import PAIR_FEATURES, Ends, pair_features
from cloud.training.trajectory.graph import edges, kept
from cloud.training.trajectory.settings import TrajectorySettings


class SparseInteraction(nn.Module):
    """What players learn from one another by messages along edges; the same interface as the dense one."""

    def __init__(self, settings: TrajectorySettings) -> None:
        super().__init__()
        width, count = settings.width, settings.layers
        self.neighbours = settings.neighbours
        self.pairs = nn.Sequential(nn.Linear(PAIR_FEATURES, settings.edge_width), nn.GELU())
        self.messages = nn.ModuleList([_messages(settings) for _ in range(count)])
        self.before = nn.ModuleList([nn.LayerNorm(width) for _ in range(count)])
        self.between = nn.ModuleList([nn.LayerNorm(width) for _ in range(count)])
        self.feed = nn.ModuleList([feed_forward(width, settings.dropout) for _ in range(count)])

    def forward(self, x: Tensor, players: Ends, mask: Tensor) -> Tensor:
        """Map x [B,P,C] to [B,P,C]; who is masked says nothing."""
        edge_index, attributes = self.along(players, mask)
        shape = x.shape
        x = x.flatten(0, 1)
        for layer in range(len(self.messages)):
            x = x + self.messages[layer](self.before[layer](x), edge_index, attributes)
            x = x + self.feed[layer](self.between[layer](x))
        return x.view(shape)

    def along(self, players: Ends, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return edges [2,E] between rows of the flattened batch, source first, and what they carry [E,edge_width]."""
        count = mask.shape[1]
        kinds = edges(players.last.transpose(1, 2), players.team[:, 0], mask, self.neighbours)
        batch, target, source = torch.nonzero(kept(kinds), as_tuple=True)
        rows = Ends(*(value.transpose(1, 2).flatten(0, 1) for value in players))
        target, source = batch * count + target, batch * count + source
        one, other = Ends(*(value[target] for value in rows)), Ends(*(value[source] for value in rows))
        return torch.stack([source, target]), self.pairs(pair_features(one, other))


def _messages(settings: TrajectorySettings) -> nn.Module:
    per_head = settings.width // settings.heads
    kind, more = (TransformerConv, {}) if settings.layer == "transformer" else (GATv2Conv, {"add_self_loops": False})
    made: nn.Module = kind(settings.width, per_head, heads=settings.heads, edge_dim=settings.edge_width, **more)
    return made
