"""What the gateway sends to tablets over `/ws/live`: one JSON object per WebSocket message, tagged by `type`.

Order on a connection: one `Snapshot`, then `TilePatch`, `MapPatch`, `AlertPatch` and `HealthPatch` as things change.
Every time is int64 nanoseconds UTC on the gateway's clock; the tablet keeps the offset between `sent_ns` and its own
clock and ages every value itself, so that a lost link ages values too. Missing is `null`, never zero.
"""

from typing import Literal

import msgspec

from edge.health_messages import Health

Cause = Literal["hr", "speed", "effort"]
"""The part of a tile that an alert marks."""


class Athlete(msgspec.Struct, frozen=True, kw_only=True):
    """One member of the roster; `team` is 0 or 1, the ball is not an athlete."""

    athlete: str
    number: int
    name: str
    team: int
    hr_rest_bpm: float
    hr_max_bpm: float


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The training under way: when it began, how long and how far it is planned."""

    name: str
    started_ns: int
    planned_s: float
    planned_distance_m: float


class Pitch(msgspec.Struct, frozen=True, kw_only=True):
    """The field in local metres; x runs 0..length, y runs 0..width."""

    length_m: float
    width_m: float


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """One athlete now. `hr_*` and `position_*` are the newest reading with its event time; totals are this session's.

    `hr_seq` and `position_seq` name the reading (device counter, or the gateway's where the device has none).
    `zone` is 0..5 of the athlete's maximum heart rate. `coverage` is the share (0..1) of session time with data behind
    the totals. `effort_bpm` is the heart rate the effort model expects, `effort_residual` observed minus expected in
    multiples of the athlete's usual spread; `unusual` says that it was beyond the card's threshold for its dwell time.
    `attention` is the reason an alert is active on this athlete (words for people), `attention_cause` the quantity.
    `trace_bpm` is filled in a Snapshot only: one value per second of the last 60, oldest first, null where none came.
    """

    athlete: str
    hr_bpm: float | None = None
    hr_ns: int | None = None
    hr_seq: int | None = None
    contact: bool | None = None
    zone: int | None = None
    speed_mps: float | None = None
    position_ns: int | None = None
    position_seq: int | None = None
    distance_m: float | None = None
    high_speed_m: float | None = None
    sprint_m: float | None = None
    trimp: float | None = None
    zone_s: list[float] | None = None
    plan_percent: float | None = None
    coverage: float | None = None
    effort_bpm: float | None = None
    effort_residual: float | None = None
    unusual: bool = False
    attention: str | None = None
    attention_cause: Cause | None = None
    trace_bpm: list[float | None] | None = None


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """One player, or the ball (`athlete` is `"ball"`), on the field map.

    `ahead` is the predicted path, one [x_m, y_m, sigma_x_m, sigma_y_m] per step of `ahead_step_s` up to 2 s; empty
    when the model has no forecast (too little history).
    """

    athlete: str
    x_m: float
    y_m: float
    time_ns: int
    ahead: list[list[float]] = []


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of a rule on an athlete; `ended_ns` is null while it holds. `why` is evidence in plain words."""

    alert: str
    athlete: str
    rule: str
    severity: Literal["banner", "badge", "log"]
    why: str
    cause: Cause
    started_ns: int
    ended_ns: int | None = None
    seen: bool = False


class MetricInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric is: opened by a tap on any number that it gives. `team` metrics are of positions of many."""

    metric: str
    title: str
    unit: str
    decimals: int
    labels: list[str]
    formula: str
    rules: str
    source: str
    team: bool = False


class MetricNow(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's values now, null where it cannot be said; see `shared.metrics.base.MetricValue`."""

    metric: str
    values: list[float | None]
    coverage: float
    quality: float = 1.0
    notes: list[str] = []


class AthleteMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `GET /api/athletes/<athlete>/metrics`: every metric of one athlete's session."""

    athlete: str
    sent_ns: int
    metrics: list[MetricNow]


class ExplanationPart(msgspec.Struct, frozen=True, kw_only=True):
    """One input of a model: what people call it, its value in `unit`, and how far the answer is above what it would be
    with that input taken from the rows that the model brings along.
    """  # noqa: D205  the fields are the contract

    feature: str
    words: str
    value: float | None
    unit: str
    contribution: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `GET /api/athletes/<athlete>/models/<model>/explanation`: what the model's answer leans on.

    It speaks about the model, not about causes in people. `time_ns` is of the row that it answered to. Contributions
    are in `unit`, largest first, and need not sum to anything; so is the answer, except that beside "log odds" it is a
    probability.
    """

    athlete: str
    model: str
    version: str
    sent_ns: int
    time_ns: int
    answer: float
    unit: str
    parts: list[ExplanationPart]


class TeamNow(msgspec.Struct, frozen=True, kw_only=True):
    """One team's metrics now, from everybody's positions; `hull` is its outline as [x_m, y_m], in order."""

    team: int
    metrics: list[MetricNow]
    hull: list[list[float]] = []


class Assign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /api/assignments`: from now on `athlete` wears `sensor`; null takes it off."""

    sensor: str
    athlete: str | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """The whole state, sent once when a tablet connects."""

    sent_ns: int
    session: Session
    pitch: Pitch
    athletes: list[Athlete]
    tiles: list[Tile]
    alerts: list[Alert]
    health: Health
    metrics: list[MetricInfo]
    ahead_step_s: float = 0.1


class TilePatch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tiles"):
    """Tiles that changed; each replaces the athlete's whole tile, but for `trace_bpm`, which the tablet extends."""

    sent_ns: int
    tiles: list[Tile]


class MapPatch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="map"):
    """Everybody's position and predicted path, up to ten times a second."""

    sent_ns: int
    dots: list[Dot]


class TeamPatch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="teams"):
    """Both teams' metrics, once a second while positions come."""

    sent_ns: int
    teams: list[TeamNow]


class AssignedPatch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="assigned"):
    """A sensor changed its wearer, by whichever tablet."""

    sent_ns: int
    sensor: str
    athlete: str | None


class AlertPatch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="alert"):
    """One alert began, ended or was seen."""

    sent_ns: int
    alert: Alert


class HealthPatch(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="health"):
    """The health page's content, once a second."""

    sent_ns: int
    health: Health


class Seen(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="seen"):
    """From a tablet: a coach has seen this alert."""

    alert: str


Message = Snapshot | TilePatch | MapPatch | TeamPatch | AssignedPatch | AlertPatch | HealthPatch
