"""What is plausible in each sport: the one table of limits that rows are held to."""

from collections.abc import Mapping
from dataclasses import dataclass

from cloud.datasets.public.football import YARD_M
from cloud.datasets.scenes import Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one sport. A player may stand up to `run_off_m` outside the field: that is told, not quarantined."""

    field: Field | None
    """None where nobody states the ground's size: then `run_off_m` counts from (0, 0) both ways."""
    run_off_m: float
    speed_mps: float
    acceleration_mps2: float
    ball_speed_mps: float
    play_s: float
    """The longest play, or recording."""
    side: int | None
    """Players of a team on the field at once; None where tracks are not people."""


LIMITS: Mapping[str, Limits] = {
    # 120 by 53 1/3 yd, 25 yd/s and 10 yd/s^2, as the Big Data Bowl's guides have it; players run out of bounds, up to
    # some 20 yd behind the side line, and the ball flies at up to 30 m/s.
    "american_football": Limits(
        field=Field(length_m=120 * YARD_M, width_m=160 / 3 * YARD_M),
        run_off_m=20 * YARD_M,
        speed_mps=25 * YARD_M,
        acceleration_mps2=10 * YARD_M,
        ball_speed_mps=40.0,
        play_s=300.0,
        side=11,
    ),
    # The fastest footballers reach some 10 m/s, the hardest shots 60; a pitch is 105 by 68 m unless its file says else.
    "soccer": Limits(
        field=Field(length_m=105.0, width_m=68.0),
        run_off_m=10.0,
        speed_mps=13.0,
        acceleration_mps2=12.0,
        ball_speed_mps=60.0,
        play_s=3 * 3600.0,
        side=11,
    ),
    # Skaters reach some 12 m/s, pucks 50; nobody leaves the rink, but positions from video stray.
    "ice_hockey": Limits(
        field=Field(length_m=200 * 0.3048, width_m=85 * 0.3048),
        run_off_m=5.0,
        speed_mps=16.0,
        acceleration_mps2=15.0,
        ball_speed_mps=60.0,
        play_s=1200.0,
        side=None,
    ),
    # Any other: what no person reaches, on any ground.
    "any": Limits(
        field=None,
        run_off_m=1000.0,
        speed_mps=15.0,
        acceleration_mps2=20.0,
        ball_speed_mps=60.0,
        play_s=24 * 3600.0,
        side=None,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Both ends are plausible."""

    low: float
    high: float


ACTIVITY_LIMITS: Mapping[str, Mapping[str, Range]] = {
    sport: {
        "hr_bpm": Range(low=25, high=240),
        "speed_mps": Range(low=0, high=speed_mps),
        "power_w": Range(low=0, high=2500),
        "cadence_rpm": Range(low=0, high=cadence_rpm),
        "altitude_m": Range(low=-450, high=9000),
    }
    for sport, speed_mps, cadence_rpm in (
        ("running", 13.0, 140),
        ("cycling", 35.0, 220),
        ("swimming", 3.0, 120),
        ("unknown", 35.0, 254),
    )
}
"""Limits of activities at 1 Hz; a sport that is not named has those of `unknown`."""
