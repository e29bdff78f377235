"""How far forecasts lie from what happened: ADE, FDE, miss rate and RMSE, beside baselines, with intervals by game.

ADE is the mean distance over all steps up to a horizon and FDE the distance at it; a forecast misses when its FDE is
over 2 yd; RMSE is that of one coordinate, sqrt(sum(dx^2 + dy^2) / 2N), as the NFL Big Data Bowl 2026 scores.
Skill is 1 - ADE / ADE of a baseline.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.public.football import YARD_M
from cloud.evaluation.bootstrap import Resampling, Value

MISSED_M = 2 * YARD_M

Floats = NDArray[np.floating]


class Displacement(msgspec.Struct, frozen=True, kw_only=True):
    """Errors of one forecast at one horizon, in the report's unit of length but for the share of misses."""

    ade: Value
    fde: Value
    miss_2yd: Value
    rmse: Value


def distances(offset: Floats, actual: Floats) -> Floats:
    """Return the distance [n,S] m of forecast from actual offsets [n,S,2], NaN where the future is not asked for."""
    return np.asarray(np.linalg.norm(offset - actual, axis=-1))


def displacement(distance: Floats, resampling: Resampling, *, unit_m: float) -> Displacement:
    """Return the errors of `distance` [n,S] m, whose trailing NaNs lie beyond a case's own steps."""
    known = np.isfinite(distance)
    summed, squared, count = (
        resampling.sums(rows)
        for rows in (np.nansum(distance, axis=1), np.nansum(distance**2, axis=1), known.sum(axis=1))
    )
    last = final(distance)
    cases = resampling.sums(np.ones(len(distance)))
    return Displacement(
        ade=resampling.ratio(summed / unit_m, count),
        fde=resampling.ratio(resampling.sums(last / unit_m), cases),
        miss_2yd=resampling.ratio(resampling.sums(last > MISSED_M), cases),
        rmse=resampling.ratio(squared / unit_m**2, 2 * count, root=True),
    )


def skill(distance: Floats, baselines: Mapping[str, Floats], resampling: Resampling) -> dict[str, Value]:
    """Return 1 - ADE / ADE of each baseline, on the same draws of games."""
    own = resampling.sums(np.nansum(distance, axis=1))
    found = {}
    for name, other in baselines.items():
        theirs = resampling.sums(np.nansum(other, axis=1))
        found[name] = resampling.of(1.0 - float(own.sum() / theirs.sum()), 1.0 - resampling.drawn(own, theirs))
    return found


def final(distance: Floats) -> Floats:
    """Return the distance [n] m at each case's last step."""
    last = np.isfinite(distance).sum(axis=1) - 1
    return np.asarray(distance[np.arange(len(distance)), last])


def by_step(distance: Floats) -> Floats:
    """Return the mean distance [S] m at each step ahead."""
    return np.asarray(np.nanmean(distance, axis=0))
