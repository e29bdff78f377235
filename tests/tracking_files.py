"""Small tracking files in the public layouts, made here: two teams run straight, so that every number is known."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GAME, PLAYS = 2022090800, (56, 101)
FRAMES = 40
SNAP, THROW, CATCH, TACKLE = 12, 24, 32, 36
"""Frames, the first being 1."""
EVENTS = {SNAP: "ball_snap", THROW: "pass_forward", CATCH: "pass_arrived", TACKLE: "tackle"}
SPEED_YD_S = 5.0
_OFFENCE = ("QB", "RB", "WR", "WR", "TE", "C", "G", "G", "T", "T", "WR")
_DEFENCE = ("DE", "DT", "NT", "DE", "ILB", "OLB", "CB", "CB", "SS", "FS", "CB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One of the 22: attackers run along +x, defenders along +y, in yards from where they began."""

    nfl_id: int
    position: str
    club: str
    start: tuple[float, float]

    @property
    def direction_deg(self) -> float:
        """Clockwise from +y."""
        return 90.0 if self.club == "KC" else 0.0

    def at(self, frame: int) -> tuple[float, float]:
        """Return where the player is."""
        moved = SPEED_YD_S * 0.1 * (frame - 1)
        return (self.start[0] + moved, self.start[1]) if self.club == "KC" else (self.start[0], self.start[1] + moved)


RUNNERS = tuple(
    Runner(nfl_id=30_000 + number, position=position, club=club, start=(30.0 + 2 * number, 5.0 + number))
    for number, (position, club) in enumerate([*((p, "KC") for p in _OFFENCE), *((p, "BUF") for p in _DEFENCE)])
)


def rows(plays: Sequence[int] = PLAYS) -> list[dict[str, Any]]:
    """Return the rows of plays as the Big Data Bowl 2023-2025 has them, player by player, the ball last."""
    found: list[dict[str, Any]] = []
    for play in plays:
        for runner in (*RUNNERS, None):
            for frame in range(1, FRAMES + 1):
                x, y = runner.at(frame) if runner else (60.0 + frame * 0.5, 26.0)
                found.append(
                    {
                        "gameId": GAME,
                        "playId": play,
                        "nflId": runner.nfl_id if runner else "NA",
                        "displayName": f"Player {runner.nfl_id}" if runner else "football",
                        "frameId": frame,
                        "time": f"2022-09-08 20:24:{frame / 10:04.1f}",
                        "jerseyNumber": 1 if runner else "NA",
                        "club": runner.club if runner else "football",
                        "playDirection": "left" if play == PLAYS[1] else "right",
                        "x": round(x, 2),
                        "y": round(y, 2),
                        "s": SPEED_YD_S,
                        "a": 0.5,
                        "dis": 0.5,
                        "o": 180.0 if runner else "NA",
                        "dir": runner.direction_deg if runner else "NA",
                        "event": EVENTS.get(frame, "NA"),
                    }
                )
    return found


def write_csv(path: Path, table: Iterable[Mapping[str, Any]], *, delimiter: str = ",") -> Path:
    """Write rows under the names of the first."""
    listed = list(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(listed[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(listed)
    return path


def big_data_bowl(folder: Path, *, weeks: Sequence[int] = (1,), tracking: list[dict[str, Any]] | None = None) -> Path:
    """Write weeks in the layout of 2024 and 2025; week n's game is GAME + n - 1."""
    for week in weeks:
        table = [row | {"gameId": row["gameId"] + week - 1} for row in (rows() if tracking is None else tracking)]
        write_csv(folder / f"tracking_week_{week}.csv", table)
    plays = [
        {
            "gameId": GAME + week - 1,
            "playId": play,
            "possessionTeam": "KC",
            "defensiveTeam": "BUF",
            "pff_manZone": label,
        }
        for week in weeks
        for play, label in zip(PLAYS, ("Man", "Zone"), strict=True)
    ]
    write_csv(folder / "plays.csv", plays)
    write_csv(folder / "players.csv", [{"nflId": item.nfl_id, "position": item.position} for item in RUNNERS])
    return folder


def big_data_bowl_2023(folder: Path) -> Path:
    """Write a week in the layout of 2023: `team` is the club's letters, positions are official ones."""
    table = [{name: value for name, value in row.items() if name != "displayName"} for row in rows()]
    write_csv(folder / "week1.csv", [{"team" if name == "club" else name: row[name] for name in row} for row in table])
    labels = zip(PLAYS, ("Man", "Zone"), strict=True)
    plays = [
        {"gameId": GAME, "playId": p, "possessionTeam": "KC", "pff_passCoverageType": label} for p, label in labels
    ]
    write_csv(folder / "plays.csv", plays)
    write_csv(folder / "players.csv", [{"nflId": item.nfl_id, "officialPosition": item.position} for item in RUNNERS])
    return folder


def big_data_bowl_2021(folder: Path) -> Path:
    """Write a week in the layout of 2021: teams are home and away, positions stand in the rows."""
    position = {item.nfl_id: item.position for item in RUNNERS}
    side = {"KC": "away", "BUF": "home", "football": "football"}
    table = [
        {name: value for name, value in row.items() if name != "club"}
        | {"team": side[row["club"]], "position": position.get(row["nflId"], "NA")}
        for row in rows()
    ]
    write_csv(folder / "week1.csv", [{**row, "event": str(row["event"]).replace("NA", "None")} for row in table])
    write_csv(folder / "plays.csv", [{"gameId": GAME, "playId": p, "possessionTeam": "KC"} for p in PLAYS])
    write_csv(folder / "games.csv", [{"gameId": GAME, "homeTeamAbbr": "BUF", "visitorTeamAbbr": "KC", "week": 1}])
    return folder


def big_data_bowl_2026(folder: Path) -> Path:
    """Write a week in the layout of 2026: five attackers and defenders are to be predicted from THROW to CATCH."""
    predicted = {item.nfl_id for item in RUNNERS if item.position in {"WR", "CB"}}
    before, after = [], []
    for play in PLAYS:
        for runner in RUNNERS:
            for frame in range(1, CATCH + 1):
                x, y = runner.at(frame)
                key = {"game_id": GAME, "play_id": play, "nfl_id": runner.nfl_id}
                if frame > THROW:
                    if runner.nfl_id in predicted:
                        after.append({**key, "frame_id": frame - THROW, "x": round(x, 2), "y": round(y, 2)})
                    continue
                before.append(
                    {
                        "game_id": GAME,
                        "play_id": play,
                        "player_to_predict": runner.nfl_id in predicted,
                        "nfl_id": runner.nfl_id,
                        "frame_id": frame,
                        "play_direction": "left" if play == PLAYS[1] else "right",
                        "absolute_yardline_number": 42,
                        "player_name": "A B",
                        "player_height": "6-1",
                        "player_weight": 201,
                        "player_birth_date": "1999-01-01",
                        "player_position": runner.position,
                        "player_side": "Offense" if runner.club == "KC" else "Defense",
                        "player_role": "Targeted Receiver",
                        "x": round(x, 2),
                        "y": round(y, 2),
                        "s": SPEED_YD_S,
                        "a": 0.5,
                        "dir": runner.direction_deg,
                        "o": 180.0,
                        "num_frames_output": CATCH - THROW,
                        "ball_land_x": 70.0,
                        "ball_land_y": 20.0,
                    }
                )
    write_csv(folder / "train" / "input_2023_w01.csv", before)
    write_csv(folder / "train" / "output_2023_w01.csv", after)
    labels = zip(PLAYS, ("MAN_COVERAGE", "ZONE_COVERAGE"), strict=True)
    coverage = [{"game_id": GAME, "play_id": play, "team_coverage_man_zone": label} for play, label in labels]
    write_csv(folder / "supplementary_data.csv", coverage)
    return folder


def next_gen_stats(folder: Path) -> Path:
    """Write a play a TSV, as the highlights have them."""
    group = {"DE": "DL", "DT": "DL", "NT": "DL", "ILB": "LB", "OLB": "LB", "CB": "DB", "SS": "DB", "FS": "DB"}
    group |= dict.fromkeys(("C", "G", "T"), "OL")
    position = {item.nfl_id: group.get(item.position, item.position) for item in RUNNERS}
    for play in PLAYS:
        table = [
            {
                "gameId": GAME,
                "playId": play,
                "week": 1,
                "playDirection": row["playDirection"],
                "possessionFlag": "" if row["nflId"] == "NA" else float(row["club"] == "KC"),
                "frame": row["frameId"] - 1,
                "nflId": "" if row["nflId"] == "NA" else float(row["nflId"]),
                "positionGroup": position.get(row["nflId"], ""),
                **{name: str(row[name]).replace("NA", "") for name in ("x", "y", "s", "o", "dir", "event")},
            }
            for row in rows((play,))
        ]
        write_csv(folder / f"{GAME}_{play}_KC_BUF.tsv", table, delimiter="\t")
    return folder


def zxy(folder: Path, *, seconds: float = 6.0, silent_s: tuple[float, float] = (3.0, 3.5)) -> Path:
    """Write two tags at 20 Hz and one that lies still; the second is silent for a while. Both run along +x at 4 m/s."""
    columns: dict[str, list[Any]] = {name: [] for name in ("t", "id", "x", "y", "heading", "direction", "speed")}
    for tag, offset_ns in (("1", 0), ("5", 0), ("7", 12_000_000)):
        for step in range(round(seconds * 20)):
            at_s = step / 20 + offset_ns / 1e9
            if tag == "7" and silent_s[0] < at_s < silent_s[1]:
                continue
            columns["t"].append(1_383_858_000_000_000_000 + round(at_s * 1e9))
            columns["id"].append(tag)
            columns["x"].append(40.0 if tag == "1" else 10.0 + 4.0 * at_s)
            columns["y"].append(30.0)
            columns["heading"].append(np.pi / 2)
            columns["direction"].append(np.pi / 2)
            columns["speed"].append(0.0 if tag == "1" else 4.0)
    table = pa.table(columns | {"t": pa.array(columns["t"], pa.timestamp("ns"))})
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / "tracking.parquet")
    return folder


def hockey(folder: Path) -> Path:
    """Write a power play at 30 Hz: two tracks, a camera elsewhere for a second, and a third track after it."""
    table = [
        {"frame_id": frame, "period": 1, "track_id": track, "team_id": shirt, "team_name": "T", "jersey_number": 100}
        | {"x_ft": 100.0 + frame * 0.5, "y_ft": 40.0 + track}
        for track, shirt, frames in ((1, "Dark", range(1, 61)), (2, "Light", range(1, 61)), (9, "Dark", range(91, 121)))
        for frame in frames
    ]
    write_csv(folder / "2022-02-08 A at B" / "2022-02-08 A at B P1 PP1.csv", table)
    return folder


def recording(folder: Path, *, seconds: float = 5.0) -> Path:
    """Write two sessions of two athletes and the ball at 10 Hz, a tag a little off the beat."""
    count = round(seconds * 10)
    parts = []
    for session in ("s1", "s2"):
        for athlete, team, late_ns in (("a1", 0, 0), ("a2", 1, 3_000_000), ("ball", -1, 0)):
            time_ns = 1_767_225_600_000_000_000 + np.arange(count) * 100_000_000 + late_ns
            where = {"x_m": 1.0 + 0.2 * np.arange(count), "y_m": np.full(count, 2.0)}
            names = {"session": [session] * count, "athlete": [athlete] * count, "team": np.full(count, team)}
            parts.append(pa.table({**names, "time_ns": time_ns, **where}))
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables(parts), folder / "squad.parquet")
    return folder
