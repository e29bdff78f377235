"""A model on tables as ONNX: `features` float32[N, F] -> `prediction` float32[N, 1], with what a reader must know.

The file's metadata hold the feature set with units, what the prediction is, until when it learnt, and background rows
for explanations; they are in the file so that a digest covers them.
"""

import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from cloud.training.tabular.model import TabularModel

INPUT = "features"
OUTPUT = "prediction"
OPSET = 21
_ML_OPSET = 3
_BOOSTED = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)


def to_onnx(model: TabularModel, *, features: int, name: str, metadata: Mapping[str, str]) -> bytes:
    """Return the ONNX file of a fitted model of `features` columns."""
    with warnings.catch_warnings():
        # skl2onnx hands booleans to an integer field; protobuf 7 will refuse them, so we stay below it.
        warnings.filterwarnings("ignore", "Field onnx.AttributeProto.ints", DeprecationWarning)
        converted = convert_sklearn(
            with_float32_thresholds(model.estimator),
            initial_types=[(INPUT, FloatTensorType([None, features]))],
            final_types=None if model.probability else [("share", FloatTensorType([None, 1]))],
            options={"zipmap": False} if model.probability else None,
            target_opset={"": OPSET, "ai.onnx.ml": _ML_OPSET},
        )
    graph = converted.graph
    if model.probability:
        _column(graph, graph.output[1].name, 1, OUTPUT)
    else:
        _between_anchors(graph, graph.output[0].name, model)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1]))
    graph.name = name
    helper.set_model_props(converted, dict(sorted(metadata.items())))
    onnx.checker.check_model(converted)
    return bytes(converted.SerializeToString())


def with_float32_thresholds(estimator: Any) -> Any:
    """Return the estimator with each tree threshold lowered to a float32; for float32 rows it answers the same.

    Thresholds are float64 means of neighbouring values. Rounded to the nearest float32, as the converter does, some
    would end up on the upper neighbour and send it the other way.
    """
    rounded = copy.deepcopy(estimator)
    for nodes in _nodes(rounded):
        exact = nodes["num_threshold"]
        near = exact.astype(np.float32)
        lowered = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
        nodes["num_threshold"] = lowered.astype(np.float64)
    return rounded


def edges(estimator: Any) -> list[tuple[int, float]]:
    """Return (column, threshold) of every split of boosted trees; none for other estimators."""
    return [
        (int(node["feature_idx"]), float(node["num_threshold"]))
        for nodes in _nodes(estimator)
        for node in nodes
        if not node["is_leaf"]
    ]


def _between_anchors(graph: onnx.GraphProto, share: str, model: TabularModel) -> None:
    """Append zero + share * (full - zero)."""
    if model.zero is None:
        graph.node.append(helper.make_node("Identity", [share], [OUTPUT]))
        return
    _column(graph, INPUT, model.zero, "zero")
    if model.full is None:
        graph.node.append(helper.make_node("Add", ["zero", share], [OUTPUT]))
        return
    _column(graph, INPUT, model.full, "full")
    graph.node.extend(
        [
            helper.make_node("Sub", ["full", "zero"], ["whole"]),
            helper.make_node("Mul", [share, "whole"], ["above_zero"]),
            helper.make_node("Add", ["zero", "above_zero"], [OUTPUT]),
        ]
    )


def _column(graph: onnx.GraphProto, source: str, index: int, name: str) -> None:
    """Append `name` [N, 1], one column of `source`."""
    graph.initializer.append(numpy_helper.from_array(np.array([index], np.int64), f"{name}_column"))
    graph.node.append(helper.make_node("Gather", [source, f"{name}_column"], [name], axis=1))


def _nodes(estimator: Any) -> Iterator[NDArray[Any]]:
    """Yield the node table of each boosted tree, wherever in a pipeline it stands."""
    if isinstance(estimator, _BOOSTED):
        for stage in estimator._predictors:  # noqa: SLF001  no public way
            for tree in stage:
                yield tree.nodes
    elif isinstance(estimator, Pipeline):
        for _, step in estimator.steps:
            yield from _nodes(step)
    elif isinstance(estimator, CalibratedClassifierCV):
        for calibrated in estimator.calibrated_classifiers_:
            yield from _nodes(calibrated.estimator)
    elif isinstance(estimator, ColumnTransformer):
        return
