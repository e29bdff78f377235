"""Settings of the trajectory model, each with the reason for its default."""

from pathlib import Path

import msgspec

from shared.errors import ConfigError

_CONFIGS = Path(__file__).parent / "configs"


class TrajectorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model looks like and how it is fitted."""

    seed: int = 7
    """Of weights, cuts and augmentation; on a CPU the same seed and data give the same model."""
    width: int = 64
    """Of a player's vector between layers; must be a multiple of `heads`."""
    layers: int = 2
    """Rounds of attention: two let a player react to what another reacts to."""
    heads: int = 4
    edge_width: int = 24
    """Hidden width of the net that turns a pair's geometry into attention biases and values."""
    edge_values: int = 4
    """How many numbers about a pair, per head, are carried over beside its attention bias."""
    dropout: float = 0.05
    batch: int = 48
    steps: int = 4500
    max_minutes: float = 3.5
    """Fitting ends after `steps` or this long, whichever is first; the learning rate falls along the nearer end."""
    learning_rate: float = 2e-3
    warm_up_steps: int = 100
    weight_decay: float = 0.02
    gradient_clip: float = 1.0
    ema: float = 0.998
    """The weights that count are a running mean with about 1 / (1 - ema) steps of memory: worth 1-2 % of error."""
    rotate: float = 1.0
    """Share of graphs turned by a random angle; nothing about the ground's direction is to be learnt."""
    mirror: float = 0.5
    drop_graphs: float = 0.3
    """Share of graphs from which players are taken, so that tags that fall silent are nothing new."""
    drop_players: float = 0.4
    """At most this share of a graph's players is taken."""
    point_weight: float = 0.5
    """Weight of the plain distance beside the likelihood; the likelihood alone first learns to be unsure."""
    threads: int = 1


def read_config(name: str, *, seed: int | None = None, max_minutes: float | None = None) -> TrajectorySettings:
    """Read a configuration that ships with the code, or a YAML file; what is given goes before what it says.

    Raises: ConfigError naming the file and the key.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else _CONFIGS / f"{name}.yaml"
    try:
        settings = msgspec.yaml.decode(path.read_bytes(), type=TrajectorySettings)
    except OSError as exc:
        known = ", ".join(sorted(file.stem for file in _CONFIGS.glob("*.yaml")))
        raise ConfigError("--config", f"{name!r} cannot be read; known: {known}") from exc
    except msgspec.DecodeError as exc:
        raise ConfigError(str(path), str(exc)) from exc
    if seed is not None:
        settings = msgspec.structs.replace(settings, seed=seed)
    if max_minutes is not None:
        settings = msgspec.structs.replace(settings, max_minutes=max_minutes)
    check(settings, str(path))
    return settings


def check(settings: TrajectorySettings, where: str) -> None:
    """Check what the types do not say.

    Raises: ConfigError.
    """
    counts = ("width", "layers", "heads", "edge_width", "edge_values", "batch", "steps", "threads")
    for key in counts:
        if getattr(settings, key) < 1:
            raise ConfigError(where, f"{key} must be at least 1")
    for key in ("dropout", "ema", "rotate", "mirror", "drop_graphs", "drop_players"):
        if not 0.0 <= getattr(settings, key) <= 1.0:
            raise ConfigError(where, f"{key} must be in 0..1")
    if settings.width % settings.heads:
        raise ConfigError(where, f"width {settings.width} is no multiple of heads {settings.heads}")
    if settings.max_minutes <= 0 or settings.learning_rate <= 0:
        raise ConfigError(where, "max_minutes and learning_rate must be above 0")
