"""The last part of the model: vectors of players as corrections to the linear forecast, and their spread."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cloud.training.trajectory.settings import TrajectorySettings

_MIN_SIGMA_M = 0.01
_MAX_LOG_SIGMA = 3.0


class Answer(NamedTuple):
    """What a model says of B moments: `offset` and `sigma` [B,P,H,2] m; of a mixture also `modes` and `mode_sigma`
    [B,P,M,H,2] m from the same origin and `mode_logit` [B,P,M]; with a coverage head `coverage_logit` [B], above 0
    where the defence rather plays zone.
    """  # noqa: D205  the shapes are the contract

    offset: Tensor
    sigma: Tensor
    modes: Tensor | None = None
    mode_sigma: Tensor | None = None
    mode_logit: Tensor | None = None
    coverage_logit: Tensor | None = None


class Decoder(nn.Module):
    """One path a player, in multiples of the linear forecast's spread, and with `gaussian` a spread of its own."""

    def __init__(self, settings: TrajectorySettings, horizon: int) -> None:
        super().__init__()
        self.horizon = horizon
        self.learns_spread = settings.decoder != "deterministic"
        inner = 2 * settings.width
        self.head = nn.Sequential(
            nn.Linear(2 * settings.width, inner),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(inner, horizon * (4 if self.learns_spread else 2)),
        )
        # At first the model is the linear forecast with its own spread.
        nn.init.zeros_(self.head[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.head[-1].bias)  # type: ignore[arg-type]

    def forward(self, players: Tensor, forecast: Tensor, spread: Tensor) -> Answer:
        """Map players [B,P,2C], forecast [B,P,H,2] m and spread [B,P,H,2] m to offset and sigma."""
        out = self.head(players.flatten(0, 1)).view(*players.shape[:2], self.horizon, -1)
        offset = forecast + out[..., :2] * spread
        if not self.learns_spread:
            return Answer(offset, spread + _MIN_SIGMA_M)
        return Answer(offset, _wide(out[..., 2:], spread))


class MixtureDecoder(nn.Module):
    """The one path and, beside it, M paths with spreads and weights: runs that split at a decision split here too."""

    def __init__(self, settings: TrajectorySettings, horizon: int) -> None:
        super().__init__()
        self.single = Decoder(settings, horizon)
        self.modes, self.horizon = settings.modes, horizon
        inner = 2 * settings.width
        self.shared = nn.Sequential(nn.Linear(2 * settings.width, inner), nn.GELU(), nn.Dropout(settings.dropout))
        self.paths = nn.Linear(inner, settings.modes * horizon * 4)
        self.weights = nn.Linear(inner, settings.modes)
        # Small and different: equal modes would all follow the same winner.
        nn.init.normal_(self.paths.weight, std=0.02)
        nn.init.normal_(self.paths.bias, std=0.2)

    def forward(self, players: Tensor, forecast: Tensor, spread: Tensor) -> Answer:
        """Map players [B,P,2C], forecast [B,P,H,2] m and spread [B,P,H,2] m to the path and the mixture around it."""
        single: Answer = self.single(players, forecast, spread)
        shared = self.shared(players)
        out = self.paths(shared).unflatten(-1, (self.modes, self.horizon, 4))
        scale = spread[:, :, None]
        modes = single.offset.detach()[:, :, None] + out[..., :2] * scale
        return single._replace(modes=modes, mode_sigma=_wide(out[..., 2:], scale), mode_logit=self.weights(shared))


class CoverageHead(nn.Module):
    """Whether the defence plays man or zone, from everybody's vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.Linear(width, 1)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, players: Tensor, mask: Tensor) -> Tensor:
        """Map players [B,P,C] and mask [B,P] to a logit [B]."""
        share = torch.softmax(self.attention(players)[..., 0] + (mask - 1.0) * 1e4, -1)
        attended = (players * share[..., None]).sum(1)
        mean = (players * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0)
        out: Tensor = self.out(torch.cat([attended, mean], -1))[..., 0]
        return out


def make_decoder(settings: TrajectorySettings, horizon: int) -> nn.Module:
    """Return the decoder that the settings name."""
    return MixtureDecoder(settings, horizon) if settings.decoder == "gmm" else Decoder(settings, horizon)


def _wide(logarithm: Tensor, spread: Tensor) -> Tensor:
    return spread * torch.exp(logarithm.clamp(-_MAX_LOG_SIGMA, _MAX_LOG_SIGMA)) + _MIN_SIGMA_M
