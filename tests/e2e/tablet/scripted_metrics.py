"""A scripted catalogue of metrics, one athlete's values and both teams', as the gateway would tell them."""

from edge.messages import AthleteMetrics, MetricInfo, MetricNow, TeamNow

ZONE_LABELS = ["z0", "z1", "z2", "z3", "z4", "z5"]
BANDS = ["walk", "jog", "run", "high_speed", "sprint"]
FORMULA = "Σ |Δx| by v in the team's bands, usually [0, 2, 4, 5.5, 7, ∞) m/s"
HELD = "each reading holds until the next, at most 5 s; a longer gap lowers coverage"
TOO_FEW = "fewer than 60 s of beat intervals"


def info(
    metric: str, title: str, unit: str, decimals: int, labels: list[str], formula: str, source: str, *,
    team: bool = False,
) -> MetricInfo:  # fmt: skip
    """One metric's description."""
    return MetricInfo(
        metric=metric, title=title, unit=unit, decimals=decimals, labels=labels, formula=formula, rules=HELD,
        source=source, team=team,
    )  # fmt: skip


def catalogue() -> list[MetricInfo]:
    """What the gateway counts; one metric in two versions, as while a formula changes."""
    return [
        info("hr_zone_seconds@1", "Time in heart-rate zones", "s", 0, ZONE_LABELS, "Σ held s by HR / HRmax", "ACSM"),
        info("trimp_banister@1", "TRIMP (Banister)", "AU", 0, ["trimp"], "Σ Δt · x · 0.64 e^(1.92 x)", "Banister 1991"),
        info("trimp_edwards@1", "TRIMP (Edwards)", "AU", 1, ["trimp"], "Σ zone · minutes in zone", "Edwards 1993"),
        info("speed_band_distance@1", "Distance by speed", "m", 0, BANDS, "the former formula", "former source"),
        info("speed_band_distance@2", "Distance by speed", "m", 0, BANDS, FORMULA, "edges are the team's"),
        info("distance@2", "Distance", "m", 0, ["distance"], "Σ |Δx| of the path filtered at 10 Hz", "floodlight 1.2"),
        info("max_speed@1", "Highest speed", "m/s", 1, ["max"], "max |v| over 0.2 s", "Varley 2017"),
        info("efforts@1", "Accelerations and decelerations", "1", 0, ["accelerations", "decelerations"],
             "count of |a| ≥ 2 m/s² for ≥ 0.5 s", "Varley 2017"),
        info("power@1", "Power", "W", 0, ["mean", "max"], "time-weighted mean and highest", "device"),
        info("rmssd@1", "RMSSD", "ms", 0, ["rmssd"], "√ mean (RRᵢ₊₁ − RRᵢ)²", "Task Force 1996"),
        info("hr_recovery_60s@1", "Heart-rate recovery", "bpm", 0, ["fall"], "HR(t) − HR(t + 60 s)", "Cole 1999"),
        info("team_centroid@1", "Centroid", "m", 1, ["x", "y"], "mean of positions", "Frencken 2011", team=True),
        info("team_extent@1", "Length × width", "m", 0, ["length", "width"], "max − min along each axis", "Olthof 2018",
             team=True),
        info("team_hull_area@1", "Hull area", "m²", 0, ["area"], "convex hull (Andrew 1979)", "Frencken", team=True),
        info("team_stretch@1", "Stretch", "m", 1, ["stretch"], "mean distance to the centroid", "Bourbousson 2010",
             team=True),
        info("nearest_opponent@1", "Nearest opponent", "m", 1, ["mean"], "mean over players of min distance", "Folgado",
             team=True),
        info("pitch_control@1", "Pitch control", "%", 0, ["share"], "share of the field reached first",
             "Spearman 2018", team=True),
    ]  # fmt: skip


def now(metric: str, *values: float | None, coverage: float = 0.99, quality: float = 1.0, notes: str = "") -> MetricNow:
    """One metric's values now."""
    return MetricNow(
        metric=metric, values=list(values), coverage=coverage, quality=quality, notes=[notes] if notes else []
    )


def of_athlete(athlete: str, sent_ns: int) -> AthleteMetrics:
    """All metrics of one athlete: most whole, one part recorded, one without a value."""
    return AthleteMetrics(
        athlete=athlete,
        sent_ns=sent_ns,
        metrics=[
            now("hr_zone_seconds@1", 240.0, 130.0, 430.0, 980.0, 1_560.0, 720.0),
            now("trimp_banister@1", 97.4, quality=0.88, notes="HRmax is estimated from age, not tested"),
            now("trimp_edwards@1", 188.25),
            now("speed_band_distance@2", 1_204.0, 2_410.0, 1_650.0, 744.0, 96.0),
            now("distance@2", 6_104.0, coverage=0.91),
            now("max_speed@1", 8.43),
            now("efforts@1", 41.0, 38.0),
            now("power@1", None, None, coverage=0.0),
            now("rmssd@1", None, coverage=0.0, notes=TOO_FEW),
            now("hr_recovery_60s@1", 31.0),
        ],
    )


def of_teams() -> list[TeamNow]:
    """Both teams' metrics and outlines, told apart by their numbers."""
    return [team_now(0, shift=0.0), team_now(1, shift=9.0)]


def team_now(team: int, *, shift: float) -> TeamNow:
    """One team's metrics; `shift` moves its place and its numbers."""
    hull = [
        [22.0 + shift, 12.0],
        [74.0 + shift, 10.0],
        [82.0 + shift, 44.0],
        [48.0 + shift, 60.0],
        [24.0 + shift, 46.0],
    ]
    return TeamNow(
        team=team,
        hull=hull,
        metrics=[
            now("team_centroid@1", 48.2 + shift, 33.6),
            now("team_extent@1", 52.0 + shift, 50.0),
            now("team_hull_area@1", 1_740.0 + shift),
            now("team_stretch@1", 17.4 + shift),
            now("nearest_opponent@1", 6.2 + shift, coverage=0.9, notes="one player without positions"),
            now("pitch_control@1", 54.0 - shift),
        ],
    )
