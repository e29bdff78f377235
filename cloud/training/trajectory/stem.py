"""The first part of the model: a player's last second and standing as one vector."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cloud.training.trajectory.geometry import (
    FIELD_MOTION_COLUMNS,
    FIELD_STANDING_FEATURES,
    MOTION_COLUMNS,
    STANDING_FEATURES,
)
from cloud.training.trajectory.settings import TrajectorySettings
from shared.features.team import HISTORY


class ColumnFilters(nn.Module):
    """Filters along time for each column alone, as long as the history: a grouped Conv1d that gives one value each.

    Written as a product of matrices, which costs a third of the convolution on a CPU.
    """

    def __init__(self, columns: int, filters: int) -> None:
        super().__init__()
        bound = HISTORY**-0.5
        self.weight = nn.Parameter(torch.empty(columns, HISTORY, filters).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, 1, filters).uniform_(-bound, bound))

    def forward(self, motion: Tensor) -> Tensor:
        """Map motion [N,11,C] to [N,C * filters]."""
        found = motion.permute(2, 0, 1) @ self.weight + self.bias
        return functional.gelu(found).transpose(0, 1).flatten(1)


class Stem(nn.Module):
    """motion [B,P,11,C] and standing [B,P,S] -> [B,P,width]."""

    def __init__(self, settings: TrajectorySettings, *, on_field: bool) -> None:
        super().__init__()
        columns = FIELD_MOTION_COLUMNS if on_field else MOTION_COLUMNS
        still = FIELD_STANDING_FEATURES if on_field else STANDING_FEATURES
        self.filters: nn.Module = nn.Flatten()
        seen = HISTORY * columns
        if settings.stem == "conv":
            self.filters = ColumnFilters(columns, settings.stem_filters)
            seen = columns * settings.stem_filters
        hidden = 2 * settings.width
        self.mixed = nn.Sequential(nn.Linear(seen + still, hidden), nn.GELU(), nn.Linear(hidden, settings.width))

    def forward(self, motion: Tensor, standing: Tensor) -> Tensor:
        """Return one vector a player."""
        rows = torch.cat([self.filters(motion.flatten(0, 1)), standing.flatten(0, 1)], -1)
        out: Tensor = self.mixed(rows).unflatten(0, standing.shape[:2])
        return out
