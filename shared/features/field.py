"""`field_graph@1`: the last second of everybody on a known field with velocity, facing and role, to forecast 4 s.

For recordings that state more than positions. The arrays of training, evaluation and serving are all made by
`field_inputs`; edges, distances to the lines and everything else is computed inside the model.
"""

import numpy as np
from numpy.typing import NDArray

from shared.features.base import FeatureSet
from shared.features.team import HISTORY, RATE_HZ

FIELD_HORIZON = 40
"""Steps ahead: 4.0 s at 10 Hz."""
COLUMNS = ("x_m", "y_m", "velocity_x_mps", "velocity_y_mps", "facing_x", "facing_y")
_TOP_SPEED_MPS = 30.0

FIELD_GRAPH = FeatureSet(
    set_id="field_graph@1",
    features=(("history", "m, m/s"), ("role", "1"), ("team", "1"), ("mask", "1")),
    note=(
        "history float32[B,P,11,6] at 10 Hz, newest last, 0 where masked: x,y metres from a corner of the field, "
        "team 1 (the offence) attacks towards +x; velocity x,y m/s; unit vector x,y of the body's facing, 0 where "
        "unknown; role float32[B,P]: index into the roles of the scenes; team float32[B,P]: -1 ball, 0, 1; "
        "mask float32[B,P]: 1 where present throughout. "
        "out: offset float32[B,P,40,2] metres from the newest position at 0.1..4.0 s; sigma float32[B,P,40,2] metres"
    ),
    model="field_trajectory",
    row_axes=2,
    inputs=(("history", (HISTORY, len(COLUMNS))), ("role", ()), ("team", ()), ("mask", ())),
    outputs=(("offset", (FIELD_HORIZON, 2)), ("sigma", (FIELD_HORIZON, 2))),
)


def field_columns(
    xy_m: NDArray[np.float32],
    velocity_mps: NDArray[np.float32],
    facing_rad: NDArray[np.float32],
    first: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the six columns [F,P,6] of frames; NaN positions stay NaN, all else is a number.

    `xy_m` [F,P,2], `velocity_mps` [F,P,2], `facing_rad` [F,P] anticlockwise from +x; scene n is frames first[n] up to
    first[n + 1]. A velocity that is not stated is the step up to that frame; in the first frame of a scene, 0.
    """
    steps = np.zeros_like(xy_m)
    steps[1:] = np.diff(xy_m, axis=0) * RATE_HZ
    steps[first[:-1][np.diff(first) > 0]] = 0.0
    speed = np.linalg.norm(steps, axis=-1, keepdims=True)
    steps = steps * np.minimum(1.0, _TOP_SPEED_MPS / np.maximum(speed, 1e-6))
    velocity = np.nan_to_num(np.where(np.isfinite(velocity_mps), velocity_mps, steps))
    facing = np.nan_to_num(np.stack([np.cos(facing_rad), np.sin(facing_rad)], axis=-1))
    return np.concatenate([xy_m, velocity, facing], axis=-1).astype(np.float32)


def field_inputs(
    columns: NDArray[np.float32], role: NDArray[np.int8], team: NDArray[np.int8], newest: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    """Return the model's inputs of B moments from `columns` [F,P,6], `role` and `team` [B,P] and newest frames [B]."""
    history = columns[newest[:, None] + np.arange(1 - HISTORY, 1)].transpose(0, 2, 1, 3)
    mask = np.isfinite(history[..., :2]).all(axis=(2, 3)) & (team >= -1)
    return {
        "history": np.where(mask[..., None, None], history, 0.0).astype(np.float32),
        "role": role.astype(np.float32),
        "team": team.astype(np.float32),
        "mask": mask.astype(np.float32),
    }
