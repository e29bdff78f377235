"""Scenes: plays or stretches of sessions as arrays at 10 Hz, what every trajectory model and its evaluation reads.

Loaders of public formats (`cloud/datasets/public`) and of Sideline's own tables all give this one thing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.features.team import BALL_TEAM, RATE_HZ

NOBODY = -2
"""Team of a row without a player."""
ROLES = ("unknown", "ball", "QB", "RB", "WR", "TE", "OL", "DL", "LB", "DB", "SPEC")
MAN, ZONE, UNKNOWN_COVERAGE = 0, 1, -1
NO_FRAME = -1
_FRAMES = ("begin", "end", "thrown", "arrived")
_ABSENT: dict[str, float | str] = {
    "team": NOBODY,
    "role": ROLES.index("unknown"),
    "player": "",
    "xy_m": np.nan,
    "velocity_mps": np.nan,
    "facing_rad": np.nan,
}
"""What stands in place of a player who is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The playing field in metres: x runs along `length_m`, y along `width_m`, (0, 0) is a corner."""

    length_m: float
    width_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenes:
    """N scenes of up to P players over F frames in all; scene n is frames first[n] up to first[n + 1].

    Per frame: `xy_m` float32[F,P,2] metres, `velocity_mps` float32[F,P,2] as the source states it, `facing_rad`
    float32[F,P] orientation of the body, anticlockwise from +x; all NaN where unknown.
    Per scene: `game` and `play` str[N]; `team` int8[N,P] (0, 1; BALL_TEAM; NOBODY); `role` int8[N,P] index into
    ROLES; `player` str[N,P]; `begin`, `end`, `thrown`, `arrived` int64[N] absolute frames: what is measured on is
    begin..end (both included), a pass is in the air from thrown to arrived, NO_FRAME where there is none; `leftwards`
    bool[N] the offence (team 1) runs towards -x; `coverage` int8[N] MAN, ZONE or UNKNOWN_COVERAGE.
    """

    field: Field | None
    game: NDArray[np.str_]
    play: NDArray[np.str_]
    first: NDArray[np.int64]
    xy_m: NDArray[np.float32]
    velocity_mps: NDArray[np.float32]
    facing_rad: NDArray[np.float32]
    team: NDArray[np.int8]
    role: NDArray[np.int8]
    player: NDArray[np.str_]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    thrown: NDArray[np.int64]
    arrived: NDArray[np.int64]
    leftwards: NDArray[np.bool_]
    coverage: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.game)

    @property
    def players(self) -> int:
        """P."""
        return int(self.xy_m.shape[1])

    def digest(self) -> str:
        """Return the hexadecimal SHA-256 over all arrays, little-endian, in the order of the fields."""
        digest = hashlib.sha256(f"{RATE_HZ} Hz {self.field}".encode())
        for name in (item.name for item in fields(self) if item.name != "field"):
            array = getattr(self, name)
            digest.update(f"\0{name}{array.shape}".encode())
            digest.update(
                "\0".join(array.ravel().tolist()).encode()
                if array.dtype.kind == "U"
                else np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
            )
        return digest.hexdigest()


def choose(scenes: Scenes, indices: Sequence[int] | NDArray[np.integer]) -> Scenes:
    """Return the scenes of these indices, in that order."""
    picked = np.asarray(indices, np.int64)
    lengths = np.diff(scenes.first)[picked]
    first = np.concatenate([[0], np.cumsum(lengths)])
    frames = np.concatenate(
        [np.arange(scenes.first[n], scenes.first[n + 1]) for n in picked] or [np.zeros(0, np.int64)]
    )
    moved = first[:-1] - scenes.first[picked]
    frame_of = {
        name: np.where(getattr(scenes, name)[picked] == NO_FRAME, NO_FRAME, getattr(scenes, name)[picked] + moved)
        for name in _FRAMES
    }
    per_frame = {name: getattr(scenes, name)[frames] for name in ("xy_m", "velocity_mps", "facing_rad")}
    names = ("game", "play", "team", "role", "player", "leftwards", "coverage")
    per_scene = {name: getattr(scenes, name)[picked] for name in names}
    return Scenes(field=scenes.field, first=first, **frame_of, **per_frame, **per_scene)


def normalise_direction(scenes: Scenes) -> Scenes:
    """Return the scenes with the field turned by half a turn where `leftwards`: the offence then runs towards +x.

    Raises: ValueError without a field.
    """
    if scenes.field is None:
        raise ValueError("scenes without a field have no direction")
    turned = np.repeat(scenes.leftwards, np.diff(scenes.first))
    size = np.array([scenes.field.length_m, scenes.field.width_m], np.float32)
    kept = {item.name: getattr(scenes, item.name) for item in fields(scenes)}
    kept["xy_m"] = np.where(turned[:, None, None], size - scenes.xy_m, scenes.xy_m)
    kept["velocity_mps"] = np.where(turned[:, None, None], -scenes.velocity_mps, scenes.velocity_mps)
    kept["facing_rad"] = np.where(turned[:, None], scenes.facing_rad + np.float32(np.pi), scenes.facing_rad)
    kept["leftwards"] = np.zeros_like(scenes.leftwards)
    return Scenes(**kept)


def is_ball(scenes: Scenes) -> NDArray[np.bool_]:
    """Return which rows [N,P] are the ball."""
    return np.asarray(scenes.team == BALL_TEAM)


def join(parts: Sequence[Scenes]) -> Scenes:
    """Return all scenes of several, one after the other; P is that of the widest.

    Raises: ValueError without any, or when their fields differ.
    """
    if len({part.field for part in parts}) != 1:
        raise ValueError("scenes of several fields, or none at all, cannot be joined")
    players = max(part.players for part in parts)
    moved = np.cumsum([0, *(int(part.first[-1]) for part in parts)])
    joined: dict[str, Any] = {"field": parts[0].field}
    for name in (item.name for item in fields(Scenes) if item.name not in {"field", "first"}):
        arrays = [getattr(part, name) for part in parts]
        if name in _ABSENT:
            arrays = [_widened(array, players, _ABSENT[name]) for array in arrays]
        if name in _FRAMES:
            arrays = [np.where(a == NO_FRAME, NO_FRAME, a + by) for a, by in zip(arrays, moved[:-1], strict=True)]
        joined[name] = np.concatenate(arrays)
    first = [part.first[:-1] + by for part, by in zip(parts, moved[:-1], strict=True)]
    return Scenes(first=np.concatenate([*first, moved[-1:]]).astype(np.int64), **joined)


def _widened(array: NDArray[Any], players: int, absent: float | str) -> NDArray[Any]:
    more = np.full((len(array), players - array.shape[1], *array.shape[2:]), absent, array.dtype)
    return np.concatenate([array, more], axis=1)
