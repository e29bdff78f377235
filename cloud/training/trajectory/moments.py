"""Moments of recorded scenes as arrays on the training device: the last second, and where everybody went next.

Everything that a step of training reads lies on the device from the beginning and is gathered by index; that is some
ten times faster than collating graphs and gives the same numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cloud.datasets.positions import Recording
from cloud.datasets.scenes import Field, Scenes, normalise_direction
from cloud.datasets.steps import plausible_steps
from shared.errors import ModelIncompatible
from shared.features.base import FeatureSet
from shared.features.field import FIELD_GRAPH, field_columns
from shared.features.team import HISTORY, HORIZON, TEAM_GRAPH

MIN_PLAYERS = 2
MIN_STEPS = 5
"""Steps of known future that a moment of a scene must have to teach anything."""
_ABSENT = -2


class GraphBatch(NamedTuple):
    """B moments of up to P players, float32; 0 where masked or unknown.

    `history` [B,P,11,C]: x, y in m and what else the feature set has; `role`, `team`, `mask` [B,P]; `future` [B,P,H,2]
    m from the newest position; `known` [B,P,H] 1 where the future was recorded; `coverage` [B] 0 man, 1 zone, -1
    unknown.
    """

    history: Tensor
    role: Tensor
    team: Tensor
    mask: Tensor
    future: Tensor
    known: Tensor
    coverage: Tensor


class Moments:
    """Every usable moment of some scenes; `starts` int64[n] are the frames of their newest positions."""

    def __init__(
        self,
        columns: NDArray[np.float32],
        role: NDArray[np.integer],
        team: NDArray[np.integer],
        coverage: NDArray[np.integer],
        first: NDArray[np.int64],
        spans: NDArray[np.int64],
        *,
        features: FeatureSet,
        field: Field | None = None,
        least_steps: int = MIN_STEPS,
    ) -> None:
        """`columns` [F,P,C] are frames of N scenes, `role` and `team` [N,P], `coverage` [N].

        Scene n is frames first[n] up to first[n + 1]; moments lie in spans[n], both ends included, with their future,
        of which at least two players have `least_steps`.
        """
        self.features, self.field = features, field
        self.horizon = features.outputs[0][1][0]
        back, ahead = plausible_steps(columns[..., :2], team, first)
        self._scene = torch.from_numpy(np.repeat(np.arange(len(team)), np.diff(first)))
        last = np.repeat(spans[:, 1], np.diff(first))
        frames = np.arange(len(columns))
        inside = (frames >= np.repeat(spans[:, 0], np.diff(first))) & (frames <= last - least_steps)
        whole = (back >= HISTORY - 1) & (ahead >= least_steps)
        self.starts = np.flatnonzero(inside & (whole.sum(1) >= min(MIN_PLAYERS, whole.shape[1])))
        self._columns = torch.from_numpy(np.nan_to_num(columns))
        self._back, self._ahead = torch.from_numpy(back), torch.from_numpy(ahead)
        self._last = torch.from_numpy(last)
        self._role, self._team, self._coverage = (
            torch.from_numpy(a.astype(np.float32)) for a in (role, team, coverage)
        )

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def device(self) -> torch.device:
        """Where the arrays lie."""
        return self._columns.device

    @property
    def states_coverage(self) -> bool:
        """Whether any scene says if the defence played man or zone."""
        return bool((self._coverage >= 0).any())

    def to(self, device: torch.device) -> "Moments":
        """Move everything to a device and return self."""
        for name in ("_scene", "_columns", "_back", "_ahead", "_last", "_role", "_team", "_coverage"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def gather(self, indices: NDArray[np.int64] | Tensor) -> GraphBatch:
        """Return the moments of these indices into `starts`."""
        return self.at(torch.from_numpy(self.starts)[torch.as_tensor(indices)].to(self.device))

    def at(self, newest: Tensor) -> GraphBatch:
        """Return the moments whose newest frames are `newest` int64[B], on the device of the arrays."""
        scene = self._scene[newest]
        team = self._team[scene]
        near = torch.arange(1 - HISTORY, 1, device=newest.device)
        steps = torch.arange(1, self.horizon + 1, device=newest.device)
        back = self._columns[(newest[:, None] + near).clamp(min=0)].transpose(1, 2)
        following = (newest[:, None] + steps).clamp(max=len(self._columns) - 1)
        ahead = self._columns[following][..., :2].transpose(1, 2)
        mask = (self._back[newest] >= HISTORY - 1) & (team > _ABSENT)
        reach = torch.minimum(self._ahead[newest], (self._last[newest] - newest)[:, None])
        known = (steps <= reach[..., None]) & mask[..., None]
        future = torch.where(known[..., None], ahead - back[:, :, -1:, :2], 0.0)
        history = torch.where(mask[..., None, None], back, 0.0)
        return GraphBatch(history, self._role[scene], team, mask.float(), future, known.float(), self._coverage[scene])


def of_scenes(scenes: Scenes, features: FeatureSet, *, earlier_cut: int = 0) -> Moments:
    """Return the moments of scenes, from `earlier_cut` frames before what is measured on.

    Raises: ModelIncompatible when the feature set needs a field and there is none.
    """
    if features is FIELD_GRAPH and scenes.field is None:
        raise ModelIncompatible(f"{features.set_id} needs the size of the field; these recordings do not state it")
    if scenes.field is not None:
        scenes = normalise_direction(scenes)
    columns = scenes.xy_m
    if features is FIELD_GRAPH:
        columns = field_columns(scenes.xy_m, scenes.velocity_mps, scenes.facing_rad, scenes.first)
    spans = np.stack([np.maximum(scenes.begin - earlier_cut, scenes.first[:-1]), scenes.end], axis=1)
    field = scenes.field if features is FIELD_GRAPH else None
    return Moments(
        columns, scenes.role, scenes.team, scenes.coverage, scenes.first, spans, features=features, field=field
    )


def of_recordings(recordings: Sequence[Recording], parts: Sequence[tuple[int, int]] | None = None) -> Moments:
    """Return the moments of sessions as `team_graph@1`; `parts` limits each to steps [first, end)."""
    cuts = parts or [(0, len(recording.time_ns)) for recording in recordings]
    players = max((len(recording.athletes) for recording in recordings), default=0)
    first = np.cumsum([0, *(end - begin for begin, end in cuts)]).astype(np.int64)
    columns = np.full((int(first[-1]), players, 2), np.nan, np.float32)
    team = np.full((len(recordings), players), _ABSENT, np.int8)
    for index, (recording, (begin, end)) in enumerate(zip(recordings, cuts, strict=True)):
        columns[first[index] : first[index + 1], : len(recording.athletes)] = recording.xy_m[begin:end]
        team[index, : len(recording.athletes)] = recording.team
    spans = np.stack([first[:-1], first[1:] - 1], axis=1)
    coverage, role = np.full(len(recordings), -1, np.int8), np.zeros_like(team)
    return Moments(columns, role, team, coverage, first, spans, features=TEAM_GRAPH, least_steps=HORIZON)
