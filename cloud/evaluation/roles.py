"""Errors of forecasts by role: a quarterback who stands is easier to forecast than a receiver who runs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.scenes import ROLES, Scenes
from cloud.evaluation.baselines import CONTROL, RIDGE
from cloud.evaluation.bootstrap import Resampling
from cloud.evaluation.displacement import displacement
from cloud.evaluation.protocols import Cases, Windows
from cloud.evaluation.report import MODEL, OfRole

_SHOWN = (MODEL, RIDGE, CONTROL)


def by_role(
    scenes: Scenes, windows: Windows, cases: Cases, distance: Mapping[str, NDArray[np.floating]], *, unit_m: float
) -> dict[str, OfRole]:
    """Return the errors of `distance` [n,S] m, by forecast, for the cases of each role; nothing where none is stated.

    Raises: KeyError when a forecast that is shown is not among them.
    """
    scene = windows.scene[cases.window]
    role, game = scenes.role[scene, cases.player], scenes.game[scene]
    stated = np.unique(role).tolist()
    if stated in ([], [ROLES.index("unknown")]):
        return {}
    found = {}
    for index in stated:
        chosen = role == index
        resampling = Resampling(game[chosen])
        errors = {name: displacement(distance[name][chosen], resampling, unit_m=unit_m) for name in _SHOWN}
        found[ROLES[index]] = OfRole(forecasts=int(chosen.sum()), errors=errors)
    return found
