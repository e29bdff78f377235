"""The rules that rows of tracks are held to, as a pandera schema over facts that are worked out for each row."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import NDArray
from pandera.errors import SchemaErrors

from cloud.datasets.public.columns import NOT_WHOLE
from cloud.datasets.public.tracks import NEVER, Marks, Tracks
from cloud.datasets.validate.limits import LIMITS, Limits
from shared.clock import NS_PER_S
from shared.features.team import BALL_TEAM

ABSENT = -1
"""In place of an id or a frame that is not there."""
_IDS = {"": "missing", str(ABSENT): "missing", str(NOT_WHOLE): "type"}
_MISSING, _TYPE = 1, 2
_TEAMS = 3
"""The ball, 0 and 1."""
_FAULTS = {"missing": _MISSING, "type": _TYPE}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: rows that break one that is `bad` are quarantined, of others it is only told."""

    name: str
    bad: bool
    says: str


RULES = {
    rule.name: rule
    for rule in (
        Rule("file", True, "the file can be read and has the columns of its layout"),
        Rule("missing", True, "game, play, player, frame and position are there"),
        Rule("type", True, "numbers are numbers, ids and frames whole ones"),
        Rule("range", True, "position, speed and acceleration are possible in this sport"),
        Rule("duplicate_frame", True, "a player is in a frame of a play once"),
        Rule("length", True, "a play's frames lie no further apart than a play lasts"),
        Rule("team", True, "a player stays in one team during a play"),
        Rule("side", True, "no team has more players on the field than the sport allows"),
        Rule("direction", True, "a play runs one way"),
        Rule("off_field", False, "nobody is beyond the lines"),
        Rule("frame_gap", False, "a player's frames follow one another"),
        Rule("step", False, "nobody moves faster from frame to frame than the sport allows"),
        Rule("beginning", False, "a play has the event it begins with"),
    )
}


def broken(tracks: Tracks, marks: Marks) -> pd.DataFrame:
    """Return what rows break: `position` in the tracks, `rule`, and `what` was found, in order of rows."""
    limits = LIMITS[tracks.sport]
    facts = _facts(tracks, marks, limits)
    try:
        _schema(limits, tracks).validate(facts, lazy=True)
    except SchemaErrors as exc:
        cases = exc.failure_cases
        found = pd.DataFrame(
            {
                "position": cases["index"].to_numpy(np.int64),
                "rule": cases["check"].to_numpy(np.str_),
                "what": [
                    f"{column} {_short(case)}"
                    for column, case in zip(cases["column"], cases["failure_case"], strict=True)
                ],
            }
        )
        found["what"] = found["what"].where(~found["rule"].isin(["missing", "type"]), cases["column"].to_numpy())
        return found.sort_values(["position", "rule", "what"], ignore_index=True)
    return pd.DataFrame({"position": np.zeros(0, np.int64), "rule": [], "what": []})


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _schema(limits: Limits, tracks: Tracks) -> pa.DataFrameSchema:
    field = tracks.field or limits.field
    size = {"x_m": 0.0, "y_m": 0.0} if field is None else {"x_m": field.length_m, "y_m": field.width_m}
    columns: dict[str, Any] = {
        name: pa.Column(
            checks=[
                _within(-limits.run_off_m, end + limits.run_off_m, "range"),
                *([] if field is None else [_within(0.0, end, "off_field")]),
            ],
            nullable=True,
        )
        for name, end in size.items()
    }
    columns |= {
        name: pa.Column(checks=[pa.Check.ne(code, error=rule) for rule, code in _FAULTS.items()])
        for name in ("position", "motion", "frame", "player", "play")
    }
    highest = {"speed_mps": limits.speed_mps, "ball_speed_mps": limits.ball_speed_mps}
    columns |= {name: pa.Column(checks=_within(0.0, most, "range"), nullable=True) for name, most in highest.items()}
    most = limits.acceleration_mps2
    columns["acceleration_mps2"] = pa.Column(checks=_within(-most, most, "range"), nullable=True)
    columns["earlier_rows"] = pa.Column(checks=pa.Check.eq(0, error="duplicate_frame"))
    columns["frames_since_last"] = pa.Column(checks=pa.Check.le(max(1, tracks.rate_hz // 10), error="frame_gap"))
    columns["step_mps"] = pa.Column(checks=pa.Check.le(limits.speed_mps, error="step"), nullable=True)
    columns["team_changed"] = pa.Column(checks=pa.Check.eq(False, error="team"))
    columns["stray"] = pa.Column(checks=pa.Check.eq(False, error="length"))
    columns["torn"] = pa.Column(checks=pa.Check.eq(False, error="direction"))
    columns["unbegun"] = pa.Column(checks=pa.Check.eq(False, error="beginning"))
    if limits.side is not None:
        columns["side"] = pa.Column(checks=pa.Check.le(limits.side, error="side"))
    return pa.DataFrameSchema(columns)


def _within(low: float, high: float, rule: str) -> pa.Check:
    return pa.Check.in_range(low, high, error=rule)


def _facts(tracks: Tracks, marks: Marks, limits: Limits) -> pd.DataFrame:
    ball = tracks.team == BALL_TEAM
    xy_m = np.where(np.isfinite(tracks.xy_m), tracks.xy_m, np.nan)
    speed_mps = np.linalg.norm(np.where(np.isfinite(tracks.velocity_mps), tracks.velocity_mps, np.nan), axis=-1)
    id_faults = {
        name: np.array([_FAULTS.get(_IDS.get(key, ""), 0) for key in getattr(tracks, name).tolist()])
        for name in ("games", "plays", "players")
    }
    at = np.full(len(tracks.games), NEVER)
    np.minimum.at(at, tracks.play, np.arange(len(tracks)))
    first_row = at[tracks.play] == np.arange(len(tracks))
    motion = np.column_stack([tracks.velocity_mps, tracks.facing_rad, tracks.acceleration_mps2])
    stray, along = _stray(tracks, limits.play_s), _along(tracks, ball)
    facts = {
        "x_m": xy_m[:, 0],
        "y_m": xy_m[:, 1],
        "position": _number_faults(tracks.xy_m, required=True),
        "motion": _number_faults(motion, required=False),
        "frame": np.select([tracks.frame == ABSENT, tracks.frame == NOT_WHOLE], [_MISSING, _TYPE], 0),
        "player": id_faults["players"][tracks.player],
        "play": np.maximum(id_faults["games"], id_faults["plays"])[tracks.play],
        "speed_mps": np.where(ball, np.nan, speed_mps),
        "ball_speed_mps": np.where(ball, speed_mps, np.nan),
        "acceleration_mps2": np.where(ball | ~np.isfinite(tracks.acceleration_mps2), np.nan, tracks.acceleration_mps2),
        "torn": tracks.torn[tracks.play],
        "unbegun": (marks.begin == NEVER)[tracks.play] & first_row,
        "stray": stray,
        **along,
        "side": _players_of_side(tracks, ~ball & ~stray & ~along["team_changed"] & (along["earlier_rows"] == 0)),
    }
    return pd.DataFrame(facts)


def _number_faults(values: NDArray[np.float32], *, required: bool) -> NDArray[np.int64]:
    """Return for each row whether one of its numbers is not one, or is missing though required."""
    fault = np.where(np.isinf(values).any(axis=-1), _TYPE, 0)
    return np.where((fault == 0) & np.isnan(values).any(axis=-1), _MISSING, fault) if required else fault


def _along(tracks: Tracks, ball: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Return facts about each row beside the one before it of the same player in the same play."""
    count = len(tracks)
    order = np.lexsort((np.arange(count), tracks.frame, tracks.player, tracks.play))
    same = np.zeros(count, np.bool_)
    same[1:] = (np.diff(tracks.play[order]) == 0) & (np.diff(tracks.player[order]) == 0)
    frames = np.where(same, np.diff(tracks.frame[order], prepend=0), 1)
    seconds = np.diff(tracks.time_ns[order], prepend=0) / NS_PER_S
    with np.errstate(invalid="ignore"):  # infinite, which is not a number in the file, from where it was so before
        moved_m = np.linalg.norm(np.diff(tracks.xy_m[order], axis=0, prepend=np.float32(0)), axis=-1)
    usual = same & (frames == 1) & ~ball[order] & (seconds > 0)
    begins = np.maximum.accumulate(np.where(same, 0, np.arange(count)))
    again = same & (frames == 0)
    changed = tracks.team[order] != tracks.team[order][begins]
    sorted_facts = {
        "earlier_rows": again.astype(np.int64),
        "frames_since_last": np.maximum(frames, 1),
        "step_mps": np.where(usual & np.isfinite(moved_m), moved_m / np.where(usual, seconds, 1.0), np.nan),
        "team_changed": changed,
    }
    back = np.empty(count, np.int64)
    back[order] = np.arange(count)
    return {name: values[back] for name, values in sorted_facts.items()}


def _players_of_side(tracks: Tracks, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many of the `counted` rows each row's team has in its frame; 0 for a row that is not counted."""
    start = np.full(len(tracks.games), NEVER)
    np.minimum.at(start, tracks.play[counted], tracks.frame[counted])
    end = np.full(len(tracks.games), -1)
    np.maximum.at(end, tracks.play[counted], tracks.frame[counted])
    first = np.concatenate([[0], np.cumsum(np.where(end >= 0, end - start + 1, 0))])
    side = np.zeros(len(tracks), np.int64)
    at = first[tracks.play[counted]] + tracks.frame[counted] - start[tracks.play[counted]]
    side[counted] = at * _TEAMS + tracks.team[counted] - BALL_TEAM
    players = np.bincount(side[counted], minlength=1)
    return np.where(counted, players[side], 0)


def _stray(tracks: Tracks, longest_s: float) -> NDArray[np.bool_]:
    """Return which rows lie further from the middle of their play than a play is long."""
    order = np.lexsort((tracks.frame, tracks.play))
    begins = np.searchsorted(tracks.play[order], np.arange(len(tracks.games) + 1))
    middle = order[np.minimum((begins[:-1] + begins[1:]) // 2, max(len(order) - 1, 0))]
    return np.asarray(np.abs(tracks.frame - tracks.frame[middle][tracks.play]) > longest_s * tracks.rate_hz)
