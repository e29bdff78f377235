"""What an exported trajectory model says about the cases of windows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.scenes import NOBODY, Scenes, normalise_direction
from cloud.evaluation.artifact import Artifact
from cloud.evaluation.protocols import Cases, Windows
from shared.errors import ModelIncompatible
from shared.features.base import FeatureSet
from shared.features.field import FIELD_GRAPH, field_columns, field_inputs
from shared.features.team import HISTORY, TEAM_GRAPH

_BATCH = 16
"""Windows a call: a runtime on one thread gains nothing from more."""
_SAME_FIELD_M = 0.5
_MIXTURE = ("modes", "mode_sigma", "mode_logit")

Floats = NDArray[np.floating]
Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """n forecasts of H steps, turned back to the field as it was recorded.

    `offset` and `sigma` [n,H,2] m from the newest position; of a mixture of M paths `modes` and `mode_sigma` [n,M,H,2]
    m and `weight` [n,M]; `zone` [W] is the stated probability of zone coverage in each window.
    """

    offset: Floats
    sigma: Floats
    modes: Floats | None = None
    mode_sigma: Floats | None = None
    weight: Floats | None = None
    zone: Floats | None = None

    @property
    def steps(self) -> int:
        """H."""
        return int(self.offset.shape[1])

    def pick(self, rows: NDArray[np.int64], steps: int) -> "Forecasts":
        """Return some of the forecasts up to a step; what is said of windows stays behind."""
        return self._each(lambda paths: paths[rows][..., :steps, :], lambda weight: weight[rows])

    def at(self, steps: NDArray[np.int64]) -> "Forecasts":
        """Return each forecast at one step alone, the `steps`-th [n]; H is 1 then."""

        def taken(paths: Floats) -> Floats:
            index = (steps - 1).reshape(-1, *[1] * (paths.ndim - 1))
            return np.take_along_axis(paths, index, axis=-2)

        return self._each(taken, lambda weight: weight)

    def _each(self, paths: Callable[[Floats], Floats], weight: Callable[[Floats], Floats]) -> "Forecasts":
        return Forecasts(
            offset=paths(self.offset),
            sigma=paths(self.sigma),
            modes=None if self.modes is None else paths(self.modes),
            mode_sigma=None if self.mode_sigma is None else paths(self.mode_sigma),
            weight=None if self.weight is None else weight(self.weight),
        )


def horizon(features: FeatureSet) -> int:
    """Return how many steps ahead models of a feature set say.

    Raises: ModelIncompatible when it is no set of a trajectory model.
    """
    if features not in (TEAM_GRAPH, FIELD_GRAPH):
        raise ModelIncompatible(f"a model of {features.set_id} forecasts no trajectories")
    return int(dict(features.outputs)["offset"][0])


def forecast(artifact: Artifact, scenes: Scenes, windows: Windows, cases: Cases) -> Forecasts:
    """Run the model on every window and return what it says of the counted players.

    Raises: ModelIncompatible when the model does not run on them, answers in other shapes or with NaN, or needs a
    field that the scenes do not state.
    """
    columns, role, team = _columns(artifact, scenes)
    answers: list[Arrays] = []
    for first in range(0, len(windows), _BATCH):
        part = slice(first, first + _BATCH)
        scene, frame = windows.scene[part], windows.frame[part]
        inputs = _inputs(artifact.features, columns, role[scene], team[scene], frame)
        outputs = artifact.model.run(inputs)
        # What a model says beyond what its set promises (paths, coverage) has no place in the set's own check.
        promised = {name: outputs[name] for name, _ in artifact.features.outputs}
        artifact.features.check_shapes(inputs, promised)
        answers.append(_counted(outputs, windows.counted[part]))
    found = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    wrong = [name for name, array in found.items() if not np.isfinite(array).all()]
    if wrong or not (found["sigma"] > 0).all():
        raise ModelIncompatible(f"the model answers {', '.join(wrong) or 'sigma'} that is NaN, infinite or below 0")
    return _turned_back(found, scenes.leftwards[windows.scene][cases.window] if scenes.field is not None else None)


def _columns(artifact: Artifact, scenes: Scenes) -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.int8]]:
    """Return what the inputs are cut from, the offence running towards +x where there is a field."""
    features = artifact.features
    if features is FIELD_GRAPH and scenes.field is None:
        raise ModelIncompatible(f"{features.set_id} needs the size of the field; these recordings do not state it")
    if artifact.field_m is not None and scenes.field is not None:
        here = (scenes.field.length_m, scenes.field.width_m)
        if not np.allclose(here, artifact.field_m, atol=_SAME_FIELD_M):
            sizes = "{:.1f} x {:.1f} m".format(*artifact.field_m), "{:.1f} x {:.1f} m".format(*here)
            raise ModelIncompatible(f"the model is for a field of {sizes[0]}; these recordings are of {sizes[1]}")
    seen = scenes if scenes.field is None else normalise_direction(scenes)
    if features is FIELD_GRAPH:
        return field_columns(seen.xy_m, seen.velocity_mps, seen.facing_rad, seen.first), seen.role, seen.team
    return seen.xy_m, seen.role, seen.team


def _inputs(
    features: FeatureSet,
    columns: NDArray[np.float32],
    role: NDArray[np.int8],
    team: NDArray[np.int8],
    newest: NDArray[np.int64],
) -> Arrays:
    if features is FIELD_GRAPH:
        return field_inputs(columns, role, team, newest)
    history = columns[newest[:, None] + np.arange(1 - HISTORY, 1)].transpose(0, 2, 1, 3)
    mask = np.isfinite(history).all(axis=(2, 3)) & (team != NOBODY)
    return {
        "history": np.where(mask[..., None, None], history, 0.0).astype(np.float32),
        "team": np.where(mask, team, 0).astype(np.float32),
        "mask": mask.astype(np.float32),
    }


def _counted(outputs: Arrays, counted: NDArray[np.bool_]) -> Arrays:
    """Return the counted players' rows, and what is said of whole windows as it is."""
    found = {name: outputs[name][counted] for name in ("offset", "sigma")}
    if all(name in outputs for name in _MIXTURE):
        found |= {name: outputs[name][counted] for name in _MIXTURE}
    if "coverage_logit" in outputs:
        found["coverage_logit"] = outputs["coverage_logit"].reshape(len(counted))
    return found


def _turned_back(found: Mapping[str, Floats], leftwards: NDArray[np.bool_] | None) -> Forecasts:
    sign = np.where(np.zeros(1, np.bool_) if leftwards is None else leftwards, -1, 1).astype(np.float32)
    logit, zone = found.get("mode_logit"), found.get("coverage_logit")
    likely = None if logit is None else np.exp(logit - logit.max(axis=-1, keepdims=True))
    return Forecasts(
        offset=found["offset"] * sign[:, None, None],
        sigma=found["sigma"],
        modes=found["modes"] * sign[:, None, None, None] if "modes" in found else None,
        mode_sigma=found.get("mode_sigma"),
        weight=None if likely is None else likely / likely.sum(axis=-1, keepdims=True),
        zone=None if zone is None else 1.0 / (1.0 + np.exp(-zone)),
    )
