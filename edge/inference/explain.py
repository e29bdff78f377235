"""What a model's answer leans on, from one batched call; the background rows are in the model's file.

Words on a screen must not make causes of these numbers: they speak about the model.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.inference.session import LoadedModel
from shared.errors import ModelIncompatible
from shared.features.occlusion import contributions, log_odds, occluded

BACKGROUND = "background"
KIND = "kind"
PROBABILITY = "probability"
UNIT = "unit"
LOG_ODDS = "log odds"
# All live answers wait for an explanation under way: 24 rows, as models bring them along, take about a millisecond.
_MOST_ROWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One answer: `parts` are (feature, contribution), the largest first, in `unit`; `unit` is "log odds" for a
    probability and the prediction's own otherwise.
    """  # noqa: D205  the fields are the contract

    prediction: float
    unit: str
    parts: tuple[tuple[str, float], ...]


def explain(model: LoadedModel, row: NDArray[np.float32]) -> Explained:
    """Return why the model answers as it does for one row float32[F], by occlusion with its background rows.

    Raises: ModelIncompatible when it is no model of plain rows, its file holds no background rows, it cannot run, or an
    answer is no finite number.
    """
    if model.features.row_axes != 1 or len(model.features.inputs) != 1:
        raise ModelIncompatible(f"{model.card.name} does not answer row by row")
    source, target = model.features.inputs[0][0], model.features.outputs[0][0]
    about = model.session.get_modelmeta().custom_metadata_map
    background = _background(model, about.get(BACKGROUND))
    answers = model.run({source: occluded(row, background)})[target][:, 0]
    if not np.isfinite(answers).all():
        raise ModelIncompatible(f"{model.card.name} {model.card.version} answers with what is no finite number")
    probability = about.get(KIND) == PROBABILITY
    found = contributions(log_odds(answers) if probability else answers, len(background))
    names = [name for name, _ in model.features.features]
    parts = sorted(zip(names, found.tolist(), strict=True), key=lambda part: -abs(part[1]))
    unit = LOG_ODDS if probability else about.get(UNIT, "1")
    return Explained(prediction=float(answers[0]), unit=unit, parts=tuple(parts))


def _background(model: LoadedModel, text: str | None) -> NDArray[np.float32]:
    if text is None:
        raise ModelIncompatible(f"{model.card.name} {model.card.version} brings no background rows along")
    try:
        rows = msgspec.json.decode(text, type=list[list[float | None]])
        found = np.array([[np.nan if value is None else value for value in row] for row in rows], np.float32)
    except (msgspec.DecodeError, ValueError) as exc:
        raise ModelIncompatible(f"the background rows of {model.card.name} cannot be read: {exc}") from exc
    if found.shape[1:] != (len(model.features.features),) or not 0 < len(found) <= _MOST_ROWS:
        raise ModelIncompatible(f"the background rows of {model.card.name} have shape {found.shape}")
    return found
