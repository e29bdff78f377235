"""What a loaded model answers, beside what it knows of its inputs."""

import numpy as np
from numpy.typing import NDArray

from cloud.serving.predictor import Predictor
from cloud.serving.schema import schema
from cloud.training.export import Arrays, OnnxModel
from shared.features.athlete import ATHLETE_EFFORT
from shared.features.base import row_set
from tests.factories import model_card, onnx_bytes


def test_predictor_when_feature_is_unknown_then_it_lies_beyond_no_range() -> None:
    """Only a value that is known can be one that the model was not fitted on."""
    features = row_set("made_up@1", features=ATHLETE_EFFORT.features, note="NaN where unknown", model="effort")
    made = schema(features)
    ranges = {"elapsed": (0.0, 10.0)}
    predictor = Predictor(card=model_card("0" * 64, ranges=ranges), schema=made, model=_OnlyZeros(onnx_bytes()))
    row = {name: 1.0 for name, _ in features.features}
    rows = [row, row | {"elapsed": None}, row | {"elapsed": 11.0}, row | {"distance": 1e9}]
    found = predictor.predict(made.request.model_validate({"model": "effort", "inputs": rows}).batch())
    assert [one["in_range"] for one in found] == [True, True, False, True]


class _OnlyZeros(OnnxModel):
    """A model that answers unknown features with a number, as trees do."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Return a zero for every row."""
        return {"prediction": np.zeros((len(inputs["features"]), 1), np.float32)}
