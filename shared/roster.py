"""Who trains and who wears which sensor: a JSON file that the simulator writes and the gateway and the cloud read."""

from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import msgspec

from shared.errors import ConfigError
from shared.ids import BALL, AthleteId, parse_athlete_id, parse_sensor_id
from shared.metrics.base import SPEED_EDGES_MPS, Profile


class RosterAthlete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One athlete; `team` is 0 or 1, `sex` selects the TRIMP constants, `hr_rest_bpm` and `hr_max_bpm` are measured.

    `hr_max_estimated` says that HRmax was computed from age. What was not tested is left out; see `Profile`.
    """

    athlete: str
    number: int
    name: str
    team: int
    sex: str
    hr_rest_bpm: float
    hr_max_bpm: float
    hr_max_estimated: bool = False
    vt1_bpm: float | None = None
    vt2_bpm: float | None = None
    mass_kg: float | None = None
    critical_power_w: float | None = None
    w_prime_j: float | None = None
    ftp_w: float | None = None
    critical_speed_mps: float | None = None
    d_prime_m: float | None = None


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sensor` is worn by `athlete` (or `"ball"`) from `from_ns` on, until a later assignment of the same sensor.

    Null says that nobody wears it from then on.
    """

    sensor: str
    athlete: str | None
    from_ns: int = 0


class Team(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for one team: lower edges of its speed bands walk, jog, run, high speed, sprint."""

    team: int
    speed_edges_mps: tuple[float, float, float, float, float] = SPEED_EDGES_MPS


class Roster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The squad and its sensors."""

    athletes: list[RosterAthlete]
    assignments: list[Assignment]
    teams: list[Team] = []


_PROFILE_FIELDS = frozenset(field.name for field in fields(Profile))
# Beyond these a number is a slip of the unit.
_BOUNDS = {
    "vt1_bpm": (40, 230),
    "vt2_bpm": (40, 230),
    "mass_kg": (20, 200),
    "critical_power_w": (50, 700),
    "w_prime_j": (1_000, 60_000),
    "ftp_w": (50, 700),
    "critical_speed_mps": (1, 9),
    "d_prime_m": (10, 1_000),
}


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


def encode_roster(roster: Roster) -> bytes:
    """Return a roster file's bytes, readable by people."""
    return msgspec.json.format(msgspec.json.encode(roster), indent=1) + b"\n"


def write_roster(roster: Roster, path: Path) -> None:
    """Write a roster file."""
    path.write_bytes(encode_roster(roster))


def profile_of(athlete: RosterAthlete, roster: Roster) -> Profile:
    """Return what the metrics need to know of a member of the roster."""
    edges = {team.team: team.speed_edges_mps for team in roster.teams}.get(athlete.team, SPEED_EDGES_MPS)
    known = {field: getattr(athlete, field) for field in athlete.__struct_fields__ if field in _PROFILE_FIELDS}
    return Profile(**(known | {"athlete": AthleteId(athlete.athlete)}), speed_edges_mps=edges)


def _check(roster: Roster, where: str) -> None:
    known = {str(BALL)}
    for athlete in roster.athletes:
        name = parse_athlete_id(athlete.athlete)
        if name in known:
            raise ConfigError(where, f"athlete {name} stands twice")
        known.add(name)
        problem = _problem(athlete)
        if problem is not None:
            raise ConfigError(where, f"athlete {name}: {problem}")
    for team in roster.teams:
        edges = team.speed_edges_mps
        if edges[0] != 0 or any(low >= high for low, high in pairwise(edges)):
            raise ConfigError(where, f"team {team.team}: speed_edges_mps must begin at 0 and rise")
    for assignment in roster.assignments:
        parse_sensor_id(assignment.sensor)
        if assignment.athlete is not None and assignment.athlete not in known:
            raise ConfigError(where, f"sensor {assignment.sensor} is assigned to unknown athlete {assignment.athlete}")


def _problem(athlete: RosterAthlete) -> str | None:
    """Return what is wrong with a member of the roster, or None."""
    if athlete.team not in (0, 1):
        return "team must be 0 or 1"
    if athlete.sex not in ("m", "f"):
        return "sex must be 'm' or 'f' (it selects the TRIMP constants)"
    if not 20 <= athlete.hr_rest_bpm < athlete.hr_max_bpm <= 250:
        return "needs 20 <= hr_rest_bpm < hr_max_bpm <= 250"
    for field, (low, high) in _BOUNDS.items():
        value = getattr(athlete, field)
        if value is not None and not low <= value <= high:
            return f"{field} must be {low}..{high}"
    if athlete.vt1_bpm and athlete.vt2_bpm and athlete.vt1_bpm >= athlete.vt2_bpm:
        return "vt1_bpm must be below vt2_bpm"
    return None
