"""A loaded ONNX model. The one file of the gateway that knows onnxruntime."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from shared.errors import ModelIncompatible, ModelUntrusted
from shared.features.registry import feature_set
from shared.model_card import ModelCard, file_sha256, read_card

Arrays = dict[str, NDArray[np.float32]]

_native = ort.capi.onnxruntime_pybind11_state
# The runtime's own errors have no common base; those that a bad file or bad inputs can cause.
_RUNTIME_ERRORS = (
    _native.Fail,
    _native.InvalidArgument,
    _native.InvalidGraph,
    _native.InvalidProtobuf,
    _native.NoModel,
    _native.NoSuchFile,
    _native.NotImplemented,
    _native.RuntimeException,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model ready to run, with its card."""

    card: ModelCard
    session: ort.InferenceSession

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """Return the outputs by name.

        Raises: ModelIncompatible when the runtime cannot run the model on these inputs.
        """
        try:
            outputs = self.session.run(self.card.outputs, dict(inputs))
        except _RUNTIME_ERRORS as exc:
            raise ModelIncompatible(f"{self.card.name} {self.card.version} does not run: {exc}") from exc
        return dict(zip(self.card.outputs, outputs, strict=True))


def load_model(folder: Path) -> LoadedModel:
    """Load `model.onnx` with its `card.json`.

    Raises: ModelUntrusted when the file is not the one on the card; ModelIncompatible when the card's feature set is
    not ours, or the runtime cannot load the file, or its inputs and outputs are not those on the card.
    """
    card = read_card(folder / "card.json")
    path = folder / "model.onnx"
    if not path.is_file() or file_sha256(path) != card.sha256:
        raise ModelUntrusted("model file does not match the digest on its card")
    feature_set(card.feature_set, card.feature_hash)
    options = ort.SessionOptions()
    # One thread: models are small, and the radio and the store need the other core.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except _RUNTIME_ERRORS as exc:
        raise ModelIncompatible(f"runtime cannot load the model: {exc}") from exc
    names = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    if set(names[0]) != set(card.inputs) or not set(card.outputs) <= set(names[1]):
        raise ModelIncompatible(f"model has inputs {names[0]} and outputs {names[1]}, not those on its card")
    return LoadedModel(card=card, session=session)
