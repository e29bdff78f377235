"""An exported model as anyone may check it: one ONNX file, and what it or the card beside it says of its inputs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cloud.training.artifacts import CARD_FILE
from cloud.training.export import OnnxModel
from shared.errors import ConfigError, ModelIncompatible
from shared.features.base import FeatureSet
from shared.features.registry import feature_set
from shared.model_card import ModelCard, read_card


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A model ready to run, and what it says about what it learnt from.

    `training_games` are those it was fitted on, calibrated on or chosen by, empty where it does not say;
    `trained_until_ns` the newest row it was fitted on; `data_digest` that of its data set, "" where unknown; `field_m`
    length and width of the field it is for, None for any.
    """

    path: Path
    sha256: str
    name: str
    version: str
    features: FeatureSet
    model: OnnxModel
    training_games: frozenset[str]
    trained_until_ns: int | None
    data_digest: str
    field_m: tuple[float, float] | None


def open_artifact(path: Path) -> Artifact:
    """Load an ONNX file; what its metadata do not say is looked up in the `card.json` beside it.

    Raises: ConfigError when there is no such file; ModelIncompatible when it is no ONNX model, or neither it nor a card
    of exactly this file names a feature set that is known here.
    """
    try:
        body = path.read_bytes()
    except OSError as exc:
        raise ConfigError("--model", f"{path} cannot be read: {exc.strerror}") from exc
    sha256 = hashlib.sha256(body).hexdigest()
    model = OnnxModel(body)
    card = _card_of(path, sha256)
    said = model.metadata
    if "feature_set" in said:
        set_id, schema_hash = said["feature_set"], said.get("feature_hash", "")
    elif card is not None:
        set_id, schema_hash = card.feature_set, card.feature_hash
    else:
        raise ModelIncompatible(f"names no feature set, and no {CARD_FILE} beside it speaks of this file")
    features = feature_set(set_id, schema_hash)
    missing = [name for name, _ in features.outputs if name not in model.outputs]
    if sorted(model.inputs) != sorted(name for name, _ in features.inputs) or missing:
        raise ModelIncompatible(f"has {model.inputs} -> {model.outputs}, which is not what {set_id} promises")
    return Artifact(
        path=path,
        sha256=sha256,
        name=said.get("name") or (card.name if card else path.stem),
        version=said.get("version") or (card.version if card else ""),
        features=features,
        model=model,
        training_games=_games(said.get("training_games", "[]")),
        trained_until_ns=_whole(said.get("trained_until_ns")),
        data_digest=said.get("data_digest") or (card.data_digest if card else ""),
        field_m=_field(said.get("field_m", "null")),
    )


def _card_of(path: Path, sha256: str) -> ModelCard | None:
    """Return the card beside a model when it is that very file's."""
    beside = path.parent / CARD_FILE
    if not beside.exists():
        return None
    card = read_card(beside)
    return card if card.sha256 == sha256 else None


def _games(text: str) -> frozenset[str]:
    try:
        return frozenset(msgspec.json.decode(text, type=list[str]))
    except msgspec.DecodeError as exc:
        raise ModelIncompatible("its training_games are no JSON list of names") from exc


def _field(text: str) -> tuple[float, float] | None:
    try:
        return msgspec.json.decode(text, type=tuple[float, float] | None)
    except msgspec.DecodeError as exc:
        raise ModelIncompatible(f"its field_m {text!r} is no length and width") from exc


def _whole(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError as exc:
        raise ModelIncompatible(f"its trained_until_ns {text!r} is no whole number") from exc
