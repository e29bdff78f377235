"""Settings of the trajectory model, each with the reason for its default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from shared.errors import ConfigError

_CONFIGS = Path(__file__).parent / "configs"
_COUNTS = (
    "width", "layers", "heads", "edge_width", "edge_values", "stem_filters", "neighbours", "modes",
    "batch", "steps", "accumulate", "patience", "validate_every", "threads",
)  # fmt: skip
_SHARES = ("dropout", "ema", "rotate", "mirror", "drop_graphs", "drop_players", "stretch", "decay")
_NOT_NEGATIVE = (
    "point_weight",
    "likelihood_weight",
    "velocity_weight",
    "acceleration_weight",
    "ball_weight",
    "coverage_weight",
    "huber_m",
)


class TrajectorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the model looks like and how it is fitted."""

    inputs: Literal["team_graph@1", "field_graph@1"] = "team_graph@1"
    """Positions alone, 2 s ahead, what gateways run; or with velocity, facing, role and field, 4 s ahead."""
    backend: Literal["dense", "sparse"] = "dense"
    """Attention among everybody, edge terms computed inside (the one that is exported); or message passing along the
    edges of a graph (PyG), for many players."""
    layer: Literal["gatv2", "transformer"] = "gatv2"
    """Kind of message passing of the sparse backend; they cost and give the same within 3 %."""
    neighbours: int = 8
    """Nearest players that a player has proximity edges to (sparse backend)."""
    stem: Literal["mlp", "conv"] = "mlp"
    """How a player's last second becomes one vector: all at once, or first filters along time for each column alone,
    as the winner of the NFL Big Data Bowl 2026 did."""
    stem_filters: int = 32
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
    decoder: Literal["gaussian", "deterministic", "gmm"] = "gaussian"
    """One path with a spread that is learnt; one path with the linear forecast's spread; or both beside a mixture of
    `modes` paths."""
    modes: int = 6
    coverage: bool = False
    """A second answer for each moment: does the defence play man or zone? Learnt from plays that state it."""
    coverage_weight: float = 1.0
    """Weight of that answer's cross entropy beside the errors of the paths."""
    batch: int = 48
    steps: int = 4500
    max_minutes: float = 3.5
    """Fitting ends after `steps` or this long, whichever is first; the learning rate falls along the nearer end."""
    learning_rate: float = 2e-3
    warm_up_steps: int = 100
    decay: float = 1.0
    """Share of the run, at its end, in which the learning rate falls along a half cosine; a run that is stopped before
    can be resumed with a later end and has lost nothing."""
    weight_decay: float = 0.02
    gradient_clip: float = 1.0
    accumulate: int = 1
    """Batches whose gradients are summed before a step, for more graphs than fit on a device."""
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    compile: bool = False
    """Let torch compile the model: worth its minute on a GPU, and on a CPU in runs of over some ten minutes."""
    ema: float = 0.998
    """The weights that count are a running mean with about 1 / (1 - ema) steps of memory: worth 1-2 % of error."""
    validate_every: int = 500
    """Steps between two looks at the validation games."""
    patience: int = 1000
    """Looks without a better one before fitting stops early."""
    rotate: float = 1.0
    """Share of graphs turned by a random angle; borders of a field turn with them."""
    mirror: float = 0.5
    stretch: float = 0.0
    """Lengths and speeds of a graph are multiplied by 1 - this to 1 + this: a smaller field with slower people."""
    earlier_cut: int = 0
    """Frames before the measured part of a scene at which moments may start already."""
    drop_graphs: float = 0.3
    """Share of graphs from which players are taken, so that tags that fall silent are nothing new."""
    drop_players: float = 0.4
    """At most this share of a graph's players is taken."""
    likelihood_weight: float = 1.0
    """Weight of the Gaussian negative log likelihood."""
    point_weight: float = 0.5
    """Weight of the plain distance beside the likelihood; the likelihood alone first learns to be unsure."""
    huber_m: float = 0.0
    """Above 0, the distance counts squared up to this many metres and straight beyond."""
    velocity_weight: float = 0.0
    """Weight of the error from step to step, so that a path is smooth and turns where people turn."""
    acceleration_weight: float = 0.0
    ball_weight: float = 1.0
    """Weight of the ball's error beside an athlete's."""
    threads: int = 1


def read_config(name: str, **changes: object) -> TrajectorySettings:
    """Read a configuration that ships with the code, or a YAML file; `changes` that are not None go before it.

    Raises: ConfigError naming the file and the key.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else _CONFIGS / f"{name}.yaml"
    try:
        found = msgspec.yaml.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as exc:
        known = ", ".join(sorted(file.stem for file in _CONFIGS.glob("*.yaml")))
        raise ConfigError("--config", f"{name!r} cannot be read; known: {known}") from exc
    except msgspec.DecodeError as exc:  # a parser's own words, on one line
        raise ConfigError(str(path), " ".join(str(exc).split())) from exc
    return changed(found | {key: value for key, value in changes.items() if value is not None}, str(path))


def changed(values: Mapping[str, object], where: str) -> TrajectorySettings:
    """Return settings of these values after checking them.

    Raises: ConfigError.
    """
    try:
        settings = msgspec.convert(dict(values), TrajectorySettings)
    except msgspec.ValidationError as exc:
        raise ConfigError(where, str(exc)) from exc
    check(settings, where)
    return settings


def check(settings: TrajectorySettings, where: str) -> None:
    """Check what the types do not say.

    Raises: ConfigError.
    """
    for key in _COUNTS:
        if getattr(settings, key) < 1:
            raise ConfigError(where, f"{key} must be at least 1")
    for key in _SHARES:
        if not 0.0 <= getattr(settings, key) <= 1.0:
            raise ConfigError(where, f"{key} must be in 0..1")
    for key in (*_NOT_NEGATIVE, "earlier_cut", "warm_up_steps"):
        if getattr(settings, key) < 0:
            raise ConfigError(where, f"{key} must not be below 0")
    if settings.width % settings.heads:
        raise ConfigError(where, f"width {settings.width} is no multiple of heads {settings.heads}")
    if settings.max_minutes <= 0 or settings.learning_rate <= 0:
        raise ConfigError(where, "max_minutes and learning_rate must be above 0")
    if settings.decoder == "deterministic" and settings.likelihood_weight and not settings.point_weight:
        raise ConfigError(where, "a deterministic decoder learns from point_weight; it is 0")
