"""A season of simulated passing plays in the layout of the Big Data Bowl 2021-2025, man or zone known for each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv
from rich.console import Console
from rich.progress import track

from firmware_sim.plays.defence import draw_habits
from firmware_sim.plays.play import Play, simulate_play
from shared.errors import ConfigError

TEAMS = 32
_YARD_M = 0.9144
_LENGTH_YD, _WIDTH_YD = 120.0, 160.0 / 3.0
_GAMES_A_WEEK = 16
_IDS_A_TEAM = 100


def write_season(folder: Path, *, games: int, plays: int, seed: int, console: Console | None = None) -> int:
    """Write `games` of `plays` each, sixteen games a week, into a new or empty folder; return the number of plays.

    Teams and their habits are the seed's own: another seed is another league. Progress shows on `console`, if any.

    Raises: ConfigError when the folder is not empty or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(str(folder), "is not empty")
        return _write(folder, games, plays, seed, console)
    except OSError as exc:
        raise ConfigError(str(folder), exc.strerror or "cannot be written") from exc


def _write(folder: Path, games: int, plays: int, seed: int, console: Console | None) -> int:
    rng = np.random.default_rng(seed)
    habits = [draw_habits(rng) for _ in range(TEAMS)]
    listed: list[dict[str, object]] = []
    tables: list[pa.Table] = []
    for game in track(range(games), "Playing", console=console, disable=console is None):
        teams = rng.choice(TEAMS, 2, replace=False)
        for number in range(plays):
            offence, defence = teams if number % 2 else teams[::-1]
            play = simulate_play(habits[defence], rng)
            key = {"gameId": 10_000 * seed + game, "playId": number + 1}
            tables.append(_rows(play, key, (int(offence), int(defence)), rng))
            club = {"possessionTeam": _club(offence), "defensiveTeam": _club(defence)}
            listed.append({**key, **club, "pff_manZone": "Man" if play.man else "Zone"})
        if game + 1 == games or (game + 1) % _GAMES_A_WEEK == 0:
            csv.write_csv(pa.concat_tables(tables), folder / f"tracking_week_{game // _GAMES_A_WEEK + 1}.csv")
            tables.clear()
    csv.write_csv(pa.Table.from_pylist(listed), folder / "plays.csv")
    return len(listed)


def _rows(play: Play, key: dict[str, int], teams: tuple[int, int], rng: np.random.Generator) -> pa.Table:
    """Return a play's rows, player by player, the ball last, somewhere on the field and either way."""
    frames = len(play.position_m)
    left = bool(rng.random() < 0.5)
    place = np.array([rng.uniform(25.0, 75.0), _WIDTH_YD / 2.0 + rng.uniform(-3.0, 3.0)])
    at = place + play.position_m / _YARD_M
    at = np.array([_LENGTH_YD, _WIDTH_YD]) - at if left else at
    turn = np.pi if left else 0.0
    angle = np.arctan2(play.velocity_mps[..., 1], play.velocity_mps[..., 0]) + turn
    facing = np.pad(play.facing_rad, ((0, 0), (0, 1)), constant_values=np.nan) + turn
    speed = np.hypot(play.velocity_mps[..., 0], play.velocity_mps[..., 1]) / _YARD_M
    ids = [teams[row > 10] * _IDS_A_TEAM + row + 1 for row in range(22)]
    clubs = [_club(teams[row > 10]) for row in range(22)]
    columns = {
        **{name: np.full(frames * 23, value) for name, value in key.items()},
        "nflId": _each([*ids, None], frames),
        "frameId": np.tile(np.arange(1, frames + 1), 23),
        "club": _each([*clubs, "football"], frames),
        "position": _each([*play.positions, None], frames),
        "playDirection": ["left" if left else "right"] * (frames * 23),
        "event": list(_events(play, frames)) * 23,
    }
    measured = {"x": at[..., 0], "y": at[..., 1], "s": speed, "dir": _clockwise_deg(angle), "o": _clockwise_deg(facing)}
    numbers = {name: pa.array(array.T.ravel().round(2), from_pandas=True) for name, array in measured.items()}
    return pa.table(columns | numbers)


def _each(values: list[object], frames: int) -> pa.Array:
    return pa.array([value for value in values for _ in range(frames)])


def _events(play: Play, frames: int) -> Iterator[str | None]:
    known = {play.snap: "ball_snap", play.thrown: "pass_forward", play.arrived: "pass_arrived", frames - 1: "tackle"}
    return (known.get(frame) for frame in range(frames))


def _club(team: int) -> str:
    return f"T{team:02d}"


def _clockwise_deg(angle_rad: np.ndarray) -> np.ndarray:
    """Return angles anticlockwise from +x as the layout has them: degrees clockwise from +y."""
    return np.asarray(np.mod(90.0 - np.rad2deg(angle_rad), 360.0))
