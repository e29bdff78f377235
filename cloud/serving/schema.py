"""Requests and responses of a model as types, made from its feature set: names, units, shapes and bounds."""

from dataclasses import dataclass
from functools import reduce
from operator import attrgetter
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from shared.features.base import FeatureSet

MAX_INPUTS = 4096
"""Rows or graphs in one request."""
MAX_PLAYERS = 64
"""In one graph: a model's memory grows with the square."""
_LARGEST = float(np.finfo(np.float32).max)
_FINITE = Field(strict=True, allow_inf_nan=False, ge=-_LARGEST, le=_LARGEST)


class Strict(BaseModel):
    """Only the names that are promised."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Graph(Strict):
    """One moment: lists over the same players."""

    @model_validator(mode="after")
    def same_players(self) -> Self:
        """Check that all lists speak of as many players."""
        lengths = {name: len(getattr(self, name)) for name in type(self).model_fields}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} {count}" for name, count in lengths.items())
            raise ValueError(f"lists of one graph are as long as there are players, but: {found}")
        return self


class Call(Strict):
    """A request: one `input`, or a list of `inputs` for one call of the model."""

    @model_validator(mode="after")
    def one_or_many(self) -> Self:
        """Check that there is exactly one of the two."""
        one, many = attrgetter("input", "inputs")(self)
        if (one is None) == (many is None):
            raise ValueError("give either `input` (one) or `inputs` (a list)")
        return self

    @property
    def single(self) -> bool:
        """Whether it asks for one answer, not for a list."""
        return attrgetter("input")(self) is not None

    def batch(self) -> list[Any]:
        """Return the inputs as a list."""
        one, many = attrgetter("input", "inputs")(self)
        return [one] if many is None else list(many)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The types of one feature set; `rows` tells sets of plain columns from graphs."""

    features: FeatureSet
    rows: bool
    request: type[Call]
    response: type[BaseModel]

    def arrays(self, inputs: list[Any]) -> dict[str, NDArray[np.float32]]:
        """Return the model's inputs; graphs of fewer players are filled up with masked ones, which mean nothing."""
        if self.rows:
            columns = attrgetter(*(name for name, _ in self.features.features))
            # None becomes NaN.
            return {self.features.inputs[0][0]: np.array([columns(row) for row in inputs], np.float32)}
        most = max(players(self.features, one) for one in inputs)
        found = {}
        for name, shape in self.features.inputs:
            found[name] = np.zeros((len(inputs), most, *shape), np.float32)
            for index, one in enumerate(inputs):
                values = np.array(getattr(one, name), np.float32)
                found[name][index, : len(values)] = values
        return found


def players(features: FeatureSet, graph: Any) -> int:
    """Return how many players a graph has."""
    return len(getattr(graph, features.inputs[0][0]))


def schema(features: FeatureSet) -> Schema:
    """Return the types of a feature set."""
    rows = features.row_axes == 1 and [shape for _, shape in features.inputs] == [(len(features.features),)]
    title = "".join(word.capitalize() for word in features.model.split("_"))
    one: Any = _row(title, features) if rows else _graph(title, features)
    output: Any = _output(title, features, rows=rows)
    model: Any = Literal[features.model]
    many: Any = Annotated[list[one], Field(min_length=1, max_length=MAX_INPUTS)]
    version = Annotated[str | None, Field(description="A trained version; by default the one that gateways run.")]
    return Schema(
        features=features,
        rows=rows,
        request=create_model(
            f"{title}Request",
            __base__=Call,
            model=(model, ...),
            version=(version, None),
            input=(one | None, None),
            inputs=(many | None, None),
        ),
        response=create_model(
            f"{title}Response",
            __base__=Strict,
            model=(model, ...),
            version=(str, ...),
            feature_set=(str, ...),
            output=(output | None, None),
            outputs=(list[output] | None, None),
        ),
    )


def takes_missing(features: FeatureSet) -> bool:
    """Return whether a value may be unknown; the hashed note of a set says so, and what it means."""
    return "NaN" in features.note


def _row(title: str, features: FeatureSet) -> type[BaseModel]:
    number: Any = Annotated[float, _FINITE]
    fields: dict[str, Any] = {
        name: (
            Annotated[number | None if takes_missing(features) else number, Field(description=f"unit: {unit}")],
            ...,
        )
        for name, unit in features.features
    }
    return create_model(f"{title}Input", __base__=Strict, __doc__=features.note, **fields)


def _graph(title: str, features: FeatureSet) -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (
            Annotated[list[_nested(shape)], Field(min_length=1, max_length=MAX_PLAYERS)],  # type: ignore[misc]
            ...,
        )
        for name, shape in features.inputs
    }
    return create_model(f"{title}Input", __base__=Graph, __doc__=features.note, **fields)


def _output(title: str, features: FeatureSet, *, rows: bool) -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (float if rows and shape == (1,) else _nested(shape) if rows else list[_nested(shape)], ...)  # type: ignore[misc]
        for name, shape in features.outputs
    }
    if rows:
        said = "Whether every feature lies in the range that the model was fitted on; beyond, it only guesses."
        fields["in_range"] = (Annotated[bool, Field(description=said)], ...)
    return create_model(f"{title}Output", __base__=Strict, **fields)


def _nested(shape: tuple[int, ...]) -> Any:
    """Return the type of an array as lists of lists of finite numbers, each as long as the shape says."""
    number: Any = Annotated[float, _FINITE]
    return reduce(
        lambda inner, count: Annotated[list[inner], Field(min_length=count, max_length=count)],  # type: ignore[valid-type]
        reversed(shape),
        number,
    )
