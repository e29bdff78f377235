"""What a feature set is: named model inputs with a schema hash, so that a model and its inputs cannot drift apart."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import ModelIncompatible
from shared.ids import AthleteId

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSet:
    """The inputs of a model: `set_id` is `name@version`; `features` are (name, unit) in column order.

    `note` states what changes the meaning without changing a name (rates, lengths, coordinate frame); it is hashed too.
    Not hashed is what the gateway's code itself holds a model to: `model` is the name of the slot that is fed with the
    set, `inputs` and `outputs` are (name, shape after the first `row_axes` axes); those axes all arrays share. `words`
    are what people call the features, in column order; empty where nobody is shown them.
    """

    set_id: str
    features: tuple[tuple[str, str], ...]
    note: str
    model: str
    row_axes: int
    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[tuple[str, tuple[int, ...]], ...]
    words: tuple[str, ...] = ()

    @property
    def schema_hash(self) -> str:
        """Hexadecimal SHA-256 over id, names, units, order and note."""
        text = msgspec.json.encode([self.set_id, self.features, self.note])
        return hashlib.sha256(text).hexdigest()

    def check_names(self, model: str, inputs: Iterable[str], outputs: Iterable[str]) -> None:
        """Check a card's name, inputs and outputs.

        Raises: ModelIncompatible when they are not those that this set is used with.
        """
        if model != self.model:
            raise ModelIncompatible(f"a model named {model} does not run on {self.set_id}; {self.model} does")
        self._check_names("inputs", self.inputs, inputs)
        self._check_names("outputs", self.outputs, outputs)

    def check_shapes(self, inputs: Arrays, outputs: Arrays) -> None:
        """Check the arrays of one run.

        Raises: ModelIncompatible when a name or a shape is not that of this set.
        """
        self._check_names("inputs", self.inputs, inputs)
        self._check_names("outputs", self.outputs, outputs)
        rows = inputs[self.inputs[0][0]].shape[: self.row_axes]
        for kind, promised, arrays in (("input", self.inputs, inputs), ("output", self.outputs, outputs)):
            for name, shape in promised:
                if arrays[name].shape != (*rows, *shape):
                    raise ModelIncompatible(f"{kind} {name} has shape {arrays[name].shape}, not {(*rows, *shape)}")

    def _check_names(self, kind: str, promised: tuple[tuple[str, tuple[int, ...]], ...], names: Iterable[str]) -> None:
        wanted, found = sorted(name for name, _ in promised), sorted(names)
        if found != wanted:
            raise ModelIncompatible(f"{kind} are {found}, those of {self.set_id} are {wanted}")


def row_set(set_id: str, *, features: tuple[tuple[str, str], ...], note: str, model: str) -> FeatureSet:
    """Return a set of plain rows: `features` float32[N, F] in, `prediction` float32[N, 1] out."""
    return FeatureSet(
        set_id=set_id,
        features=features,
        note=note,
        model=model,
        row_axes=1,
        inputs=(("features", (len(features),)),),
        outputs=(("prediction", (1,)),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRow:
    """One row of a feature set: `values` float32[features]; `coverage` 0..1 is the share of its history with data."""

    set_id: str
    athlete: AthleteId
    time_ns: int
    values: NDArray[np.float32]
    coverage: float
