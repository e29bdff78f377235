"""ONNX files as the gateway will run them: one thread, CPU; parity with the trained model is part of every export."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from shared.errors import ModelIncompatible
from shared.model_card import GoldenVector, ModelCard, tensor

Arrays = Mapping[str, NDArray[np.float32]]
_ONLY_FATAL = 4
_native = ort.capi.onnxruntime_pybind11_state
# The runtime's own errors have no common base; those that a bad file or bad inputs can cause.
_RUNTIME_ERRORS = (
    _native.Fail,
    _native.InvalidArgument,
    _native.InvalidGraph,
    _native.InvalidProtobuf,
    _native.NoModel,
    _native.NotImplemented,
    _native.RuntimeException,
    RuntimeError,
    ValueError,
)


class OnnxModel:
    """One ONNX model in memory, run on one CPU thread."""

    def __init__(self, model: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = _ONLY_FATAL
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except _RUNTIME_ERRORS as exc:
            raise ModelIncompatible(f"the ONNX file cannot be loaded: {exc}") from exc
        self.inputs = [value.name for value in self._session.get_inputs()]
        self.outputs = [value.name for value in self._session.get_outputs()]
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Return the outputs by name.

        Raises: ModelIncompatible when the inputs do not fit.
        """
        try:
            values = self._session.run(None, dict(inputs))
        except _RUNTIME_ERRORS as exc:
            raise ModelIncompatible(f"the ONNX model cannot run: {exc}") from exc
        return {name: np.asarray(value, np.float32) for name, value in zip(self.outputs, values, strict=True)}


def golden_vectors(cases: Sequence[tuple[Arrays, Arrays]]) -> list[GoldenVector]:
    """Return (inputs, outputs of the trained model) as golden vectors."""
    return [
        GoldenVector(
            inputs={name: tensor(array) for name, array in inputs.items()},
            outputs={name: tensor(array) for name, array in outputs.items()},
        )
        for inputs, outputs in cases
    ]


def check_golden(model: bytes, card: ModelCard) -> float:
    """Run the card's golden vectors and return the largest difference.

    Raises: ModelIncompatible when the model does not give what its card says.
    """
    loaded = OnnxModel(model)
    if loaded.inputs != card.inputs or loaded.outputs != card.outputs:
        raise ModelIncompatible(
            f"{card.name}: the file has {loaded.inputs} -> {loaded.outputs}, not what its card says"
        )
    if not card.golden:
        raise ModelIncompatible(f"{card.name}: the card holds no golden vectors")
    worst = 0.0
    for vector in card.golden:
        got = loaded.run({name: value.array() for name, value in vector.inputs.items()})
        for name, value in vector.outputs.items():
            worst = max(worst, largest_difference(got[name], value.array()))
    if not worst <= card.golden_tolerance:
        raise ModelIncompatible(
            f"{card.name}: golden vectors differ by {worst:.2g}, allowed {card.golden_tolerance:.2g}"
        )
    return worst


def largest_difference(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return max |got - expected|; infinite when shapes differ or a number is not finite."""
    if got.shape != expected.shape or not np.isfinite(got).all() or not np.isfinite(expected).all():
        return float("inf")
    return float(np.abs(got - expected).max(initial=0.0))
