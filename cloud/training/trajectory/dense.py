"""Attention among everybody on the field, with a bias and a few values per pair: nothing to build beforehand."""

import torch
from torch import Tensor, nn

from cloud.training.trajectory.geometry import PAIR_FEATURES, Ends, pair_features
from cloud.training.trajectory.settings import TrajectorySettings

_SHUT_OUT = 1e4


class PairAttention(nn.Module):
    """Attention among P players with a bias and a few values per pair."""

    def __init__(self, settings: TrajectorySettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.per_head = settings.width // settings.heads
        self.queries = nn.Linear(settings.width, 3 * settings.width)
        self.out = nn.Linear(settings.width + settings.heads * settings.edge_values, settings.width)

    def forward(self, x: Tensor, bias: Tensor, values: Tensor) -> Tensor:
        """Map x [B*P,C], bias [B,heads,P,P] (query, key), values [B,P,P,V] to [B*P,C]."""
        shape = (*values.shape[:2], 3 * self.heads, self.per_head)
        together = self.queries(x).view(shape).transpose(1, 2)
        query, key, value = together.chunk(3, 1)
        weights = torch.softmax(query @ key.transpose(-1, -2) * self.per_head**-0.5 + bias, -1)
        from_players = (weights @ value).transpose(1, 2).reshape(x.shape)
        from_pairs = (weights.transpose(1, 2) @ values).reshape(x.shape[0], -1)
        out: Tensor = self.out(torch.cat([from_players, from_pairs], -1))
        return out


class DenseInteraction(nn.Module):
    """What players learn from one another by attention."""

    def __init__(self, settings: TrajectorySettings) -> None:
        super().__init__()
        self.layers, self.heads = settings.layers, settings.heads
        width, biases = settings.width, settings.heads * settings.layers
        self.pairs = nn.Sequential(
            nn.Linear(PAIR_FEATURES, settings.edge_width),
            nn.GELU(),
            nn.Linear(settings.edge_width, biases + settings.edge_values),
        )
        self.attention = nn.ModuleList([PairAttention(settings) for _ in range(settings.layers)])
        self.before = nn.ModuleList([nn.LayerNorm(width) for _ in range(settings.layers)])
        self.between = nn.ModuleList([nn.LayerNorm(width) for _ in range(settings.layers)])
        self.feed = nn.ModuleList([feed_forward(width, settings.dropout) for _ in range(settings.layers)])

    def forward(self, x: Tensor, players: Ends, mask: Tensor) -> Tensor:
        """Map x [B,P,C] to [B,P,C]; who is masked says nothing."""
        one, other = (Ends(*(part.unsqueeze(axis) for part in players)) for axis in (3, 2))
        pairs = self.pairs(pair_features(one, other).permute(0, 2, 3, 1))
        split = self.heads * self.layers
        bias = pairs[..., :split].permute(0, 3, 1, 2) + (mask[:, None, None, :] - 1.0) * _SHUT_OUT
        shape = x.shape
        x = x.flatten(0, 1)  # rows of one matrix: a product and its bias are then one step of the runtime
        for layer in range(self.layers):
            own = bias[:, layer * self.heads : (layer + 1) * self.heads]
            x = x + self.attention[layer](self.before[layer](x), own, pairs[..., split:])
            x = x + self.feed[layer](self.between[layer](x))
        return x.view(shape)


def feed_forward(width: int, dropout: float) -> nn.Sequential:
    """Return the part that each player goes through alone."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(dropout))
