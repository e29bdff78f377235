"""The effort model as ONNX, checked against scikit-learn before anybody may use it."""

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingRegressor

from cloud.datasets.rows import FEATURES, EffortRows
from cloud.training.export import OnnxModel
from cloud.training.tabular import MAX, REST, ReserveRegressor
from shared.errors import ModelIncompatible

INPUT = "features"
OUTPUT = "prediction"
OPSET = 21
_ML_OPSET = 3
_TOLERANCE_BPM = 1e-3
_MAX_SHARE_BEYOND = 1e-3
_FRESH_ROWS = 4000
_BOUNDARY_ROWS = 4000


def to_onnx(model: ReserveRegressor) -> bytes:
    """Return the ONNX file: `features` float32[N, F] -> `prediction` float32[N, 1] in bpm."""
    with warnings.catch_warnings():
        # skl2onnx hands booleans to an integer field; protobuf 7 will refuse them, so we stay below it.
        warnings.filterwarnings("ignore", "Field onnx.AttributeProto.ints", DeprecationWarning)
        inner = convert_sklearn(
            _with_float32_thresholds(model.inner),
            initial_types=[(INPUT, FloatTensorType([None, len(FEATURES)]))],
            final_types=[("share", FloatTensorType([None, 1]))],
            target_opset={"": OPSET, "ai.onnx.ml": _ML_OPSET},
        )
    graph = inner.graph
    for name, column in (("rest_column", REST), ("max_column", MAX)):
        graph.initializer.append(numpy_helper.from_array(np.array([column], np.int64), name))
    graph.node.extend(
        [
            helper.make_node("Gather", [INPUT, "rest_column"], ["rest"], axis=1),
            helper.make_node("Gather", [INPUT, "max_column"], ["most"], axis=1),
            helper.make_node("Sub", ["most", "rest"], ["reserve"]),
            helper.make_node("Mul", [graph.output[0].name, "reserve"], ["above_rest"]),
            helper.make_node("Add", ["rest", "above_rest"], [OUTPUT]),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1]))
    graph.name = "effort"
    onnx.checker.check_model(inner)
    return bytes(inner.SerializeToString())


def check_parity(model: ReserveRegressor, exported: bytes, rows: EffortRows, *, seed: int) -> float:
    """Compare scikit-learn and ONNX on training rows, fresh rows and rows on the trees' edges; return the largest gap.

    Raises: ModelIncompatible when more than one row in a thousand differs by over 0.001 bpm.
    """
    loaded = OnnxModel(exported)
    worst = 0.0
    for kind, features in _probes(model, rows, np.random.default_rng(seed)).items():
        expected = model.predict(features)
        got = loaded.run({INPUT: features})[OUTPUT]
        if got.shape != (len(features), 1):
            raise ModelIncompatible(f"the ONNX model answers {len(features)} rows with shape {got.shape}")
        gap = np.abs(got[:, 0] - expected)
        worst = max(worst, float(gap.max(initial=0.0)))
        beyond = float(np.mean(~(gap <= _TOLERANCE_BPM)))
        if beyond > _MAX_SHARE_BEYOND or not np.isfinite(gap).all():
            raise ModelIncompatible(
                f"the ONNX model differs from the trained one on {kind} rows: {beyond:.2%} by over "
                f"{_TOLERANCE_BPM} bpm, at most {gap.max():.3g} bpm"
            )
    return worst


def _probes(model: ReserveRegressor, rows: EffortRows, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    known = rows.features[rng.integers(0, len(rows), min(len(rows), _FRESH_ROWS))]
    spread = rows.features.std(axis=0) + np.float32(1e-3)
    drawn = rows.features[rng.integers(0, len(rows), _FRESH_ROWS)]
    fresh = (drawn + rng.normal(0.0, 0.5, drawn.shape) * spread).astype(np.float32)
    probes = {"known": known, "fresh": fresh, "single": known[:1], "zero": np.zeros_like(known[:1])}
    edges = _edges(model)
    if edges:
        picked = rng.integers(0, len(edges), _BOUNDARY_ROWS)
        boundary = rows.features[rng.integers(0, len(rows), _BOUNDARY_ROWS)].copy()
        column = np.array([edges[i][0] for i in picked])
        value = np.array([edges[i][1] for i in picked], np.float32)
        # On the edge itself, and the nearest float32 on either side.
        towards = np.array([-np.inf, 0.0, np.inf], np.float32)[rng.integers(0, 3, _BOUNDARY_ROWS)]
        boundary[np.arange(_BOUNDARY_ROWS), column] = np.where(np.isinf(towards), np.nextafter(value, towards), value)
        probes["boundary"] = boundary
    return probes


def _with_float32_thresholds(inner: Any) -> Any:
    """Return the estimator with each tree threshold lowered to a float32; for float32 rows it answers the same.

    Thresholds are float64 means of neighbouring values. Rounded to the nearest float32, as the converter does, some
    would end up on the upper neighbour and send it the other way.
    """
    rounded = copy.deepcopy(inner)
    for nodes in _nodes(rounded):
        exact = nodes["num_threshold"]
        near = exact.astype(np.float32)
        lowered = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
        nodes["num_threshold"] = lowered.astype(np.float64)
    return rounded


def _edges(model: ReserveRegressor) -> list[tuple[int, float]]:
    """Return (feature, threshold) of every split of a tree model."""
    return [
        (int(node["feature_idx"]), float(node["num_threshold"]))
        for nodes in _nodes(model.inner)
        for node in nodes
        if not node["is_leaf"]
    ]


def _nodes(inner: Any) -> Iterator[NDArray[Any]]:
    """Yield the node table of each tree; none for other estimators."""
    if isinstance(inner, HistGradientBoostingRegressor):
        for stage in inner._predictors:  # noqa: SLF001  no public way
            for tree in stage:
                yield tree.nodes
