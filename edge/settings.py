"""The gateway's settings file (TOML). Every default stands here; an unknown key is an error that names its place."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from shared.errors import ConfigError
from shared.ids import parse_gateway_id
from shared.settings import read_settings

# Smaller than this, a database with its indexes cannot hold what arrives while one batch waits for the cloud.
_MIN_STORE_BYTES = 16 * 1024**2
# The upper bounds keep out infinity and slips of the unit, nothing else.
_MAX_S = 86_400.0

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=_MAX_S)]
SecondsOrZero = Annotated[float, msgspec.Meta(ge=0, le=_MAX_S)]
Metres = Annotated[float, msgspec.Meta(gt=0, le=1_000.0)]
# Near a pole degrees of longitude mean nothing.
Corner = tuple[Annotated[float, msgspec.Meta(ge=-85, le=85)], Annotated[float, msgspec.Meta(ge=-180, le=180)]]


class MapTo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The quantity that a name means, and what its numbers are multiplied by to be in the quantity's unit."""

    to: str
    scale: float = 1.0


class MqttTopic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one format comes from: `{sensor}` in `topic` is the level that names the device; see docs/mqtt.md.

    Without `topic` the format's own topics are meant. `map` tells the names of other people's JSON, SenML or Sparkplug:
    `{hr = "heart_rate_bpm", v = {to = "speed_mps", scale = 0.2778}}`.
    """

    format: str
    topic: str | None = None
    map: dict[str, str | MapTo] = {}


class MqttSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker that tags, phones and other gateways publish to.

    `topics` are names of formats (`"pozyx"`), tables of topic and format, or topics that end in `+` and a format.
    """

    host: str = "127.0.0.1"
    port: Port = 1883
    topics: tuple[str | MqttTopic, ...] = ("sideline/tags/+/position",)
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    """Certificate authority of the broker; given, the connection is TLS."""


class AdapterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Bluetooth adapter and the connections it can hold; without `slots` as many as `BleSettings.slots`."""

    adapter: str
    slots: Annotated[int, msgspec.Meta(ge=1)] | None = None


class BleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Bluetooth adapters: `adapter` alone, or several as `adapters`, each a name or `{adapter, slots}`.

    Names: `system` (the operating system's first), `system:hci1`, or an HCI transport: `tcp-client:HOST:PORT`,
    `usb:0`, `serial:/dev/ttyUSB0,1000000` (a dongle without BlueZ).
    """

    adapter: str = "system"
    slots: Annotated[int, msgspec.Meta(ge=1)] = 30
    """Connections an adapter can hold; common dongles hold 5 to 10."""
    adapters: tuple[str | AdapterSettings, ...] = ()
    connect_timeout_s: Annotated[float, msgspec.Meta(ge=10, le=_MAX_S)] = 10.0
    """A strap that advertises once a second needs several advertisements to be caught."""
    silent_s: SecondsOrZero = 10.0
    """A connected sensor that sends all the time and was silent for so long is connected anew; 0 lets it be."""
    acquire_notify: bool = False
    """On Linux, take notifications over a socket of BlueZ's (AcquireNotify) in place of D-Bus signals."""
    polar_streams: tuple[str, ...] = ()
    """Streams that Polar sensors are asked for beside heart rate; see `edge.sensors.commands`."""
    movesense_paths: tuple[str, ...] = ()

    def each(self) -> tuple[AdapterSettings, ...]:
        """Return every adapter."""
        given = self.adapters or (self.adapter,)
        return tuple(AdapterSettings(adapter=one) if isinstance(one, str) else one for one in given)


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The local database. Readings are acknowledged after the commit, at most `commit_interval_ms` after arrival."""

    commit_interval_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 50
    max_bytes: Annotated[int, msgspec.Meta(ge=_MIN_STORE_BYTES)] = 8 * 1024**3
    keep_days: Annotated[float, msgspec.Meta(ge=0, le=3650)] = 14.0
    """A session's files stay for so long after they are complete in the cloud; less long when room is short."""


class SyncSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cloud. Without `url` the gateway stores and waits."""

    url: str | None = None
    token_file: str = "token"  # noqa: S105  the name of a file, not a secret
    batch_s: Seconds = 30.0
    summary_s: Seconds = 10.0
    timeout_s: Seconds = 30.0
    """The longest wait without any progress of an upload, however long the whole takes."""
    max_bytes_per_s: Annotated[int, msgspec.Meta(ge=1_000)] | None = None
    """Cap of the uplink on average over some seconds; summaries never wait for it, but count."""
    connections: Annotated[int, msgspec.Meta(ge=1, le=4)] = 2
    """Batches under way at once."""
    reconcile_hours: Annotated[float, msgspec.Meta(gt=0, le=720.0)] = 24.0
    """How often everything that is still kept here is compared with the cloud, also what agreed before."""
    retry_cap_s: Seconds = 300.0


class ReleaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where models come from and how they are tried before they count."""

    root_file: str | None = None
    """The release repository's first root metadata, handed over at enrolment; without it no models are fetched."""
    poll_s: Seconds = 60.0
    shadow_s: SecondsOrZero = 10.0
    activate_in_session: bool = False
    """Let a model that passed its shadow run answer at once; otherwise it waits until no session runs."""


class SessionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The training that is shown: its plan and its pitch.

    `pitch_corners` are [latitude, longitude] of the origin, the end of x, the corner opposite and the end of y; given,
    locations become positions on the pitch.
    """

    name: str = "Training"
    planned_minutes: Annotated[float, msgspec.Meta(gt=0, le=1_440.0)] = 90.0
    planned_distance_m: Annotated[float, msgspec.Meta(gt=0, le=1_000_000.0)] = 6000.0
    pitch_length_m: Metres = 105.0
    pitch_width_m: Metres = 68.0
    pitch_corners: tuple[Corner, Corner, Corner, Corner] | None = None


class AlertRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule: `variable` above `on` for `dwell_s` raises it, below `off` ends it, at most once per `cool_down_s`.

    Variables: `hr_percent_max` (% of HRmax), `high_speed_m` (metres this session), `effort_residual` (multiples of the
    usual spread between observed and expected heart rate).
    """

    rule: str
    variable: str
    on: float
    off: float
    dwell_s: SecondsOrZero
    cool_down_s: SecondsOrZero = 120.0
    severity: str = "banner"


def default_rules() -> list[AlertRule]:
    """Return the rules of a gateway whose settings name none."""
    return [
        AlertRule(rule="hr-high@1", variable="hr_percent_max", on=95.0, off=90.0, dwell_s=20.0),
        AlertRule(rule="effort-unusual@1", variable="effort_residual", on=2.5, off=1.5, dwell_s=20.0, severity="badge"),
    ]


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything. Paths are relative to the settings file's folder."""

    gateway: str
    data_dir: str = "data"
    roster_file: str = "roster.json"
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 8080
    """Port of the tablet page; 0 lets the system choose."""
    mqtt: MqttSettings | None = None
    ble: BleSettings | None = None
    store: StoreSettings = StoreSettings()
    sync: SyncSettings = SyncSettings()
    release: ReleaseSettings = ReleaseSettings()
    session: SessionSettings = SessionSettings()
    alerts: list[AlertRule] = msgspec.field(default_factory=default_rules)


def load(path: Path) -> GatewaySettings:
    """Read the settings; paths come back absolute.

    Raises: ConfigError naming file and key.
    """
    settings = read_settings(path, GatewaySettings)
    parse_gateway_id(settings.gateway)
    rules = [rule.rule for rule in settings.alerts]
    for rule in rules:
        if rules.count(rule) > 1:
            raise ConfigError(str(path), f"alerts: rule {rule} stands twice")
    _check_ble(settings.ble, str(path))
    if settings.sync.url is not None:
        _check_url(settings.sync.url, str(path))
    base = path.resolve().parent

    def absolute(name: str) -> str:
        return str(base / name)

    sync, release, mqtt = settings.sync, settings.release, settings.mqtt
    if mqtt is not None:
        mqtt = msgspec.structs.replace(
            mqtt,
            password_file=absolute(mqtt.password_file) if mqtt.password_file else None,
            ca_file=absolute(mqtt.ca_file) if mqtt.ca_file else None,
        )
    return msgspec.structs.replace(
        settings,
        data_dir=absolute(settings.data_dir),
        roster_file=absolute(settings.roster_file),
        mqtt=mqtt,
        sync=msgspec.structs.replace(sync, token_file=absolute(sync.token_file)),
        release=msgspec.structs.replace(release, root_file=absolute(release.root_file) if release.root_file else None),
    )


def _check_url(url: str, where: str) -> None:
    """Refuse what is no address of a web server."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(where, f"sync.url: {url!r} is no address; one looks like https://cloud.example.org")


def _check_ble(ble: BleSettings | None, where: str) -> None:
    """Refuse an adapter that stands twice."""
    if ble is None:
        return
    names = [adapter.adapter for adapter in ble.each()]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(where, f"ble.adapters: {name} stands twice")
