"""Recorded sessions replayed through the gateway's own windows and features, to train on squads never met live."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.positions import Recording, read_recordings
from cloud.datasets.rows import FEATURES, EffortRows, make_rows
from shared.errors import ConfigError
from shared.features import athlete as effort
from shared.ids import AthleteId, SensorId
from shared.metrics.base import Profile
from shared.quantities import STREAMS
from shared.readings import Readings
from shared.roster import Roster, read_roster
from shared.windows import Windower

_BALL_TEAM = -1
_POSITION_COLUMNS = len(STREAMS["position"].quantities)


def roster_beside(path: Path) -> Path:
    """Return where the roster of a recording lies: `squad.parquet` has `squad.roster.json`."""
    return path.with_suffix(".roster.json")


def replay_files(paths: list[Path]) -> EffortRows:
    """Return the rows of recordings; each needs its roster beside it, for resting and maximal heart rates.

    The same athlete id in two files is two people: squads are drawn anew for each seed.
    Raises: ConfigError when a file or its roster cannot be read, or no athlete has a heart rate.
    """
    parts: list[_Column] = []
    for path in sorted(paths):
        if not path.is_file():
            raise ConfigError(str(path), "is no file")
        profiles = _profiles(read_roster(roster_beside(path)))
        for recording in read_recordings(path):
            for index, who in enumerate(recording.athletes):
                if recording.team[index] == _BALL_TEAM:
                    continue
                if who not in profiles:
                    raise ConfigError(str(roster_beside(path)), f"does not name athlete {who} of {path.name}")
                parts.append(_replay(recording, index, profiles[who]))
    if not any(len(part[0]) for part in parts):
        raise ConfigError(
            ", ".join(str(path) for path in paths), "hold no rows: heart rate or the first minute is missing"
        )
    time_ns, features, hr_bpm, coverage, session, athlete = (np.concatenate(c) for c in zip(*parts, strict=True))
    return make_rows(
        session=session, athlete=athlete, time_ns=time_ns, features=features, hr_bpm=hr_bpm, coverage=coverage
    )


_Column = tuple[
    NDArray[np.int64],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float64],
    NDArray[np.str_],
    NDArray[np.str_],
]


def _replay(recording: Recording, index: int, profile: Profile) -> _Column:
    """Return time, features, label, coverage, session and athlete of one athlete's rows."""
    windower = Windower()
    readings = _readings(recording, index)
    state = effort.start(profile)
    rows = []
    for window in [*windower.push(readings), *windower.flush()]:
        state = effort.update(state, window)
        row = effort.row(state)
        if row is not None:
            rows.append(row)
    time_ns = np.array([row.time_ns for row in rows], np.int64)
    # The heart rate at the end of the window that a row describes: the newest one before that end.
    newest = np.searchsorted(recording.time_ns, time_ns, side="left") - 1
    who = f"{recording.session}/{profile.athlete}"
    return (
        time_ns,
        np.array([row.values for row in rows], np.float32).reshape(len(rows), len(FEATURES)),
        recording.hr_bpm[newest, index],
        np.array([row.coverage for row in rows], np.float64),
        np.full(len(rows), recording.session),
        np.full(len(rows), who),
    )


def _readings(recording: Recording, index: int) -> Readings:
    known = np.flatnonzero(np.isfinite(recording.xy_m[:, index]).all(axis=1))
    values = np.full((len(known), _POSITION_COLUMNS), 1.0)
    # Tags report whole millimetres; training sees what the gateway would.
    values[:, :2] = np.round(recording.xy_m[known, index].astype(np.float64), 3)
    return Readings(
        sensor=SensorId("recording"),
        stream="position",
        origin=recording.session,
        sequence=known.astype(np.int64),
        time_ns=recording.time_ns[known],
        values=values,
        quality=np.zeros(len(known), np.uint8),
        athlete=AthleteId(recording.athletes[index]),
    )


def _profiles(roster: Roster) -> dict[str, Profile]:
    return {
        member.athlete: Profile(
            athlete=AthleteId(member.athlete),
            sex=member.sex,
            hr_rest_bpm=member.hr_rest_bpm,
            hr_max_bpm=member.hr_max_bpm,
        )
        for member in roster.athletes
    }
