"""Tracks at 10 Hz laid out as scenes: frames after one another, each player in a place."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.public.tracks import NEVER, UNKNOWN_ROLE, Marks, Tracks, earliest, latest, number
from cloud.datasets.scenes import NO_FRAME, NOBODY, Scenes
from shared.errors import ConfigError

_MOST_EMPTY, _FEW = 100, 10_000_000
"""Places per row, and places that any scenes may have."""


def to_scenes(tracks: Tracks, marks: Marks) -> Scenes:
    """Return the plays that began as scenes, in the order of `games` and `plays`; of doubled rows the first counts.

    Raises: ConfigError when frames lie so far apart that nearly all of the scenes would be empty.
    """
    grid = _grid(tracks, marks)
    if grid.empty:
        raise ConfigError(", ".join(tracks.files), "has frames too far apart to be of one play; validate it")
    there, player = grid.facts >= 0, tracks.player[grid.rows]
    return Scenes(
        field=tracks.field,
        game=tracks.games[grid.used],
        play=tracks.plays[grid.used],
        first=grid.first,
        xy_m=grid.placed(tracks.xy_m),
        velocity_mps=grid.placed(tracks.velocity_mps),
        facing_rad=grid.placed(tracks.facing_rad),
        team=np.where(there, tracks.team[grid.rows][grid.facts], NOBODY).astype(np.int8),
        role=np.where(there, tracks.role[grid.rows][grid.facts], UNKNOWN_ROLE).astype(np.int8),
        player=np.where(there, tracks.players[player[grid.facts]], ""),
        begin=grid.at_frame(marks.begin),
        end=grid.at_frame(marks.end),
        thrown=grid.at_frame(marks.thrown),
        arrived=grid.at_frame(marks.arrived),
        leftwards=tracks.leftwards[grid.used],
        coverage=tracks.coverage[grid.used],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Where things go: `used` plays become scenes; their `rows`, bool[R], stand `at` a frame in a `slot`.

    `facts` int64[N,P] names a row (of those) of each place, -1 for nobody; `start` and `last` are frames of a play.
    """

    used: NDArray[np.int64]
    rows: NDArray[np.bool_]
    first: NDArray[np.int64]
    start: NDArray[np.int64]
    last: NDArray[np.int64]
    at: NDArray[np.int64]
    slot: NDArray[np.int64]
    facts: NDArray[np.int64]

    @property
    def empty(self) -> bool:
        """Whether there would be far more places than rows to fill them."""
        return int(self.first[-1]) * int(self.facts.shape[1]) > _MOST_EMPTY * len(self.at) + _FEW

    def placed(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a row's values in its place, NaN where nothing is known."""
        grid = np.full((int(self.first[-1]), self.facts.shape[1], *values.shape[1:]), np.nan, np.float32)
        known = np.where(np.isfinite(values[self.rows]), values[self.rows], np.float32(np.nan))
        grid[self.at[::-1], self.slot[::-1]] = known[::-1]  # the last one written stays: that is the file's first
        return grid

    def at_frame(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return frames of plays as frames of all scenes."""
        seen = frames[self.used]
        inside = np.minimum(np.where(seen == NEVER, 0, seen), self.last)
        return np.where(seen == NEVER, NO_FRAME, inside + self.first[:-1] - self.start)


def _grid(tracks: Tracks, marks: Marks) -> _Grid:
    has_rows = np.zeros(len(tracks.games), np.bool_)
    has_rows[tracks.play] = True
    used = np.flatnonzero(has_rows & (marks.begin != NEVER))
    scene_of = np.full(len(tracks.games), -1, np.int64)
    scene_of[used] = np.arange(len(used))
    rows = scene_of[tracks.play] >= 0
    scene = scene_of[tracks.play[rows]]
    start, last = earliest(tracks, rows)[used], latest(tracks)[used]
    first = np.concatenate([[0], np.cumsum(last - start + 1)]).astype(np.int64)
    slot, facts = _slots(scene, tracks.player[rows], len(used))
    at = first[scene] + tracks.frame[rows] - start[scene]
    return _Grid(used=used, rows=rows, first=first, start=start, last=last, at=at, slot=slot, facts=facts)


def _slots(
    scene: NDArray[np.int64], player: NDArray[np.int64], scenes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each row's place among its scene's players, and a row of each place, int64[N,P] with -1 for none."""
    pair, [owner, _] = number(scene, player)
    begins = np.searchsorted(owner, np.arange(scenes))
    place = np.arange(len(owner)) - begins[owner.astype(np.int64)]
    facts = np.full((scenes, int(place.max(initial=-1)) + 1), -1, np.int64)
    facts[scene[::-1], place[pair][::-1]] = np.arange(len(scene))[::-1]
    return place[pair], facts
