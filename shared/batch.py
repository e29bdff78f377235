"""What gateway and cloud say to each other about uploads: header, receipt, state, summary.

`PUT /v1/gateways/{gateway}/batches/{epoch}/{seq}` carries the exact bytes kept in the gateway's outbox; the identity of
a batch is (gateway, epoch, seq) and never a time. The header fields that are not in the path travel as HTTP headers.
"""

import hashlib
from dataclasses import fields
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from shared.ids import AthleteId
from shared.metrics.base import SPEED_EDGES_MPS, Profile

CONTENT_DIGEST = "content-digest"
LANE = "sideline-lane"
CONTENT = "sideline-content"
SCHEMA = "sideline-schema"
COUNT = "sideline-count"
MAX_BATCH_BYTES = 4 * 1024 * 1024
MAX_RECONCILED = 1000
"""Stream-hours in one reconciliation: forty days of a stream, some 100 kB."""
MAX_RANGES = 1000


# What 64 bits of nanoseconds can say.
_MAX_HOUR = 2_562_047


WRONG_DIGEST = "wrong digest"
"""Why a batch is rejected whose bytes are not those announced: damaged on the way, it may come right the next time."""


class Lane(StrEnum):
    """Summaries go first: they are small and a coach waits for them."""

    SUMMARY = "summary"
    RAW = "raw"


class BatchHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One batch's identity and what it holds; `content` is a stream's name (Parquet) or `"summary"` (JSON)."""

    gateway: str
    epoch: str
    seq: int
    lane: Lane
    content: str
    sha256: str
    count: int
    schema: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cloud's answer: 201 stored, 200 duplicate, 409 conflict, 422 rejected.

    `contiguous_seq` is the highest number up to which this epoch is complete in the cloud (-1: nothing yet).
    """

    status: Literal["stored", "duplicate", "conflict", "rejected"]
    seq: int
    contiguous_seq: int
    server_ns: int
    accepted: int
    problem: str | None = None


class EpochState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`GET /v1/gateways/{gateway}/epochs/{epoch}`: what the cloud holds of one epoch."""

    epoch: str
    contiguous_seq: int
    stored: int
    highest_seq: int = -1
    """The highest number ever taken; above what the gateway itself has given, another copy of it has used the epoch."""


class StreamHour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Count and digest (`shared.tally`) of one stream's readings of one hour, on the side that tells them."""

    stream: Annotated[str, msgspec.Meta(max_length=32)]
    hour: Annotated[int, msgspec.Meta(ge=-_MAX_HOUR, le=_MAX_HOUR)]
    count: int
    digest: int


class SeqRange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers of an epoch, first and last included, under which a gateway's batches were taken.

    What stands under others was sent by another copy of its database and is not compared with what it holds.
    """

    epoch: Annotated[str, msgspec.Meta(max_length=32)]
    first: int
    last: int


class Reconcile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /v1/gateways/{gateway}/reconcile`: what the gateway holds of some stream-hours, each named once."""

    batches: list[SeqRange]
    tallies: list[StreamHour]


class Reconciled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer: the stream-hours that differ, as the cloud holds them, and how many there was no time to compare.

    What was not compared are the last `unchecked` ones of the request; all others that are not listed agree.
    """

    differing: list[StreamHour]
    unchecked: int = 0


class MetricSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One metric of one athlete up to `time_ns`, as shown at the gateway; null is a value that cannot be said."""

    athlete: str
    metric: str
    values: list[float | None]
    coverage: float
    time_ns: int
    quality: float = 1.0


class AlertSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One alert as it was shown."""

    alert: str
    athlete: str
    rule: str
    severity: str
    why: str
    started_ns: int
    ended_ns: int | None


class GapSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Readings known to be missing."""

    sensor: str | None
    stream: str
    from_ns: int
    to_ns: int
    count: int
    reason: str


class ProfileSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the pipeline must know of an athlete to compute the same metrics (see `Profile`); no name."""

    athlete: str
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
    speed_edges_mps: tuple[float, ...] = SPEED_EDGES_MPS


def profile_of(summary: ProfileSummary) -> Profile:
    """Return the profile that the gateway computed its metrics with."""
    known = msgspec.structs.asdict(summary)
    del known["team"]
    return Profile(**(known | {"athlete": AthleteId(summary.athlete)}))


def summary_of(profile: Profile, team: int) -> ProfileSummary:
    """Return what the pipeline is told of an athlete."""
    return ProfileSummary(team=team, **{field.name: getattr(profile, field.name) for field in fields(profile)})


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of a summary batch."""

    gateway: str
    time_ns: int
    profiles: list[ProfileSummary]
    metrics: list[MetricSummary]
    alerts: list[AlertSummary]
    gaps: list[GapSummary]


def sha256_hex(body: bytes) -> str:
    """Return the SHA-256 of a batch's exact bytes, hexadecimal."""
    return hashlib.sha256(body).hexdigest()
