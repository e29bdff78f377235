"""The roster of a simulated squad: athletes, tags, straps."""

from collections.abc import Sequence

from firmware_sim.athlete import AthleteProfile
from shared.roster import Assignment, Roster, RosterAthlete

BALL_TAG = "tag-ball"


def tag_id(index: int) -> str:
    """Return the sensor id of the tag worn by athlete `index` (from 0)."""
    return f"tag-{index + 1:02d}"


def strap_address(index: int) -> str:
    """Return the static random BLE address of the strap worn by athlete `index` (from 0)."""
    return f"C0:00:5E:00:{(index + 1) >> 8:02X}:{(index + 1) & 0xFF:02X}"


def make_roster(profiles: Sequence[AthleteProfile]) -> Roster:
    """Give every athlete a tag and a strap, and the ball a tag."""
    return Roster(
        athletes=[_entry(profile) for profile in profiles],
        assignments=[
            *(Assignment(sensor=tag_id(i), athlete=p.athlete) for i, p in enumerate(profiles)),
            *(Assignment(sensor=strap_address(i), athlete=p.athlete) for i, p in enumerate(profiles)),
            Assignment(sensor=BALL_TAG, athlete="ball"),
        ],
    )


def _entry(profile: AthleteProfile) -> RosterAthlete:
    return RosterAthlete(
        athlete=profile.athlete,
        number=profile.number,
        name=profile.name,
        team=profile.team,
        sex=profile.sex,
        hr_rest_bpm=profile.hr_rest_bpm,
        hr_max_bpm=profile.hr_max_bpm,
    )
