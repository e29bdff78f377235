"""An example to open the notebooks with: a recorded session, cut up and laid on the days of some weeks.

`python -m cloud.notebooks.example squad.parquet --cloud-dir example` sends the pieces through the cloud's own intake
and pipeline, so that the tables are such as a gateway's. All of it, `reports/daily.parquet` too, is made up.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from cloud.datasets.positions import Recording, read_recordings
from cloud.datasets.replay import roster_beside
from cloud.ingest.intake import Intake
from cloud.ingest.ledger import Ledger
from cloud.objects import Objects
from cloud.settings import Layout, load_settings
from cloud.setup import make_layout
from shared.batch import BatchHeader, Lane, SessionSummary, sha256_hex, summary_of
from shared.clock import NS_PER_S, Clock, SystemClock
from shared.features.team import BALL_TEAM, RATE_HZ
from shared.features.wellness import ANSWERS
from shared.ids import AthleteId, SensorId
from shared.parquet_codec import encode_parquet
from shared.readings import Readings
from shared.roster import Roster, profile_of, read_roster

GATEWAY, EPOCH = "example", "0" * 16
FIRST_MONDAY = datetime(2026, 8, 3, 17, tzinfo=UTC)
TRAINING_DAYS = (0, 2, 4)
REPORTS = Path("reports") / "daily.parquet"
_DAY_NS = 86_400 * NS_PER_S
_SHORTEST, _LONGEST = 0.1, 0.25
"""Share of the recording that a session is cut to."""
_LAST_WEEK = 1.5
"""The last week's sessions are so much longer: something to see."""
_ABSENT, _STRAP_FAILS, _UNANSWERED = 0.04, 0.1, 0.1
"""Chance that an athlete misses a session, that a strap falls silent in it, that a day's report is not given."""
_NOMINAL_MINUTES = 90
_READINESS_LOST_PER_AU = 1 / 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One session: steps `first` up to `last` of the recording, begun at `start_ns`.

    `present` bool[P] says who is there, `strap` float64[P] for which share of the session each strap works.
    """

    start_ns: int
    first: int
    last: int
    present: NDArray[np.bool_]
    strap: NDArray[np.float64]


def make_example(layout: Layout, clock: Clock, recording: Recording, roster: Roster, *, weeks: int, seed: int) -> int:
    """Fill an empty cloud folder with `weeks` weeks of three sessions each; return the number of sessions.

    Raises: StoreError.
    """
    from cloud.pipeline.main import run_pipeline  # noqa: PLC0415  Beam, which warns at import unless told not to

    rng = np.random.default_rng(seed)
    make_layout(layout)
    pieces = list(_pieces(recording, weeks, rng))
    intake = Intake(ledger=Ledger(layout.ledger), objects=Objects(layout.objects), clock=clock)
    try:
        for (content, body, rows), seq in zip(_batches(recording, roster, pieces), count()):
            header = BatchHeader(
                gateway=GATEWAY,
                epoch=EPOCH,
                seq=seq,
                lane=Lane.RAW if rows else Lane.SUMMARY,
                content=content,
                sha256=sha256_hex(body),
                count=rows,
                schema=1,
            )
            intake.take(header, body, received_ns=clock.utc_ns())
    finally:
        intake.ledger.close()
    run_pipeline(layout, clock, session_gap_s=600.0, beam_options=[])
    path = layout.root / REPORTS
    path.parent.mkdir(exist_ok=True)
    _reports(recording, pieces, weeks, rng).to_parquet(path)
    return len(pieces)


def _pieces(recording: Recording, weeks: int, rng: np.random.Generator) -> Iterator[Piece]:
    steps, players = recording.xy_m.shape[:2]
    for week in range(weeks):
        longer = _LAST_WEEK if week == weeks - 1 else 1.0
        for day in TRAINING_DAYS:
            length = round(steps * rng.uniform(_SHORTEST, _LONGEST) * longer)
            first = int(rng.integers(0, steps - length + 1))
            start_ns = round(FIRST_MONDAY.timestamp()) * NS_PER_S + (7 * week + day) * _DAY_NS
            present = (rng.random(players) > _ABSENT) | (recording.team == BALL_TEAM)
            fails = rng.random(players) < _STRAP_FAILS
            strap = np.where(fails, rng.random(players), 1.0) * present
            yield Piece(start_ns=start_ns, first=first, last=first + length, present=present, strap=strap)


def _batches(recording: Recording, roster: Roster, pieces: list[Piece]) -> Iterator[tuple[str, bytes, int]]:
    """Yield content, body and number of rows: who the athletes are, then each session's positions and heart rates."""
    profiles = [summary_of(profile_of(athlete, roster), athlete.team) for athlete in roster.athletes]
    told = SessionSummary(
        gateway=GATEWAY, time_ns=pieces[0].start_ns, profiles=profiles, metrics=[], alerts=[], gaps=[]
    )  # fmt: skip
    yield "summary", msgspec.json.encode(told), 0
    for piece in pieces:
        for stream in ("position", "heart_rate"):
            blocks = [
                block for player in range(len(recording.athletes)) for block in _block(recording, piece, player, stream)
            ]
            if blocks:
                yield stream, encode_parquet(blocks), sum(len(block) for block in blocks)


def _block(recording: Recording, piece: Piece, player: int, stream: str) -> Iterator[Readings]:
    """Yield what one athlete's sensor said in a session, nothing when there is no such sensor."""
    if stream == "position":
        worn, every = float(piece.present[player]), 1
        xy = recording.xy_m[piece.first : piece.last, player]
        values = np.column_stack([np.round(xy.astype(np.float64), 3), np.ones(len(xy))])
    else:
        worn, every = float(piece.strap[player]), RATE_HZ
        bpm = recording.hr_bpm[piece.first : piece.last : every, player]
        values = np.column_stack([np.round(bpm), np.ones(len(bpm)), np.full(len(bpm), np.nan)])
    known = np.flatnonzero(np.isfinite(values[: round(worn * len(values)), 0]))
    if not len(known):
        return
    yield Readings(
        sensor=SensorId(f"{'tag' if stream == 'position' else 'hr'}-{recording.athletes[player]}"),
        stream=stream,
        origin=f"session-{piece.start_ns}",
        sequence=known,
        time_ns=piece.start_ns + known * (every * NS_PER_S // RATE_HZ),
        values=values[known],
        quality=np.zeros(len(known), np.uint8),
        athlete=AthleteId(recording.athletes[player]),
    )


def _reports(recording: Recording, pieces: list[Piece], weeks: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return a day's report and session load of every athlete: readiness is lower the day after a hard session."""
    days = pd.date_range(FIRST_MONDAY.date(), periods=7 * weeks)
    asked = np.array([piece.start_ns // _DAY_NS for piece in pieces]) - round(FIRST_MONDAY.timestamp()) // 86_400
    parts = []
    for player, athlete in enumerate(recording.athletes):
        if recording.team[player] == BALL_TEAM:
            continue
        load = np.zeros(len(days))
        load[asked] = [piece.present[player] * _NOMINAL_MINUTES * rng.integers(2, 9) for piece in pieces]
        tired = np.concatenate([[0.0], load[:-1]]) * _READINESS_LOST_PER_AU
        table = {name: np.clip(np.round(3 + rng.normal(0, 0.7, len(days))), 1, 5) for name in ANSWERS}
        table["sleep_duration"] = np.round(rng.normal(7.5, 0.8, len(days)), 1)
        readiness = np.clip(np.round(rng.uniform(7, 9) - tired + rng.normal(0, 0.5, len(days))), 1, 10)
        table["readiness"] = np.where(rng.random(len(days)) < _UNANSWERED, np.nan, readiness)
        parts.append(
            pd.DataFrame({"date": days, "player_id": athlete, "team": "example", "daily_load": load, **table})
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def main(
    recording: Annotated[Path, typer.Argument(help="A session of `python -m firmware_sim export`.", dir_okay=False)],
    cloud_dir: Annotated[Path, typer.Option(help="The cloud folder to make.", file_okay=False)],
    weeks: Annotated[int, typer.Option(help="Weeks of three sessions.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.", min=0)] = 7,
) -> None:
    """Make an example cloud folder of a recorded session, whose roster lies beside it as NAME.roster.json."""
    # Beam warns at import about cloud libraries that we do not use.
    logging.getLogger().setLevel(logging.ERROR)
    _, layout = load_settings(None, cloud_dir)
    if layout.ledger.exists():
        raise typer.BadParameter(f"{cloud_dir} is a cloud folder already", param_hint="--cloud-dir")
    roster = read_roster(roster_beside(recording))
    made = make_example(layout, SystemClock(), read_recordings(recording)[0], roster, weeks=weeks, seed=seed)
    typer.echo(f"{made} sessions in {layout.root}")


if __name__ == "__main__":
    typer.run(main)
