"""What the health page shows, as it is sent to tablets; see `edge/messages.py`."""

from typing import Literal

import msgspec


class SensorHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor: what it is, who wears it, what came and what was wrong with it."""

    sensor: str
    kind: str
    athlete: str | None
    connected: bool
    last_ns: int | None
    frames: int
    malformed: int
    implausible: int
    duplicates: int
    reconnects: int
    battery_percent: float | None = None
    rssi_dbm: int | None = None
    adapter: str | None = None
    """The Bluetooth adapter that holds it, or hears its advertisements."""
    mode: Literal["connected", "advertising", "broker"] | None = None
    """How its readings come now: over a connection, from advertisements alone, through a broker."""
    silent: bool = False
    """Connected, and nothing comes."""
    loss_percent: float | None = None
    """Share of the last minute's expected frames that did not come."""
    clock_offset_ms: float | None = None
    """How far the device's UTC is behind (+) the gateway's, beyond the fastest way here; null where it sends none."""
    clock_drift_ppm: float | None = None
    clock_resets: int = 0
    about: dict[str, str] = {}
    """Manufacturer, model, firmware, place on the body, as the device says."""


class AdapterHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One Bluetooth adapter: connections held of those it can hold, sensors that it hears best, frames that came."""

    adapter: str
    up: bool
    slots: int
    used: int
    heard: int
    problem: str | None = None


class NearSensor(msgspec.Struct, frozen=True, kw_only=True):
    """A sensor on the air that may be held near the gateway to be paired; the strongest stands first."""

    sensor: str
    name: str | None
    rssi_dbm: int
    athlete: str | None
    last_ns: int


class QuarantineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Frames set aside, counted by sensor and reason; the bytes stay in the gateway's database."""

    sensor: str
    reason: str
    count: int
    last_ns: int


class GapEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Data known to be missing: how many, where and why."""

    stream: str
    reason: str
    count: int
    last_ns: int


class LinkHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway leans on: `clock`, `store`, `broker`, `cloud`, `releases`, an adapter; `problem` is in words."""

    link: str
    up: bool
    since_ns: int
    problem: str | None = None


class ModelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One model slot: what runs, since when, and what became of the newest candidate."""

    name: str
    version: str | None
    state: Literal["empty", "staged", "checked", "shadow", "active", "reverted", "refused"]
    active_since_ns: int | None
    previous_version: str | None
    candidate_version: str | None
    reason: str | None
    inferences: int
    latency_ms_p99: float | None


class StoreHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's store and what waits to be uploaded.

    `pressure_percent` is how full it is of `quota_bytes`, or of what the disk leaves it; `pressure` names the level
    that this came to: `normal`, `thin_imu`, `thin_positions`, `essential`; see docs/operations.md.
    """

    readings: int
    database_bytes: int
    backlog_batches: int
    backlog_bytes: int
    oldest_unsent_ns: int | None
    uploaded_batches: int
    commits: int
    commit_ms_p99: float | None
    quota_bytes: int = 0
    pressure: str = "normal"
    pressure_percent: float = 0.0


class SessionEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One session in the store; `complete` says that the cloud has all of it, `removed` that its files are gone here.

    A session that still runs has no `ended_ns`.
    """

    started_ns: int
    ended_ns: int | None
    readings: int
    size_bytes: int
    unsent_batches: int
    complete: bool
    removed: bool


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the health page shows."""

    gateway: str
    version: str
    started_ns: int
    cpu_s: float
    rss_mb: float
    sync_lag_s: float | None
    links: list[LinkHealth]
    sensors: list[SensorHealth]
    models: list[ModelHealth]
    store: StoreHealth
    quarantine: list[QuarantineEntry]
    gaps: list[GapEntry]
    live_dropped: int
    adapters: list[AdapterHealth] = []
    near: list[NearSensor] = []
    sessions: list[SessionEntry] = []
