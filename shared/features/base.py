"""What a feature set is: named model inputs with a schema hash, so that a model and its inputs cannot drift apart."""

import hashlib
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.ids import AthleteId


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """The inputs of a model: `set_id` is `name@version`; `features` are (name, unit) in column order.

    `note` states what changes the meaning without changing a name (rates, lengths, coordinate frame); it is hashed too.
    """

    set_id: str
    features: tuple[tuple[str, str], ...]
    note: str

    @property
    def schema_hash(self) -> str:
        """Hexadecimal SHA-256 over id, names, units, order and note."""
        text = msgspec.json.encode([self.set_id, self.features, self.note])
        return hashlib.sha256(text).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """One row of a feature set: `values` float32[features]; `coverage` 0..1 is the share of its history with data."""

    set_id: str
    athlete: AthleteId
    time_ns: int
    values: NDArray[np.float32]
    coverage: float
