"""`game_outcome@1`: what is known about two teams before their game, from which the strategy model expects its result.

Two ratings are carried along: the Elo rating that comes with the results, and one on points. The second is a Kalman
filter on each team's strength in points (Glickman and Stern 1998): a result counts the more, the less is known.
"""

from shared.features.base import FeatureSet, row_set

GAME_OUTCOME: FeatureSet = row_set(
    "game_outcome@1",
    features=(
        ("elo_log_odds", "1"),
        ("points_log_odds", "1"),
        ("points_sd", "points"),
        ("home", "1"),
        ("playoff", "1"),
        ("rest_days", "day"),
        ("rest_days_other", "day"),
        ("season_margin", "points"),
        ("season_margin_other", "points"),
        ("games_played", "1"),
    ),
    note=(
        "for the first-named team, before the game; log odds after Elo and after a Kalman rating on points; home 0 on "
        "neutral ground; rest at most 21 days, NaN at a season's start; season_margin: sum of capped margins this "
        "season over 16"
    ),
    model="strategy",
)
