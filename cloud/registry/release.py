"""Which model versions gateways run: a release signs a model and points the channel to it; a rollback points back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cloud.registry.gate import check_better, primary_metric
from cloud.registry.repository import Repository
from cloud.settings import Layout
from cloud.training.artifacts import CARD_FILE, MODEL_FILE, Artifacts, parse_version, read_artifact
from cloud.training.export import check_golden
from shared.clock import Clock
from shared.errors import ConfigError, ModelIncompatible
from shared.features.registry import feature_set
from shared.model_card import ModelCard
from shared.release import CHANNEL_TARGET, Channel, card_target, model_target, read_channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What a release or rollback did; `changed` is False when gateways were already told to run this version."""

    model: str
    version: str
    previous: str | None
    sha256: str
    targets_version: int
    released_ns: int
    changed: bool


def open_repository(layout: Layout, clock: Clock) -> Repository:
    """Return the repository of one cloud's data folder."""
    return Repository(metadata=layout.release_metadata, targets=layout.release_targets, keys=layout.keys, clock=clock)


def setup_releases(layout: Layout, clock: Clock) -> bool:
    """Make keys, root and an empty channel; False when they exist already."""
    return open_repository(layout, clock).create({CHANNEL_TARGET: _encode(Channel(models={}))})


def release(
    layout: Layout, clock: Clock, model: str, *, version: str | None = None, source: Path | None = None
) -> Released:
    """Sign a trained model and tell gateways to run it; `source` is a folder to take it from instead of our own.

    Raises: ModelIncompatible when it is not better than its baseline, does not fit its card, is another model under
    a known version, or is older than what runs; ConfigError when there is no such model.
    """
    artifacts = Artifacts(layout)
    if source is None:
        source = artifacts.folder(model, version or artifacts.newest(model))
    if not (source / CARD_FILE).is_file():
        raise ConfigError(str(source), f"holds no {CARD_FILE}, so no trained model")
    card = read_artifact(source)
    if card.name != model or (version is not None and card.version != version):
        raise ModelIncompatible(f"{source} holds {card.name} {card.version}, not {model} {version or ''}".rstrip())
    body = (source / MODEL_FILE).read_bytes()
    check_releasable(card, body)
    repository = open_repository(layout, clock)
    channel = _channel(repository)
    current = channel.models.get(model)
    if current is not None and parse_version(card.version) < parse_version(current):
        raise ModelIncompatible(f"{model} {card.version} is older than {current}, which runs; use rollback")
    artifacts.write(card, body)
    files = {
        model_target(model, card.version): body,
        card_target(model, card.version): (source / CARD_FILE).read_bytes(),
    }
    for path, content in files.items():
        signed = repository.read(path)
        if signed is not None and signed != content:
            raise ModelIncompatible(f"{path} was released before with other bytes; a version never changes")
    return _point(repository, clock, channel, card, files)


def rollback(layout: Layout, clock: Clock, model: str, version: str) -> Released:
    """Tell gateways to run a version that was released before.

    Raises: ConfigError when it never was.
    """
    parse_version(version)
    repository = open_repository(layout, clock)
    body = repository.read(card_target(model, version))
    if body is None:
        known = sorted(path.split("/")[2] for path in repository.paths() if path.startswith(f"models/{model}/"))
        raise ConfigError(
            "--to", f"{model} {version} was never released; known: {', '.join(dict.fromkeys(known)) or 'none'}"
        )
    card = msgspec.json.decode(body, type=ModelCard)
    return _point(repository, clock, _channel(repository), card, {})


def check_releasable(card: ModelCard, model: bytes) -> None:
    """Check what a gateway will check, and that the model beats its baseline.

    Raises: ModelIncompatible.
    """
    features = feature_set(card.feature_set, card.feature_hash)
    check_golden(model, card)
    primary_metric(card.name)
    features.check_names(card.name, card.inputs, card.outputs)
    for vector in card.golden:
        features.check_shapes(
            {name: value.array() for name, value in vector.inputs.items()},
            {name: value.array() for name, value in vector.outputs.items()},
        )
    check_better(card)


def _channel(repository: Repository) -> Channel:
    body = repository.read(CHANNEL_TARGET)
    if body is None:
        raise ConfigError("releases", "there is no channel; run `python -m cloud release-setup` first")
    return read_channel(body)


def _point(
    repository: Repository, clock: Clock, channel: Channel, card: ModelCard, files: Mapping[str, bytes]
) -> Released:
    previous = channel.models.get(card.name)
    updated = Channel(models={**channel.models, card.name: card.version})
    version = repository.publish({**files, CHANNEL_TARGET: _encode(updated)})
    return Released(
        model=card.name,
        version=card.version,
        previous=previous,
        sha256=card.sha256,
        targets_version=version,
        released_ns=clock.utc_ns(),
        changed=previous != card.version,
    )


def _encode(channel: Channel) -> bytes:
    return msgspec.json.encode(channel)
