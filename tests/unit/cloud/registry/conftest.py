import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cloud.registry.release import setup_releases
from cloud.settings import Layout
from shared.clock import ManualClock
from shared.features.athlete import ATHLETE_EFFORT
from shared.model_card import GoldenVector, ModelCard, tensor, write_card


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands still."""
    return ManualClock()


@pytest.fixture
def layout(tmp_path: Path, clock: ManualClock) -> Layout:
    """Return a cloud's folder with an empty signed repository."""
    layout = Layout(tmp_path / "cloud")
    setup_releases(layout, clock)
    return layout


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Path]:
    """Write a model folder: a sum of the features, with a card that fits but for what is given."""

    def make(*, folder: str | None = None, version: str = "1.0.0", bias: float = 0.0, **card: Any) -> Path:
        model, golden = _model(bias)
        made = ModelCard(
            name="effort",
            version=version,
            feature_set=ATHLETE_EFFORT.set_id,
            feature_hash=ATHLETE_EFFORT.schema_hash,
            sha256=hashlib.sha256(model).hexdigest(),
            opset=20,
            inputs=["features"],
            outputs=["prediction"],
            golden=[golden],
            golden_tolerance=1e-3,
            latency_budget_ms=5.0,
            thresholds={},
            metrics={"mae_bpm": 3.0},
            baseline={"mae_bpm": 9.0},
            data_set="effort@1",
            data_digest="0" * 64,
            code_version="0",
            seed=0,
            trained_ns=0,
            intended_use="a test",
        )
        target = tmp_path / "made" / (folder or version)
        target.mkdir(parents=True)
        (target / "model.onnx").write_bytes(model)
        write_card(msgspec.structs.replace(made, **card), target / "card.json")
        return target

    return make


def _model(bias: float) -> tuple[bytes, GoldenVector]:
    width = len(ATHLETE_EFFORT.features)
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["features", "axis"], ["sum"], keepdims=1),
            helper.make_node("Add", ["sum", "bias"], ["prediction"]),
        ],
        "sum",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["rows", 1])],
        [
            onnx.numpy_helper.from_array(np.array([1], np.int64), "axis"),
            onnx.numpy_helper.from_array(np.array([bias], np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    rows = np.arange(2 * width, dtype=np.float32).reshape(2, width)
    answer = rows.sum(axis=1, keepdims=True) + np.float32(bias)
    return model.SerializeToString(), GoldenVector(
        inputs={"features": tensor(rows)}, outputs={"prediction": tensor(answer)}
    )
