"""`play_success@1`: what both teams show before a snap, from which success of the play is expected."""

from shared.features.base import FeatureSet, row_set

FORMATIONS = ("EMPTY", "I_FORM", "JUMBO", "PISTOL", "SHOTGUN", "SINGLEBACK", "WILDCAT", "ACE")
"""Offensive formations by code; any other is -1."""

PLAY_SUCCESS_ROWS: FeatureSet = row_set(
    "play_success@1",
    features=(
        ("down", "1"),
        ("yards_to_go", "yd"),
        ("yards_to_goal", "yd"),
        ("quarter", "1"),
        ("clock", "s"),
        ("lead", "points"),
        ("defenders_in_box", "1"),
        ("running_backs", "1"),
        ("tight_ends", "1"),
        ("receivers", "1"),
        ("defensive_linemen", "1"),
        ("linebackers", "1"),
        ("defensive_backs", "1"),
        ("formation", "code"),
    ),
    note=(
        "for the team with the ball, before the snap; clock: seconds left in the quarter; success: 40 % of the yards "
        "to go on first down, 60 % on second, all on third and fourth (Carroll et al. 1988); NaN where unknown"
    ),
    model="play_success",
)
