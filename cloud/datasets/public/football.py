"""American football: yards, clockwise angles and events, as the league's tracking states them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.positions import STEP_NS
from cloud.datasets.public.tracks import BALL_ROLE, NEVER, Marks, Tracks, earliest, latest
from cloud.datasets.scenes import ROLES, UNKNOWN_COVERAGE, Field
from shared.features.team import BALL_TEAM, RATE_HZ
from shared.ids import BALL

SPORT = "american_football"
YARD_M = 0.9144
FIELD = Field(length_m=120 * YARD_M, width_m=160 / 3 * YARD_M)
OFFENCE, DEFENCE = 1, 0
BALL_ID = np.iinfo(np.int64).max
"""In place of the league's player id: the ball stands behind all players."""
BEGINS = ("ball_snap", "snap_direct", "kickoff", "punt_play", "kickoff_play")
ENDS = (
    *("tackle", "touchdown", "out_of_bounds", "touchback", "qb_sack"),
    *("pass_outcome_incomplete", "fumble_defense_recovered"),
)
THROWS = ("pass_forward", "pass_shovel")
_OUTCOMES = ("caught", "touchdown", "interception", "incomplete")
ARRIVALS = ("pass_arrived", *(f"pass_outcome_{outcome}" for outcome in _OUTCOMES), "pass_tipped")
_GROUP_OF = {
    **dict.fromkeys(("QB",), "QB"),
    **dict.fromkeys(("RB", "HB", "FB", "TB"), "RB"),
    **dict.fromkeys(("WR",), "WR"),
    **dict.fromkeys(("TE",), "TE"),
    **dict.fromkeys(("OL", "C", "G", "T", "LG", "RG", "LT", "RT", "OG", "OT"), "OL"),
    **dict.fromkeys(("DL", "DE", "DT", "NT", "EDGE"), "DL"),
    **dict.fromkeys(("LB", "ILB", "MLB", "OLB"), "LB"),
    **dict.fromkeys(("DB", "CB", "S", "SS", "FS", "NB"), "DB"),
    **dict.fromkeys(("SPEC", "K", "P", "LS"), "SPEC"),
}


def velocity_mps(speed_yd_s: NDArray[np.float32], direction_deg: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return velocities [R,2] from speeds in yards a second and directions in degrees clockwise from +y."""
    unreadable = np.isinf(direction_deg)
    angle = np.deg2rad(np.where(unreadable, 0, direction_deg).astype(np.float32))
    speed = np.where(unreadable, np.inf, speed_yd_s).astype(np.float32) * np.float32(YARD_M)
    with np.errstate(invalid="ignore"):  # infinite, which is not a number in the file, times a sine of 0
        return np.stack([speed * np.sin(angle), speed * np.cos(angle)], axis=-1)


def facing_rad(orientation_deg: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return angles anticlockwise from +x, in -pi..pi, of orientations in degrees clockwise from +y."""
    unreadable = np.isinf(orientation_deg)
    angle = np.deg2rad(90.0 - np.where(unreadable, 0, orientation_deg).astype(np.float32))
    return np.where(unreadable, np.inf, np.mod(angle + np.pi, 2 * np.pi) - np.pi).astype(np.float32)


def role_codes(positions: list[str | None]) -> NDArray[np.int8]:
    """Return the index into ROLES of each position or position group; `unknown` for one that is not known."""
    return np.array([ROLES.index(_GROUP_OF.get(name or "", "unknown")) for name in positions], np.int8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Rows by the league's own numbers: `play` int64[R] is an index into `games` and `numbers`.

    `who` int64[R] is a player's number or BALL_ID. `values` gives a column of numbers by the league's name (x, y, s,
    dir, o, a), NaN where there is none.
    """

    files: tuple[str, ...]
    source: NDArray[np.int32]
    row: NDArray[np.int64]
    play: NDArray[np.int64]
    games: NDArray[np.generic]
    numbers: NDArray[np.generic]
    who: NDArray[np.int64]
    frame: NDArray[np.int64]
    offence: NDArray[np.bool_]
    role: NDArray[np.int8]
    values: Callable[[str], NDArray[np.float32]]


def to_tracks(
    rows: Named,
    *,
    events: Sequence[str | None],
    event: NDArray[np.integer],
    leftwards: NDArray[np.bool_],
    torn: NDArray[np.bool_],
    coverage: NDArray[np.int8],
) -> Tracks:
    """Return rows of the league's files as tracks in metres, `event` int[R] being an index into `events`."""
    ids, player = np.unique(rows.who, return_inverse=True)
    ball = rows.who == BALL_ID
    return Tracks(
        sport=SPORT,
        field=FIELD,
        rate_hz=RATE_HZ,
        files=rows.files,
        games=rows.games.astype(np.str_),
        plays=rows.numbers.astype(np.str_),
        players=np.where(ids == BALL_ID, BALL, ids.astype(np.str_)),
        events=tuple(name or "" for name in events),
        source=rows.source,
        row=rows.row,
        play=rows.play,
        frame=rows.frame,
        time_ns=rows.frame * STEP_NS,
        player=player.astype(np.int64),
        team=np.where(ball, BALL_TEAM, np.where(rows.offence, OFFENCE, DEFENCE)).astype(np.int8),
        role=np.where(ball, BALL_ROLE, rows.role).astype(np.int8),
        xy_m=np.stack([rows.values("x"), rows.values("y")], axis=-1) * np.float32(YARD_M),
        velocity_mps=velocity_mps(rows.values("s"), rows.values("dir")),
        facing_rad=facing_rad(rows.values("o")),
        acceleration_mps2=rows.values("a") * np.float32(YARD_M),
        event=event.astype(np.int16),
        leftwards=leftwards,
        torn=torn,
        coverage=coverage,
    )


def directions(
    play: NDArray[np.int64], left: NDArray[np.bool_], plays: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which plays run leftwards by the word of any row, and for which the rows disagree, bool[N] each."""
    said_left = np.bincount(play[left], minlength=plays) > 0
    said_right = np.bincount(play[~left], minlength=plays) > 0
    return said_left, said_left & said_right


def marks(tracks: Tracks) -> Marks:
    """Return when each play began, ended, and its pass was thrown and arrived, by the source's events.

    A play runs from its snap or kick to the first tackle, touchdown or other end after it, else to its last frame.
    What a machine marked (`autoevent_...`) counts only where no person did: it may be seconds off.
    """
    begin = _or_else(earliest(tracks, _any_of(tracks, BEGINS)), tracks, _any_of(tracks, ("autoevent_ballsnap",)))
    since = tracks.frame > begin[tracks.play]
    end = earliest(tracks, _any_of(tracks, ENDS) & since)
    thrown = earliest(tracks, _any_of(tracks, THROWS) & since)
    thrown = _or_else(thrown, tracks, _any_of(tracks, ("autoevent_passforward",)) & since)
    arrived = earliest(tracks, _any_of(tracks, ARRIVALS) & (tracks.frame >= thrown[tracks.play]))
    return Marks(begin=begin, end=np.where(end == NEVER, latest(tracks), end), thrown=thrown, arrived=arrived)


def no_coverage(plays: int) -> NDArray[np.int8]:
    """Return what is known about the coverage of plays without a label."""
    return np.full(plays, UNKNOWN_COVERAGE, np.int8)


def _or_else(frames: NDArray[np.int64], tracks: Tracks, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(frames == NEVER, earliest(tracks, rows), frames) if rows.any() else frames


def _any_of(tracks: Tracks, events: tuple[str, ...]) -> NDArray[np.bool_]:
    wanted = np.isin(np.array(tracks.events, np.str_), events)
    return np.append(wanted, False)[tracks.event]  # -1, no event, is the appended one
