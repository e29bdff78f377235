"""Tracks: positions of one source as plain columns, what every layout is read into before it becomes scenes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloud.datasets.positions import STEP_NS
from cloud.datasets.scenes import ROLES, UNKNOWN_COVERAGE, Field
from shared.clock import NS_PER_S
from shared.features.team import BALL_TEAM, RATE_HZ

BALL_ROLE = ROLES.index("ball")
UNKNOWN_ROLE = ROLES.index("unknown")
LONGEST_GAP_S = 0.3
"""Longer silences of a player are not bridged."""
NEVER = np.iinfo(np.int64).max
_PER_ROW = ("source", "row", "play", "frame", "time_ns", "player", "team", "role")
_MOTION = ("xy_m", "velocity_mps", "facing_rad", "acceleration_mps2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """R rows, one position each, of N plays.

    Per row: `source` int32[R] index into `files`; `row` int64[R] in that file, the first below the heading is 1;
    `play` int64[R] index into `games` and `plays`, str[N]; `frame` int64[R] counts at `rate_hz`; `time_ns` int64[R]
    from any origin; `player` int64[R] index into `players`, in whose order they stand in a scene; `team` and `role`
    int8[R] as in `Scenes`; `xy_m` float32[R,2]; `velocity_mps` float32[R,2], `facing_rad` float32[R] and
    `acceleration_mps2` float32[R], NaN where the source does not say; `event` int16[R] index into `events`, -1 for
    none. Per play: `leftwards` bool[N] and `coverage` int8[N] as in `Scenes`; `torn` bool[N] tells plays whose rows
    disagree on which way they run.
    """

    sport: str
    field: Field | None
    rate_hz: int
    files: tuple[str, ...]
    games: NDArray[np.str_]
    plays: NDArray[np.str_]
    players: NDArray[np.str_]
    events: tuple[str, ...]
    source: NDArray[np.int32]
    row: NDArray[np.int64]
    play: NDArray[np.int64]
    frame: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    player: NDArray[np.int64]
    team: NDArray[np.int8]
    role: NDArray[np.int8]
    xy_m: NDArray[np.float32]
    velocity_mps: NDArray[np.float32]
    facing_rad: NDArray[np.float32]
    acceleration_mps2: NDArray[np.float32]
    event: NDArray[np.int16]
    leftwards: NDArray[np.bool_]
    torn: NDArray[np.bool_]
    coverage: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What happened when: frames int64[N] as `Tracks` counts them, NEVER for what did not."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    thrown: NDArray[np.int64]
    arrived: NDArray[np.int64]


def keep_rows(tracks: Tracks, rows: NDArray[np.bool_]) -> Tracks:
    """Return the tracks with these rows only; plays and players keep their indices."""
    return replace(tracks, **{name: getattr(tracks, name)[rows] for name in (*_PER_ROW, *_MOTION, "event")})


def earliest(tracks: Tracks, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return each play's earliest frame, int64[N], among these rows; NEVER where there is none."""
    frames = np.full(len(tracks.games), NEVER)
    np.minimum.at(frames, tracks.play[rows], tracks.frame[rows])
    return frames


def latest(tracks: Tracks) -> NDArray[np.int64]:
    """Return each play's last frame, int64[N]; -1 for a play without rows."""
    frames = np.full(len(tracks.games), -1)
    np.maximum.at(frames, tracks.play, tracks.frame)
    return frames


def whole(tracks: Tracks) -> Marks:
    """Return the marks of plays that are measured on from their first frame to their last."""
    never = np.full(len(tracks.games), NEVER)
    return Marks(
        begin=earliest(tracks, np.ones(len(tracks), np.bool_)), end=latest(tracks), thrown=never, arrived=never
    )


def at_10_hz(tracks: Tracks, longest_gap_s: float = LONGEST_GAP_S) -> Tracks:
    """Return the tracks of another rate on each play's grid of 0.1 s, which begins at its first row.

    Between two rows of a player it is linear; more than `longest_gap_s` is not bridged. `source` and `row` are those
    of the row before. Tracks whose rows stand on frames of 10 Hz stay as they are.
    """
    if tracks.rate_hz == RATE_HZ and np.array_equal(tracks.time_ns, tracks.frame * STEP_NS):
        return tracks
    order = np.lexsort((tracks.time_ns, tracks.player, tracks.play))
    start = np.full(len(tracks.games), NEVER)
    np.minimum.at(start, tracks.play, tracks.time_ns)
    since_ns = (tracks.time_ns - start[tracks.play])[order]
    same = (np.diff(tracks.play[order]) == 0) & (np.diff(tracks.player[order]) == 0)
    bridged = np.append(same & (np.diff(since_ns) <= longest_gap_s * NS_PER_S), False)
    following = np.where(bridged, np.append(since_ns[1:], 0), since_ns + 1)
    first = -(-since_ns // STEP_NS)
    count = -(-following // STEP_NS) - first  # the grid's points from this row up to the next, which has its own
    before = np.repeat(np.arange(len(order)), count)
    step = first[before] + np.arange(len(before)) - np.repeat(np.cumsum(count) - count, count)
    after = np.minimum(before + 1, len(order) - 1)
    share = (step * STEP_NS - since_ns[before]) / np.where(bridged, following - since_ns, 1)[before]

    def between(values: NDArray[np.float32]) -> NDArray[np.float32]:
        left, right = values[order[before]], values[order[after]]
        part = share.reshape(-1, *[1] * (values.ndim - 1))
        with np.errstate(invalid="ignore"):  # infinite is what is not a number in the file
            return np.where(part > 0, left + (right - left) * part, left).astype(np.float32)

    with np.errstate(invalid="ignore"):
        turned = np.stack([np.cos(tracks.facing_rad), np.sin(tracks.facing_rad)], axis=-1)
    cosine, sine = between(turned).T
    kept: dict[str, Any] = {name: getattr(tracks, name)[order[before]] for name in _PER_ROW}
    kept |= {name: between(getattr(tracks, name)) for name in ("xy_m", "velocity_mps", "acceleration_mps2")}
    kept |= {"frame": step, "time_ns": start[kept["play"]] + step * STEP_NS, "event": np.full(len(step), -1, np.int16)}
    return replace(tracks, rate_hz=RATE_HZ, facing_rad=np.arctan2(sine, cosine), **kept)


def unstated(team: NDArray[np.int8], plays: int, *, source: int = 0) -> dict[str, Any]:
    """Return the columns of tracks whose source states positions and nothing of motion, roles, events or directions.

    All rows are of file `source`.
    """
    rows = len(team)
    return {
        "events": (),
        "source": np.full(rows, source, np.int32),
        "role": np.where(team == BALL_TEAM, BALL_ROLE, UNKNOWN_ROLE).astype(np.int8),
        "velocity_mps": np.full((rows, 2), np.nan, np.float32),
        "facing_rad": np.full(rows, np.nan, np.float32),
        "acceleration_mps2": np.full(rows, np.nan, np.float32),
        "event": np.full(rows, -1, np.int16),
        "leftwards": np.zeros(plays, np.bool_),
        "torn": np.zeros(plays, np.bool_),
        "coverage": np.full(plays, UNKNOWN_COVERAGE, np.int8),
    }


def number(*columns: ArrayLike) -> tuple[NDArray[np.int64], list[NDArray[np.generic]]]:
    """Return for each row the index of its combination of values, and the combinations in ascending order."""
    index = np.zeros(len(np.asarray(columns[0])), np.int64)
    levels: list[NDArray[np.generic]] = []
    for column in columns:
        values, inverse = np.unique(np.asarray(column), return_inverse=True)
        index = index * len(values) + inverse
        levels.append(values)
    combined, numbered = np.unique(index, return_inverse=True)
    found: list[NDArray[np.generic]] = []
    for values in reversed(levels):
        found.append(values[combined % len(values)])
        combined = combined // len(values)
    return numbered.astype(np.int64), found[::-1]
