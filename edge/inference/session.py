"""A loaded ONNX model. The one file of the gateway that knows onnxruntime."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from shared.errors import ModelIncompatible, ModelUntrusted
from shared.features.base import FeatureSet
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
    """A model ready to run, with its card and what its inputs and outputs are held to."""

    card: ModelCard
    features: FeatureSet
    session: ort.InferenceSession

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> Arrays:
        """Return the outputs by name.

        Raises: ModelIncompatible when the runtime cannot run the model on these inputs, or an output has not the shape
        that the feature set promises.
        """
        try:
            answers = self.session.run(self.card.outputs, dict(inputs))
        except _RUNTIME_ERRORS as exc:
            raise ModelIncompatible(f"{self.card.name} {self.card.version} does not run: {exc}") from exc
        outputs = dict(zip(self.card.outputs, answers, strict=True))
        self.features.check_shapes(inputs, outputs)
        return outputs


def load_model(folder: Path) -> LoadedModel:
    """Load `model.onnx` with its `card.json`.

    Raises: ModelUntrusted when the file is not the one on the card; ModelIncompatible when the card's feature set is
    not ours, or its name, inputs or outputs are not those of that set, or the runtime cannot load the file, or the
    file's inputs and outputs are not those on the card.
    """
    card = read_card(folder / "card.json")
    path = folder / "model.onnx"
    try:
        if not path.is_file() or file_sha256(path) != card.sha256:
            raise ModelUntrusted("model file does not match the digest on its card")
        body = path.read_bytes()
    except OSError as exc:
        raise ModelUntrusted(f"model file cannot be read: {exc.strerror}") from exc
    features = feature_set(card.feature_set, card.feature_hash)
    features.check_names(card.name, card.inputs, card.outputs)
    options = ort.SessionOptions()
    # One thread: models are small, and the radio and the store need the other core.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(body, options, providers=["CPUExecutionProvider"])
    except _RUNTIME_ERRORS as exc:
        raise ModelIncompatible(f"runtime cannot load the model: {exc}") from exc
    names = [i.name for i in session.get_inputs()], [o.name for o in session.get_outputs()]
    if set(names[0]) != set(card.inputs) or not set(card.outputs) <= set(names[1]):
        raise ModelIncompatible(f"model has inputs {names[0]} and outputs {names[1]}, not those on its card")
    kinds = {o.name: o.type for o in session.get_outputs()}
    if any(kinds[name] != "tensor(float)" for name in card.outputs):
        raise ModelIncompatible(f"model has outputs of type {kinds}, not float32")
    return LoadedModel(card=card, features=features, session=session)
