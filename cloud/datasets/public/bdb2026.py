"""Weeks of the NFL Big Data Bowl 2026: `input_2023_w01.csv` up to the throw, `output_2023_w01.csv` after it.

The input holds all players on a pass play, the output, whose frames count from 1 again, the positions of those to be
predicted until the ball lands; of the ball only that place is known, which the ball's row has in the last frame.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cloud.datasets.public import football
from cloud.datasets.public.columns import ROW, codes, floats, integers, read_csv, texts_by
from cloud.datasets.public.tracks import Tracks, number
from cloud.datasets.scenes import MAN, UNKNOWN_COVERAGE, ZONE

_INPUT = re.compile(r"input_(\d{4})_w(\d+)\.csv")
_KEY = ("game_id", "play_id")
_COLUMNS = (*_KEY, "nfl_id", "frame_id", "play_direction", "player_position", "player_side")
_MOTION = ("x", "y", "s", "dir", "o")
_LANDING = {"x": "ball_land_x", "y": "ball_land_y"}
_OUTPUT = (*_KEY, "nfl_id", "frame_id", "x", "y")
_PLAYS = "supplementary_data.csv"
_COVERAGE = "team_coverage_man_zone"
_LABELS = {"MAN_COVERAGE": MAN, "ZONE_COVERAGE": ZONE}
_EVENTS = ("ball_snap", "pass_forward", "pass_arrived")
_SNAP, _THROW, _ARRIVAL = range(3)


def recognises(path: Path) -> bool:
    """Tell whether this is a week's input, or a folder with some, or one whose folder `train` has."""
    return bool(_weeks(path))


def sources(path: Path, weeks: Sequence[int] | None = None) -> list[Path]:
    """Return the files of these weeks (all without)."""
    return [file for week, file in _weeks(path) if weeks is None or week in weeks]


def _weeks(path: Path) -> list[tuple[int, Path]]:
    files = [*path.glob("input_*.csv"), *path.glob("train/input_*.csv")] if path.is_dir() else [path]
    found = [(match[1], int(match[2]), file) for file in files if (match := _INPUT.fullmatch(file.name))]
    return [(week, file) for _, week, file in sorted(found)]


def read(source: Path, weeks: Sequence[int] | None = None) -> Tracks:  # noqa: ARG001  a file is a week
    """Return the pass plays of a week.

    Raises: ConfigError naming the file and what it lacks.
    """
    before = read_csv(source, (*_COLUMNS, *_MOTION, *_LANDING.values()), optional=("a",))
    later = source.with_name(source.name.replace("input_", "output_"))
    # An input without an output is what is to be predicted: its plays end with the throw.
    after = read_csv(later, _OUTPUT) if later.exists() else before.select([*_OUTPUT, ROW]).slice(0, 0)
    rows = _Rows(before, after)
    side, sides = codes(before, "player_side")
    position, positions = codes(before, "player_position")
    way, ways = codes(before, "play_direction")
    left = np.array([name is not None and name.lower() == "left" for name in ways])[way]
    leftwards, torn = football.directions(rows.play[: before.num_rows], left, len(rows.games))
    named = football.Named(
        files=(str(source), str(later)),
        source=rows.whole(np.zeros(before.num_rows), np.ones(after.num_rows), rows.landed * 0).astype(np.int32),
        row=rows.whole(before[ROW].to_numpy(), after[ROW].to_numpy(), before[ROW].to_numpy()[rows.landed]),
        play=rows.play,
        games=rows.games,
        numbers=rows.numbers,
        who=rows.who,
        frame=rows.frame,
        offence=rows.of_player(np.array([name == "Offense" for name in sides])[side]),
        role=rows.of_player(football.role_codes(positions)[position]),
        values=rows.values,
    )
    coverage = _coverage(source, rows.games, rows.numbers)
    return football.to_tracks(
        named, events=_EVENTS, event=rows.events(), leftwards=leftwards, torn=torn, coverage=coverage
    )


class _Rows:
    """Rows of the input, then of the output, then one a play for the ball where it lands."""

    def __init__(self, before: pa.Table, after: pa.Table) -> None:
        self._before, self._after = before, after
        keys = [np.concatenate([integers(part, name, absent=-1) for part in (before, after)]) for name in _KEY]
        play, [self.games, self.numbers] = number(*keys)
        frame = np.concatenate([integers(part, "frame_id", absent=-1) for part in (before, after)])
        count = before.num_rows
        self._thrown = np.full(len(self.games), 0)
        np.maximum.at(self._thrown, play[:count], frame[:count])
        frame[count:] += self._thrown[play[count:]]
        self._arrived = self._thrown.copy()
        np.maximum.at(self._arrived, play[count:], frame[count:])
        flown, first = np.unique(play[:count], return_index=True)
        self.landed = first[self._arrived[flown] > self._thrown[flown]]
        """A row of the input for each play whose ball landed."""
        self.play = np.concatenate([play, play[self.landed]])
        self.frame = np.concatenate([frame, self._arrived[play[self.landed]]])
        who = [integers(part, "nfl_id", absent=-1) for part in (before, after)]
        self.who = self.whole(who[0], who[1], np.full(len(self.landed), football.BALL_ID))

    @staticmethod
    def whole(before: NDArray[Any], after: NDArray[Any], ball: NDArray[Any]) -> NDArray[Any]:
        """Return a column of all rows."""
        return np.concatenate([before, after, ball])

    def values(self, name: str) -> NDArray[np.float32]:
        """Return a column of numbers; the ball is where it lands."""
        landing = _LANDING.get(name)
        ball = floats(self._before, landing)[self.landed] if landing else np.full(len(self.landed), np.nan, np.float32)
        return self.whole(floats(self._before, name), floats(self._after, name), ball)

    def of_player(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what the input says of each row's player in that play; of the ball, and of strangers, zero."""
        pair, _ = number(self.play, self.who)
        known = np.zeros(int(pair.max(initial=-1)) + 1, values.dtype)
        known[pair[: len(values)]] = values
        return known[pair]

    def events(self) -> NDArray[np.int16]:
        """Return the events that the layout means: snap in the first frame, throw in the input's last, and arrival."""
        first = np.full(len(self.games), np.iinfo(np.int64).max)
        np.minimum.at(first, self.play, self.frame)
        event = np.full(len(self.play), -1, np.int16)
        event[self.frame == first[self.play]] = _SNAP
        event[self.frame == self._thrown[self.play]] = _THROW
        event[(self.frame == self._arrived[self.play]) & (self._arrived > self._thrown)[self.play]] = _ARRIVAL
        return event


def _coverage(file: Path, games: NDArray[np.generic], numbers: NDArray[np.generic]) -> NDArray[np.int8]:
    found = [folder / _PLAYS for folder in (file.parent, file.parent.parent) if (folder / _PLAYS).exists()]
    if not found:
        return football.no_coverage(len(games))
    label_of = texts_by(read_csv(found[0], _KEY, optional=(_COVERAGE,)), _KEY, _COVERAGE)
    wanted = zip(games.tolist(), numbers.tolist(), strict=True)
    return np.array([_LABELS.get(label_of.get(key) or "", UNKNOWN_COVERAGE) for key in wanted], np.int8)
