"""Real recordings as sensors: tracking becomes tags, beat intervals become straps. Nothing is invented beside them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from firmware_sim.arrays import Floats
from firmware_sim.athlete import make_athletes
from firmware_sim.recordings import heartbeats
from firmware_sim.recordings.heartbeats import HeartReplay
from firmware_sim.recordings.tracking import BODIES, PLAYERS_PER_TEAM, Tracking, is_tracking
from firmware_sim.roster import BALL_TAG, make_roster, strap_address, tag_id
from firmware_sim.session import Step
from shared.errors import ConfigError
from shared.roster import Roster

RATE_HZ = 10
_ROSTER_SEED = 0
_ACCEPTED = (
    "accepted are NFL tracking (a .tsv play, tracking.parquet or a folder of them), a MMASH user folder "
    "(RR.csv or RR.parquet), and .fit or .fit.gz files with hrv messages"
)


class RecordedSession:
    """A Session of recorded tags (the players of one tracking recording) and straps (one per beat recording)."""

    def __init__(self, tracking: Tracking | None, hearts: Sequence[Floats]) -> None:
        self.rate_hz = RATE_HZ
        self._frames = tracking.frames() if tracking else None
        self._hearts = [HeartReplay(beats_s) for beats_s in hearts]
        players = BODIES - 1 if tracking else 0
        self.tags = (*(tag_id(index) for index in range(players)), BALL_TAG) if tracking else ()
        self.straps = tuple(strap_address(index) for index in range(len(hearts)))
        self.roster = _roster(players, hearts, {*self.tags, *self.straps})
        self._steps = 0

    def step(self) -> Step:
        """Advance by 0.1 s."""
        self._steps += 1
        at_m = next(self._frames) if self._frames is not None else np.empty((0, 2))
        replayed = [heart.step(1.0 / RATE_HZ) for heart in self._hearts]
        return Step(
            time_s=self._steps / RATE_HZ,
            x_m=at_m[:, 0],
            y_m=at_m[:, 1],
            bpm=np.array([bpm for bpm, _ in replayed]),
            beats_1024=tuple(beats for _, beats in replayed),
        )


def open_recordings(paths: Sequence[Path]) -> RecordedSession:
    """Open every recording, whatever its kind.

    Raises: ConfigError naming the path that is missing or of no accepted kind.
    """
    tracking: Tracking | None = None
    hearts: list[Floats] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(str(path), f"does not exist; {_ACCEPTED}")
        if heartbeats.is_mmash(path):
            hearts.append(heartbeats.read_mmash(path))
        elif heartbeats.is_fit(path):
            hearts.append(heartbeats.read_fit(path))
        elif not is_tracking(path):
            raise ConfigError(str(path), f"is no known recording; {_ACCEPTED}")
        elif tracking is not None:
            raise ConfigError(str(path), "is a second tracking recording; put the plays into one folder")
        else:
            tracking = Tracking(path)
    return RecordedSession(tracking, hearts)


def _roster(players: int, hearts: Sequence[Floats], sensors: set[str]) -> Roster:
    """Name the wearers; heart-rate limits come from the recording where there is one."""
    count = max(players, len(hearts))
    teams = tuple(index // PLAYERS_PER_TEAM % 2 if players else 0 for index in range(count))
    profiles = list(make_athletes(_ROSTER_SEED, teams))
    for index, beats_s in enumerate(hearts):
        rest_bpm, max_bpm = heartbeats.heart_limits_bpm(beats_s)
        profiles[index] = replace(profiles[index], hr_rest_bpm=rest_bpm, hr_max_bpm=max_bpm)
    everything = make_roster(profiles)
    worn = [assignment for assignment in everything.assignments if assignment.sensor in sensors]
    return Roster(athletes=everything.athletes, assignments=worn)
