"""What a model's present answer about one athlete leans on, for tablets and programs that ask."""

import math

import numpy as np

from edge.inference.runner import Runner
from edge.messages import Explanation, ExplanationPart
from edge.pipeline.live import MIN_COVERAGE, Live
from shared.clock import Clock
from shared.errors import ConfigError, ModelError
from shared.features import athlete as effort
from shared.features.athlete import ATHLETE_EFFORT
from shared.features.base import FeatureRow
from shared.ids import AthleteId
from shared.model_card import ModelCard


class Explaining:
    """Explains the answers of models that are asked athlete by athlete."""

    def __init__(self, live: Live, runner: Runner, clock: Clock) -> None:
        self._live = live
        self._runner = runner
        self._clock = clock

    async def explanation(self, athlete: AthleteId, model: str) -> Explanation:
        """Return what the active version of a model leans on in its answer about an athlete now.

        Raises: ConfigError when nobody on the roster or no active model is so called; ModelError when the model is not
        asked about this athlete now, or cannot be explained.
        """
        if athlete not in self._live.athletes:
            raise ConfigError("athlete", "no such athlete")
        card = self._runner.card(model)
        if card is None:
            raise ConfigError("model", f"no model {model} is active")
        row = self._row(athlete, card)
        explained = await self._runner.explain(model, row.values)
        if explained is None:
            raise ConfigError("model", f"no model {model} is active")
        described = zip(ATHLETE_EFFORT.features, ATHLETE_EFFORT.words, row.values.tolist(), strict=True)
        inputs = {name: (words, value, unit) for (name, unit), words, value in described}
        return Explanation(
            athlete=athlete,
            model=model,
            version=card.version,
            sent_ns=self._clock.utc_ns(),
            time_ns=row.time_ns,
            answer=round(explained.prediction, 3),
            unit=explained.unit,
            parts=[_part(name, *inputs[name], contribution) for name, contribution in explained.parts],
        )

    def _row(self, athlete: AthleteId, card: ModelCard) -> FeatureRow:
        """Return the row that the model is asked with; the rules are those by which it is asked at all.

        Raises: ModelError when there is none.
        """
        if card.feature_set != ATHLETE_EFFORT.set_id:
            raise ModelError(f"{card.name} is not asked athlete by athlete on this gateway")
        row = effort.row(self._live.athletes[athlete].effort_state)
        if row is None:
            raise ModelError(f"{card.name} is asked once positions have come for {effort.WARM_UP_S:.0f} s")
        if row.coverage < MIN_COVERAGE:
            raise ModelError(f"too few positions came in the last minutes for {card.name} to be asked")
        if not card.covers(ATHLETE_EFFORT, row.values[np.newaxis])[0]:
            raise ModelError(f"{card.name} is not asked: it was not fitted on movement like this")
        return row


def _part(name: str, words: str, value: float, unit: str, contribution: float) -> ExplanationPart:
    return ExplanationPart(
        feature=name,
        words=words,
        value=round(value, 3) if math.isfinite(value) else None,
        unit=unit,
        contribution=round(contribution, 3),
    )
