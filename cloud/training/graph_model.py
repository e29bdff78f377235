"""The trajectory model: attention over everybody on the field, as a correction to a linear forecast.

What a player does next depends mostly on how they move now (a linear forecast says that well) and on where the others
and the ball are. Pairs enter through their geometry, computed here from raw positions, as attention biases and as
values, so that the gateway has no edges to build. Only differences of positions are used: moving the whole field
changes nothing. Teams enter only as same or other: exchanging them changes nothing.
"""

import torch
from torch import Tensor, nn

from cloud.training.settings import TrajectorySettings
from shared.features.team import BALL_TEAM, HISTORY, HORIZON

LAGS = HISTORY - 1
KINDS = 2
"""Athletes and the ball move by different rules: 0 and 1 in the buffers below."""
_PAIR_FEATURES = 14
_NODE_FEATURES = LAGS * 2 + HISTORY * 2 + 5
_SHUT_OUT = 1e4
_MIN_SIGMA_M = 0.01
_MAX_LOG_SIGMA = 3.0


class PairAttention(nn.Module):
    """Attention among P players with a bias and a few values per pair."""

    def __init__(self, settings: TrajectorySettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.per_head = settings.width // settings.heads
        self.queries = nn.Linear(settings.width, 3 * settings.width)
        self.out = nn.Linear(settings.width + settings.heads * settings.edge_values, settings.width)

    def forward(self, x: Tensor, bias: Tensor, values: Tensor) -> Tensor:
        """Map x [B,P,C], bias [B,heads,P,P] (query, key), values [B,P,P,V] to [B,P,C]."""
        shape = (x.shape[0], x.shape[1], 3, self.heads, self.per_head)
        query, key, value = self.queries(x).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(query @ key.transpose(-1, -2) * self.per_head**-0.5 + bias, -1)
        from_players = (weights @ value).transpose(1, 2).flatten(2)
        from_pairs = (weights.transpose(1, 2) @ values).flatten(2)
        out: Tensor = self.out(torch.cat([from_players, from_pairs], -1))
        return out


class TrajectoryModel(nn.Module):
    """history [B,P,11,2] m, team [B,P], mask [B,P] -> offset [B,P,20,2] m, sigma [B,P,20,2] m (TEAM_GRAPH.note)."""

    linear: Tensor
    spread: Tensor
    temperature: Tensor

    def __init__(self, settings: TrajectorySettings, linear: Tensor, spread: Tensor) -> None:
        """`linear` [2,10,20] weighs the last steps for each step ahead; `spread` [2,20] m is what it leaves open."""
        super().__init__()
        self.register_buffer("linear", linear)
        self.register_buffer("spread", spread)
        self.register_buffer("temperature", torch.ones(KINDS, HORIZON))
        self.layers, self.heads = settings.layers, settings.heads
        width, biases = settings.width, settings.heads * settings.layers
        self.stem = nn.Sequential(nn.Linear(_NODE_FEATURES, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.pairs = nn.Sequential(
            nn.Linear(_PAIR_FEATURES, settings.edge_width),
            nn.GELU(),
            nn.Linear(settings.edge_width, biases + settings.edge_values),
        )
        self.attention = nn.ModuleList([PairAttention(settings) for _ in range(settings.layers)])
        self.before = nn.ModuleList([nn.LayerNorm(width) for _ in range(settings.layers)])
        self.between = nn.ModuleList([nn.LayerNorm(width) for _ in range(settings.layers)])
        self.feed = nn.ModuleList([_feed_forward(width, settings.dropout) for _ in range(settings.layers)])
        self.last_norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, HORIZON * 4))
        # At first the model is the linear forecast with its own spread.
        nn.init.zeros_(self.head[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head[-1].bias)  # type: ignore[arg-type]

    def forward(self, history: Tensor, team: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return offset and sigma; masked players get offset 0."""
        history = history * mask[..., None, None]
        steps = history[:, :, 1:] - history[:, :, :-1]
        ball = (team == BALL_TEAM).to(history.dtype) * mask
        first = x = self.stem(_node_features(history, steps, ball))
        pairs = self.pairs(_pair_features(history[:, :, -1], steps, team, ball))
        split = self.heads * self.layers
        bias = pairs[..., :split].permute(0, 3, 1, 2) + (mask[:, None, None, :] - 1.0) * _SHUT_OUT
        for layer in range(self.layers):
            own = bias[:, layer * self.heads : (layer + 1) * self.heads]
            x = x + self.attention[layer](self.before[layer](x), own, pairs[..., split:])
            x = x + self.feed[layer](self.between[layer](x))
        out = self.head(torch.cat([first, self.last_norm(x)], -1))
        out = out.view(x.shape[0], x.shape[1], HORIZON, 4)
        spread = _by_kind(self.spread, ball)[..., None]
        offset = self.forecast(steps, ball) + out[..., :2] * spread
        wide = spread * torch.exp(out[..., 2:].clamp(-_MAX_LOG_SIGMA, _MAX_LOG_SIGMA)) + _MIN_SIGMA_M
        return offset * mask[..., None, None], wide * _by_kind(self.temperature, ball)[..., None]

    def forecast(self, steps: Tensor, ball: Tensor) -> Tensor:
        """Return the linear forecast [B,P,20,2] of the last steps [B,P,10,2]; both axes share the weights."""
        straight = steps.transpose(2, 3)
        of_kind = [(straight @ self.linear[kind]).transpose(2, 3) for kind in range(KINDS)]
        is_ball = ball[..., None, None]
        return of_kind[0] * (1.0 - is_ball) + of_kind[1] * is_ball


def _feed_forward(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width))


def _by_kind(table: Tensor, ball: Tensor) -> Tensor:
    """Map table [2,20] and ball [B,P] to [B,P,20]."""
    return table[0] * (1.0 - ball[..., None]) + table[1] * ball[..., None]


def _node_features(history: Tensor, steps: Tensor, ball: Tensor) -> Tensor:
    """Return [B,P,F]: the path so far, its steps, the vector to the ball and how far it is."""
    last = history[:, :, -1]
    seen = ball.sum(1).clamp(max=1.0)[:, None, None]
    where = (last * ball[..., None]).sum(1, keepdim=True) / ball.sum(1).clamp(min=1.0)[:, None, None]
    to_ball = (where - last) * seen
    near = torch.exp(-to_ball.square().sum(-1, keepdim=True).add(1e-6).sqrt() / 5.0) * seen
    path = (history - last[:, :, None]).flatten(2) / 3.0
    flags = [ball[..., None], seen.expand(-1, ball.shape[1], -1)]
    return torch.cat([path, (steps * 2.0).flatten(2).clamp(-4, 4), (to_ball / 15.0).clamp(-3, 3), near, *flags], -1)


def _pair_features(last: Tensor, steps: Tensor, team: Tensor, ball: Tensor) -> Tensor:
    """Return [B,P,P,14]: where the other one is, how they move against each other, where they will be, whose side."""
    speed = (steps[:, :, -3:].mean(2) * 10.0).clamp(-12, 12)
    away, closing = last[:, None] - last[:, :, None], speed[:, None] - speed[:, :, None]
    soon = away + closing * 0.6
    far = (away.square().sum(-1, keepdim=True) + 0.01).sqrt()
    far_soon = (soon.square().sum(-1, keepdim=True) + 0.01).sqrt()
    towards = (away * closing).sum(-1, keepdim=True) / far
    other_is_ball = ball[:, None, :, None].expand(-1, ball.shape[1], -1, -1)
    same = ((team[:, :, None] - team[:, None]).abs() < 0.5).to(last.dtype)[..., None]
    parts = [away / (far + 2.0), away / 20.0, closing / 6.0, soon / 20.0, torch.exp(-far / 2.0), torch.exp(-far / 6.0)]
    return torch.cat([*parts, torch.exp(-far_soon / 3.0), towards / 6.0, same, other_is_ball], -1)
