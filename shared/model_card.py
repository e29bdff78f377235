"""ModelCard: what travels beside a model.onnx, and what a gateway checks before it runs it."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import ModelIncompatible
from shared.features.base import FeatureSet

CARD_VERSION = 1


class Tensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named float32 array as a flat list in C order with its shape."""

    shape: list[int]
    values: list[float]

    def array(self) -> NDArray[np.float32]:
        """Return the float32 array.

        Raises: ModelIncompatible when the number of values does not fit the shape.
        """
        flat = np.array(self.values, np.float32)
        if flat.size != int(np.prod(self.shape)):
            raise ModelIncompatible(f"golden vector has {flat.size} values for shape {self.shape}")
        return flat.reshape(self.shape)


def tensor(array: NDArray[np.floating]) -> Tensor:
    """Return an array as a Tensor."""
    return Tensor(shape=list(array.shape), values=[float(v) for v in np.asarray(array, np.float32).ravel()])


class GoldenVector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Inputs with the outputs that the trained model gave for them."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a gateway and a person must know about one model version.

    `feature_set` is the `name@version` of its inputs and `feature_hash` that set's schema hash: a gateway whose own
    set hashes differently refuses the model. `sha256` is the digest of the ONNX file. `latency_budget_ms` bounds the
    p99 of one call of the size in the golden vectors. `thresholds` holds the model's own constants (for `effort`:
    `unusual_residual`, in multiples of `residual_sd_bpm`). `ranges` are the lowest and highest value of features that
    the model was fitted on. `metrics` are measured on held-out data, `baseline` are the
    same metrics of the plain baseline.
    """

    name: str
    version: str
    feature_set: str
    feature_hash: str
    sha256: str
    opset: int
    inputs: list[str]
    outputs: list[str]
    golden: list[GoldenVector]
    golden_tolerance: float
    latency_budget_ms: float
    thresholds: dict[str, float]
    metrics: dict[str, float]
    baseline: dict[str, float]
    data_set: str
    data_digest: str
    code_version: str
    seed: int
    trained_ns: int
    intended_use: str
    ranges: dict[str, tuple[float, float]] = {}
    card_version: int = CARD_VERSION

    def covers(self, features: FeatureSet, rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which of `rows` [n, features] lie inside every range on the card: beyond, the model only guesses."""
        inside = np.ones(len(rows), bool)
        for column, (name, _) in enumerate(features.features):
            low, high = self.ranges.get(name, (-np.inf, np.inf))
            inside &= (rows[:, column] >= low) & (rows[:, column] <= high)
        return inside


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises: ModelIncompatible when it is not a card of a version known here.
    """
    try:
        card = msgspec.json.decode(path.read_bytes(), type=ModelCard)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise ModelIncompatible(f"model card {path} cannot be read: {why}") from exc
    if card.card_version != CARD_VERSION:
        raise ModelIncompatible(f"model card {path}: version {card.card_version} is not known here")
    return card


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card, readable by people."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
