"""The cloud's settings and the layout of its data directory, each said once."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from shared.batch import MAX_BATCH_BYTES
from shared.errors import ConfigError
from shared.ids import GatewayId
from shared.settings import read_settings


class TrackingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where runs are recorded beside MLflow and TensorBoard's files."""

    wandb: Literal["off", "offline", "online"] = "off"
    """Weights & Biases: `offline` keeps files for `wandb sync`; `online` sends them, logged in by `wandb login`."""
    wandb_project: str = "sideline"
    wandb_entity: str = ""
    """Whose project; the login's own when empty."""


class ServingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How predictions are served over HTTP."""

    host: str = "127.0.0.1"
    port: int = 8090
    token_file: str = ""
    """A file with the bearer token that callers show; needed where others than this machine can reach the service."""
    threads: int = 2
    """Calls of models at once; each runs on one core."""
    max_in_flight: int = 32
    """Requests held in memory at once; 32 x 4 MiB is 128 MiB."""
    max_body_bytes: int = 4 * 1024 * 1024
    body_timeout_s: float = 30.0
    max_loaded: int = 16
    """Model versions held in memory; the one unused longest goes first."""


class CloudSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator may set; every value has a default that suits one team on one machine."""

    data_dir: str = "cloud-data"
    host: str = "127.0.0.1"
    port: int = 8080
    max_batch_bytes: int = MAX_BATCH_BYTES
    max_in_flight: int = 32
    """Batches held in memory at once, over all gateways; 32 x 4 MiB is 128 MiB."""
    max_in_flight_per_gateway: int = 8
    retry_after_s: int = 2
    body_timeout_s: float = 60.0
    """The longest silence while a body comes in."""
    body_total_s: float = 900.0
    """For a whole body: 4 MiB come at 256 kbit/s over two connections in 270 s."""
    reconcile_s: float = 10.0
    """For one answer to a reconciliation; what it does not reach is asked for again."""
    session_gap_s: float = 600.0
    """Two readings of a gateway further apart than this belong to two sessions."""
    log_level: str = "info"
    log_json: bool = False
    tracking: TrackingSettings = TrackingSettings()
    serving: ServingSettings = ServingSettings()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie below the data directory, and where runs of trainings are recorded beside it."""

    root: Path
    tracking: TrackingSettings = field(default_factory=TrackingSettings)

    @property
    def ledger(self) -> Path:
        """The ledger of received batches."""
        return self.root / "ledger.sqlite"

    @property
    def objects(self) -> Path:
        """Bytes as received: bronze/, conflicts/, rejected/."""
        return self.root / "objects"

    @property
    def tables(self) -> Path:
        """Delta tables, one folder each."""
        return self.root / "tables"

    @property
    def mlflow_database(self) -> Path:
        """MLflow's tracking database."""
        return self.root / "mlflow.sqlite"

    @property
    def mlflow_artifacts(self) -> Path:
        """MLflow's artifacts."""
        return self.root / "mlartifacts"

    @property
    def experiments(self) -> Path:
        """What runs leave beside MLflow: saved models, TensorBoard's files, runs that wait for MLflow."""
        return self.root / "experiments"

    @property
    def release_metadata(self) -> Path:
        """Signed TUF metadata, public."""
        return self.root / "releases" / "metadata"

    @property
    def release_targets(self) -> Path:
        """TUF targets, public."""
        return self.root / "releases" / "targets"

    @property
    def keys(self) -> Path:
        """Signing keys, never served."""
        return self.root / "keys"

    @property
    def gateways(self) -> Path:
        """One folder per enrolled gateway."""
        return self.root / "gateways"

    def token_digest(self, gateway: GatewayId) -> Path:
        """The SHA-256 of a gateway's bearer token."""
        return self.gateways / gateway / "token.sha256"


def load_settings(path: Path | None, cloud_dir: Path | None) -> tuple[CloudSettings, Layout]:
    """Read the settings file, if any; a data directory given on the command line goes before the file's.

    Raises: ConfigError naming the file and the key.
    """
    settings = CloudSettings() if path is None else read_settings(path, CloudSettings)
    _check(settings, str(path or "settings"))
    if cloud_dir is not None:
        return settings, Layout(cloud_dir.resolve(), settings.tracking)
    base = Path.cwd() if path is None else path.resolve().parent
    return settings, Layout((base / settings.data_dir).resolve(), settings.tracking)


def _check(settings: CloudSettings, where: str) -> None:
    if not 0 <= settings.port <= 65535:
        raise ConfigError(where, f"port {settings.port} is not in 0..65535")
    for key in (
        "max_batch_bytes",
        "max_in_flight",
        "max_in_flight_per_gateway",
        "body_timeout_s",
        "body_total_s",
        "reconcile_s",
        "session_gap_s",
    ):
        if getattr(settings, key) <= 0:
            raise ConfigError(where, f"{key} must be above 0")
    serving = settings.serving
    if not 0 <= serving.port <= 65535:
        raise ConfigError(where, f"serving.port {serving.port} is not in 0..65535")
    for key in ("threads", "max_in_flight", "max_body_bytes", "body_timeout_s", "max_loaded"):
        if getattr(serving, key) <= 0:
            raise ConfigError(where, f"serving.{key} must be above 0")
    if settings.retry_after_s < 0:
        raise ConfigError(where, "retry_after_s must not be negative")
