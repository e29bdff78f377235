"""Moments of recorded sessions as graphs: everybody's last second, and where they went in the next two.

One moment is a PyG `Data` (`moment`); training gathers many at once as dense arrays (`Moments.gather`), which is some
ten times faster than collating `Data` and gives the same numbers.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.utils import to_dense_batch

from cloud.datasets.positions import Recording
from shared.errors import ModelIncompatible
from shared.features.team import HISTORY, HORIZON, RATE_HZ

_MIN_PLAYERS = 2
_GAP_STEPS = HISTORY + HORIZON
"""Steps left out between parts cut from one session, so that no position is in two of them."""
_ENOUGH_SESSIONS = 4
_PARTS_OF_TIME = (0.7, 0.85)


class GraphBatch(NamedTuple):
    """B moments of up to P players, float32: `history` [B,P,11,2] m, `team` [B,P], `mask` [B,P], `future` [B,P,20,2]
    m from the newest position, `known` [B,P,20] 1 where the future was recorded. 0 where masked or unknown.
    """  # noqa: D205  the shapes are the contract

    history: Tensor
    team: Tensor
    mask: Tensor
    future: Tensor
    known: Tensor


class Moments:
    """Every usable moment of some recordings; `starts` int64[n, 2] are (recording, newest step of the history)."""

    def __init__(self, recordings: Sequence[Recording], parts: Sequence[tuple[int, int]] | None = None) -> None:
        """`parts` limits each recording to steps [first, end)."""
        spans = parts or [(0, len(recording.time_ns)) for recording in recordings]
        self._players = max((len(recording.athletes) for recording in recordings), default=0)
        longest = max((end - first for first, end in spans), default=0)
        xy_m = np.full((len(recordings), longest, self._players, 2), np.nan, np.float32)
        team = np.zeros((len(recordings), self._players), np.float32)
        for index, (recording, (first, end)) in enumerate(zip(recordings, spans, strict=True)):
            xy_m[index, : end - first, : len(recording.athletes)] = recording.xy_m[first:end]
            team[index, : len(recording.athletes)] = recording.team
        self.starts = _starts(xy_m)
        self._xy_m = torch.from_numpy(xy_m)
        self._team = torch.from_numpy(team)

    def __len__(self) -> int:
        return len(self.starts)

    def gather(self, indices: NDArray[np.int64]) -> GraphBatch:
        """Return the moments of these indices into `starts`."""
        recording, step = (torch.from_numpy(column) for column in self.starts[indices].T.copy())
        back = self._xy_m[recording[:, None], step[:, None] + torch.arange(1 - HISTORY, 1)].transpose(1, 2)
        ahead = self._xy_m[recording[:, None], step[:, None] + torch.arange(1, HORIZON + 1)].transpose(1, 2)
        mask = torch.isfinite(back).flatten(2).all(-1)
        known = torch.isfinite(ahead).all(-1) & mask[..., None]
        future = torch.where(known[..., None], ahead - back[:, :, -1:], 0.0)
        history = torch.where(mask[..., None, None], back, 0.0)
        return GraphBatch(history, self._team[recording], mask.float(), future, known.float())


def moment(batch: GraphBatch, index: int) -> Data:
    """Return one moment as a PyG graph of its present players, each joined to every other one.

    `x` [N,11,2] m, `team` [N], `y` [N,20,2] m, `known` [N,20], `edge_index` [2, N(N-1)], `edge_attr` [.,2] the vector
    in metres from source to target at the newest position.
    """
    here = batch.mask[index] > 0
    x, count = batch.history[index][here], int(here.sum())
    source, target = torch.where(~torch.eye(count, dtype=torch.bool))
    return Data(
        x=x,
        team=batch.team[index][here],
        y=batch.future[index][here],
        known=batch.known[index][here],
        edge_index=torch.stack([source, target]),
        edge_attr=x[target, -1] - x[source, -1],
        num_nodes=count,
    )


def dense(graphs: Sequence[Data]) -> GraphBatch:
    """Return PyG graphs as padded arrays; the inverse of `moment` but for the order of absent players."""
    batch = Batch.from_data_list(list(graphs))
    history, mask = to_dense_batch(batch.x, batch.batch)
    team, future, known = (to_dense_batch(value, batch.batch)[0] for value in (batch.team, batch.y, batch.known))
    return GraphBatch(history, team, mask.float(), future, known)


def split(recordings: Sequence[Recording]) -> tuple[Moments, Moments, Moments]:
    """Return moments to fit on, to calibrate on and to measure on, from different sessions.

    Of four or more sessions, one in five is measured on and one in eight calibrated on (at least one each, smallest
    SHA-256 of the name first); of fewer, each is cut into its first 70 %, the next 15 % and the last 15 %.
    Raises: ModelIncompatible when a part holds no usable moment.
    """
    if len(recordings) >= _ENOUGH_SESSIONS:
        ordered = sorted(recordings, key=lambda item: hashlib.sha256(item.session.encode()).hexdigest())
        tests, calibrations = max(1, len(ordered) // 5), max(1, len(ordered) // 8)
        groups = (ordered[tests + calibrations :], ordered[tests : tests + calibrations], ordered[:tests])
        fitting, calibration, test = (Moments(group) for group in groups)
    else:
        lengths = [len(recording.time_ns) for recording in recordings]
        cuts = [[0, *(round(length * part) for part in _PARTS_OF_TIME), length] for length in lengths]
        spans = [[(min(c[i] + (_GAP_STEPS if i else 0), c[i + 1]), c[i + 1]) for c in cuts] for i in range(3)]
        fitting, calibration, test = (Moments(recordings, span) for span in spans)
    for name, part in (("fit on", fitting), ("calibrate on", calibration), ("measure on", test)):
        if not len(part):
            raise ModelIncompatible(f"too little data: no moments to {name}; a session needs some 30 s or more")
    return fitting, calibration, test


def recordings_digest(recordings: Sequence[Recording]) -> str:
    """Return the hexadecimal SHA-256 over sessions in order of name."""
    digest = hashlib.sha256(f"{RATE_HZ} Hz".encode())
    for recording in sorted(recordings, key=lambda item: item.session):
        digest.update("\0".join((recording.session, *recording.athletes)).encode())
        for array in (recording.team, recording.time_ns, recording.xy_m):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _starts(xy_m: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return (recording, step) with room for history and future, and enough players whose both are known throughout."""
    known = np.asarray(np.isfinite(xy_m).all(axis=-1))
    span = HISTORY + HORIZON
    if known.shape[1] < span:
        return np.zeros((0, 2), np.int64)
    total = np.concatenate([np.zeros_like(known[:, :1], np.int32), np.cumsum(known, axis=1, dtype=np.int32)], axis=1)
    whole = (total[:, span:] - total[:, :-span]) == span
    recording, first = np.nonzero(whole.sum(axis=-1) >= min(_MIN_PLAYERS, xy_m.shape[2]))
    return np.stack([recording, first + HISTORY - 1], axis=1).astype(np.int64)
