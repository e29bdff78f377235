"""One version of a model in memory, and how it answers a list of inputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud.serving.schema import Schema, players
from cloud.training.export import OnnxModel
from shared.errors import ModelIncompatible
from shared.model_card import ModelCard

# Pairs of players in one call of a graph model: 100 graphs of 23. Beyond, memory grows and speed does not.
_PAIRS_PER_CALL = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A loaded model with its card and its types; may be called from several threads."""

    card: ModelCard
    schema: Schema
    model: OnnxModel

    def predict(self, inputs: list[Any]) -> list[dict[str, Any]]:
        """Return the outputs by name, one for each input, in their order.

        Raises: ModelIncompatible when the model answers with other shapes than promised, or with no finite number.
        """
        return [output for part in self._parts(inputs) for output in self._call(part)]

    def _parts(self, inputs: list[Any]) -> Iterator[list[Any]]:
        """Yield rows all at once, and graphs as many at once as one call should hold."""
        if self.schema.rows:
            yield inputs
            return
        part: list[Any] = []
        most = 0
        for one in inputs:
            most = max(most, players(self.schema.features, one))
            if part and (len(part) + 1) * most**2 > _PAIRS_PER_CALL:
                yield part
                part, most = [], players(self.schema.features, one)
            part.append(one)
        yield part

    def _call(self, inputs: list[Any]) -> list[dict[str, Any]]:
        features = self.schema.features
        arrays = self.schema.arrays(inputs)
        answers = self.model.run(arrays)
        features.check_shapes(arrays, answers)
        if not all(np.isfinite(values).all() for values in answers.values()):
            raise ModelIncompatible(f"{self.card.name} {self.card.version} answered with what is no finite number")
        if not self.schema.rows:
            return [
                {name: values[index, : players(features, one)].tolist() for name, values in answers.items()}
                for index, one in enumerate(inputs)
            ]
        lists: dict[str, list[Any]] = {
            name: (values[:, 0] if values.shape[1:] == (1,) else values).tolist() for name, values in answers.items()
        }
        lists["in_range"] = self._in_range(arrays[features.inputs[0][0]]).tolist()
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]

    def _in_range(self, rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which rows the model was fitted on the like of; what is unknown lies beyond nothing."""
        names = [name for name, _ in self.schema.features.features]
        known = np.array([self.card.ranges.get(name, (-np.inf, np.inf)) for name in names])
        beyond: NDArray[np.bool_] = (rows < known[:, 0]) | (rows > known[:, 1])
        inside: NDArray[np.bool_] = ~np.any(beyond, axis=1)
        return inside
