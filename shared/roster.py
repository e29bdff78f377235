"""Who trains and who wears which sensor: a JSON file that the simulator writes and the gateway and the cloud read."""

from pathlib import Path

import msgspec

from shared.errors import ConfigError
from shared.ids import BALL, parse_athlete_id, parse_sensor_id


class RosterAthlete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One athlete; `team` is 0 or 1, `sex` selects the TRIMP constants, `hr_rest_bpm` and `hr_max_bpm` are measured."""

    athlete: str
    number: int
    name: str
    team: int
    sex: str
    hr_rest_bpm: float
    hr_max_bpm: float


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sensor` is worn by `athlete` (or `"ball"`) from `from_ns` on, until a later assignment of the same sensor."""

    sensor: str
    athlete: str
    from_ns: int = 0


class Roster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The squad and its sensors."""

    athletes: list[RosterAthlete]
    assignments: list[Assignment]


def read_roster(path: Path) -> Roster:
    """Read and check a roster file.

    Raises: ConfigError naming the place of the first thing that is wrong.
    """
    try:
        roster = msgspec.json.decode(path.read_bytes(), type=Roster)
    except OSError as exc:
        raise ConfigError(str(path), exc.strerror or "cannot be read") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(str(path), str(exc)) from exc
    _check(roster, str(path))
    return roster


def write_roster(roster: Roster, path: Path) -> None:
    """Write a roster file, readable by people."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(roster), indent=1) + b"\n")


def _check(roster: Roster, where: str) -> None:
    known = {BALL: True}
    for athlete in roster.athletes:
        name = parse_athlete_id(athlete.athlete)
        if name in known:
            raise ConfigError(where, f"athlete {name} stands twice")
        known[name] = True
        if athlete.team not in (0, 1):
            raise ConfigError(where, f"athlete {name}: team must be 0 or 1")
        if athlete.sex not in ("m", "f"):
            raise ConfigError(where, f"athlete {name}: sex must be 'm' or 'f' (it selects the TRIMP constants)")
        if not 20 <= athlete.hr_rest_bpm < athlete.hr_max_bpm <= 250:
            raise ConfigError(where, f"athlete {name}: needs 20 <= hr_rest_bpm < hr_max_bpm <= 250")
    for assignment in roster.assignments:
        parse_sensor_id(assignment.sensor)
        if assignment.athlete not in known:
            raise ConfigError(where, f"sensor {assignment.sensor} is assigned to unknown athlete {assignment.athlete}")
