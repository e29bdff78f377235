"""The trajectory model: what players learn from one another, as a correction to a linear forecast.

What a player does next depends mostly on how they move now (a linear forecast says that well) and on where the others,
the ball and the lines are. Only differences of positions are used: moving the whole field changes nothing. Without a
field, teams enter only as same or other: exchanging them changes nothing.
"""

import torch
from torch import Tensor, nn

from cloud.datasets.scenes import Field
from cloud.training.trajectory.decoder import Answer, CoverageHead, make_decoder
from cloud.training.trajectory.dense import DenseInteraction
from cloud.training.trajectory.geometry import ends, field_size, motion, moves, paths, standing, turned
from cloud.training.trajectory.settings import TrajectorySettings
from cloud.training.trajectory.stem import Stem

KINDS = 2
"""Athletes and the ball move by different rules: 0 and 1 in the buffers below."""


class TrajectoryModel(nn.Module):
    """Moments as a GraphBatch holds them -> Answer; what is inside is chosen by the settings."""

    linear: Tensor
    spread: Tensor
    temperature: Tensor
    field: Tensor

    def __init__(
        self, settings: TrajectorySettings, linear: Tensor, spread: Tensor, field: Field | None = None
    ) -> None:
        """`linear` [2,L,H] weighs a player's own moves for each step ahead; `spread` [2,H] m is what it leaves open."""
        super().__init__()
        self.settings = settings
        self.on_field = field is not None
        self.horizon = spread.shape[1]
        self.register_buffer("linear", linear)
        self.register_buffer("spread", spread)
        self.register_buffer("temperature", torch.ones(KINDS, self.horizon))
        self.register_buffer("field", torch.zeros(2) if field is None else field_size(field))
        self.stem = Stem(settings, on_field=self.on_field)
        self.interaction = _interaction(settings)
        self.last_norm = nn.LayerNorm(settings.width)
        self.decoder = make_decoder(settings, self.horizon)
        self.coverage = CoverageHead(settings.width) if settings.coverage else None

    def forward(self, history: Tensor, role: Tensor, team: Tensor, mask: Tensor, turn: Tensor | None = None) -> Answer:
        """Return the answer; masked players get offset 0.

        `turn` [B,2,2] turns all that the model sees, and so its answer: how training looks from every side.
        """
        history = history * mask[..., None, None]
        seen = paths(history, team, mask, self.field if self.on_field else None)
        if turn is not None:
            seen = turned(seen, turn)
        first = self.stem(motion(seen), standing(seen, role, team, mask))
        players = self.last_norm(self.interaction(first, ends(seen, team), mask))
        spread = _by_kind(_both_axes(self.spread), seen.ball)
        answer: Answer = self.decoder(torch.cat([first, players], -1), self.forecast(moves(seen), seen.ball), spread)
        here, temperature = mask[..., None, None], _by_kind(_both_axes(self.temperature), seen.ball)
        answer = answer._replace(offset=answer.offset * here, sigma=answer.sigma * temperature)
        if answer.modes is not None and answer.mode_sigma is not None:
            answer = answer._replace(
                modes=answer.modes * here[..., None], mode_sigma=answer.mode_sigma * temperature[:, :, None]
            )
        return answer if self.coverage is None else answer._replace(coverage_logit=self.coverage(players, mask))

    def forecast(self, steps: Tensor, ball: Tensor) -> Tensor:
        """Return the linear forecast [B,P,H,2] of `own_moves` [B,P,L,2]; both axes share the weights."""
        # Mixed precision would round metres: this one product stays in float32.
        with torch.autocast(steps.device.type, enabled=False):
            of_athlete, of_ball = (steps.transpose(2, 3) @ torch.cat([*self.linear], -1)).chunk(KINDS, -1)
            is_ball = ball[..., None, None]
            return (of_athlete * (1.0 - is_ball) + of_ball * is_ball).transpose(2, 3)


def _interaction(settings: TrajectorySettings) -> nn.Module:
    if settings.backend == "dense":
        return DenseInteraction(settings)
    # PyG takes seconds to load and only this backend runs on it.
    from cloud.training.trajectory.sparse import SparseInteraction  # noqa: PLC0415

    return SparseInteraction(settings)


def _both_axes(table: Tensor) -> Tensor:
    """Return [2,H] as [2,H,2]: what holds for x holds for y; written out, since stretching a narrow axis is slow."""
    return table[..., None].repeat(1, 1, 2)


def _by_kind(table: Tensor, ball: Tensor) -> Tensor:
    """Map table [2,H,2] and ball [B,P] to [B,P,H,2]."""
    is_ball = ball[..., None, None]
    return table[0] * (1.0 - is_ball) + table[1] * is_ball
