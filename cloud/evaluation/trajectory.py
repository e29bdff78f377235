"""The trajectory and the pass protocol, from an exported model and scenes to what was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.public.football import FIELD, YARD_M
from cloud.datasets.scenes import Scenes
from cloud.evaluation import baselines as plain
from cloud.evaluation import calibration, spread
from cloud.evaluation.artifact import Artifact
from cloud.evaluation.bootstrap import Resampling, Value
from cloud.evaluation.displacement import displacement, distances, final, skill
from cloud.evaluation.fitting import Split, pass_baselines, trajectory_baselines
from cloud.evaluation.forecasts import Forecasts, forecast, horizon
from cloud.evaluation.protocols import HORIZONS_S, Cases, Windows, cases_of, pass_windows, trajectory_windows
from cloud.evaluation.report import MIXTURE, MODEL, Measured, Regions
from cloud.evaluation.roles import by_role
from shared.errors import ConfigError
from shared.features.team import RATE_HZ

_WITH_LIKELIHOOD = (plain.CONSTANT_VELOCITY, plain.RIDGE, plain.CONTROL)

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Cases of one horizon, or of passes, with all forecasts of them: what is measured and drawn.

    `offsets` are by forecast, the model's own among them; `actual` [n,S,2] m, NaN beyond a case's own steps.
    """

    horizon_s: float | None
    windows: Windows
    cases: Cases
    actual: Floats
    forecasts: Forecasts
    offsets: Mapping[str, Floats]
    beyond: int = 0

    def distance(self, name: str) -> Floats:
        """Return how far a forecast lies from what happened, [n,S] m."""
        return distances(self.offsets[name], self.actual)


def unit_of(scenes: Scenes) -> tuple[str, float]:
    """Return the unit in which a sport speaks of lengths, and its metres."""
    return ("yd", YARD_M) if scenes.field == FIELD else ("m", 1.0)


def trajectory_tasks(artifact: Artifact, parts: Split) -> Iterator[Task | float]:
    """Yield the task of each horizon, or the horizon in s itself where the model does not reach it.

    Raises: ConfigError when no player has a whole history and future; ModelIncompatible when the model does not fit.
    """
    reach, scenes = horizon(artifact.features), parts.measured
    every = trajectory_windows(scenes, round(HORIZONS_S[0] * RATE_HZ))
    if not len(every):
        raise ConfigError("--data", "no player has 1.0 s of history and 0.5 s of future without a gap")
    known = cases_of(scenes, every)
    said = forecast(artifact, scenes, every, known)
    places = _place(scenes, every, known)
    for seconds in HORIZONS_S:
        steps = round(seconds * RATE_HZ)
        windows = trajectory_windows(scenes, steps)
        if steps > reach or not len(windows):
            yield seconds
            continue
        cases = cases_of(scenes, windows)
        # Windows of a longer horizon are among those of the shortest, and so are their players.
        forecasts = said.pick(np.searchsorted(places, _place(scenes, windows, cases)), steps)
        offsets = {MODEL: forecasts.offset} | trajectory_baselines(parts, windows, cases, steps)
        yield _task(seconds, windows, cases, forecasts, offsets)


def pass_task(artifact: Artifact, parts: Split) -> Task:
    """Return the task of all passes that the model's horizon reaches over.

    Raises: ConfigError when there is none; ModelIncompatible when the model does not fit.
    """
    reach, every = horizon(artifact.features), pass_windows(parts.measured)
    windows = every.pick(every.steps <= reach)
    if not len(windows):
        raise ConfigError("--data", "holds no pass with a whole history that the model's horizon reaches over")
    cases = cases_of(parts.measured, windows)
    forecasts = forecast(artifact, parts.measured, windows, cases)
    forecasts = forecasts.pick(np.arange(len(cases)), int(windows.steps.max()))
    offsets = {MODEL: forecasts.offset} | pass_baselines(parts, windows, cases)
    return _task(None, windows, cases, forecasts, offsets, beyond=len(every) - len(windows))


def measure(task: Task, parts: Split) -> Measured:
    """Return errors, skill, likelihood and regions of one task."""
    scene = task.windows.scene[task.cases.window]
    resampling, fold = Resampling(parts.measured.game[scene]), parts.fold[scene]
    _, unit_m = unit_of(parts.measured)
    distance = {name: task.distance(name) for name in task.offsets}
    others = {name: array for name, array in distance.items() if name != MODEL}
    last = task.forecasts.at(task.cases.steps)
    happened = np.take_along_axis(task.actual, (task.cases.steps - 1)[:, None, None], axis=1)
    squared = spread.squared_radius(last, happened)[:, 0]
    temperature = calibration.cross_fitted(squared, fold)
    game = parts.measured.game[scene]
    return Measured(
        horizon_s=task.horizon_s,
        covered=True,
        windows=len(task.windows),
        forecasts=len(task.cases),
        games=resampling.groups,
        beyond=task.beyond,
        errors={name: displacement(array, resampling, unit_m=unit_m) for name, array in distance.items()},
        skill=skill(distance[MODEL], others, resampling),
        nll=_likelihood(task, distance, fold, resampling),
        temperature=float(temperature.mean()) if len(np.unique(fold)) > 1 else None,
        regions=_regions(
            spread.gaussian_rank(squared),
            squared,
            game,
            fold,
            resampling,
            tempered=spread.gaussian_rank(squared / temperature**2),
        ),
        mixture_regions=_mixture_regions(last, happened, game, fold, resampling),
        best_of_6=_best_of_paths(task, resampling, unit_m),
        by_role=by_role(parts.measured, task.windows, task.cases, distance, unit_m=unit_m),
    )


def _task(
    seconds: float | None,
    windows: Windows,
    cases: Cases,
    forecasts: Forecasts,
    offsets: Mapping[str, Floats],
    *,
    beyond: int = 0,
) -> Task:
    return Task(
        horizon_s=seconds,
        windows=windows,
        cases=cases,
        actual=cases.future - cases.history[:, -1:],
        forecasts=forecasts,
        offsets=offsets,
        beyond=beyond,
    )


def _place(scenes: Scenes, windows: Windows, cases: Cases) -> NDArray[np.int64]:
    """Return a number for each case that says when and whose it is, ascending."""
    return windows.frame[cases.window] * scenes.players + cases.player


def _likelihood(
    task: Task, distance: Mapping[str, Floats], fold: NDArray[np.int64], resampling: Resampling
) -> dict[str, Value]:
    """Return NLL a step of the model, of its mixture, and of baselines with the spread they had in other games."""
    found = {MODEL: spread.gaussian_nll(task.forecasts, task.actual)}
    if task.forecasts.modes is not None:
        found[MIXTURE] = spread.mixture_nll(task.forecasts, task.actual)
    found |= {name: spread.cross_fitted_nll(distance[name], fold) for name in _WITH_LIKELIHOOD}
    count = resampling.sums(task.cases.steps)
    return {name: resampling.ratio(resampling.sums(np.nansum(array, axis=1)), count) for name, array in found.items()}


def _regions(
    rank: Floats,
    score: Floats,
    game: NDArray[np.str_],
    fold: NDArray[np.int64],
    resampling: Resampling,
    *,
    tempered: Floats | None = None,
) -> dict[str, Regions]:
    """Return what lies in regions as they are stated, by `rank`, and drawn by conformal `score`, [n] each."""
    apart = len(np.unique(fold)) > 1
    found = {}
    for level in spread.LEVELS:
        threshold = calibration.cross_conformal(score, game, fold, level)
        found[f"{100 * level:g}"] = Regions(
            stated=resampling.mean(rank <= level),
            tempered=resampling.mean(tempered <= level) if apart and tempered is not None else None,
            conformal=resampling.mean(score <= threshold) if np.isfinite(threshold).all() else None,
        )
    return found


def _mixture_regions(
    last: Forecasts, happened: Floats, game: NDArray[np.str_], fold: NDArray[np.int64], resampling: Resampling
) -> dict[str, Regions]:
    if last.modes is None:
        return {}
    rank, score = spread.mixture_rank(last, happened)[:, 0], spread.mixture_nll(last, happened)[:, 0]
    return _regions(rank, score, game, fold, resampling)


def _best_of_paths(task: Task, resampling: Resampling, unit_m: float) -> dict[str, Value]:
    if task.forecasts.modes is None:
        return {}
    paths = spread.best_of_paths(task.forecasts, task.actual)
    mean = np.nanmean(paths, axis=2).min(axis=1)
    ends = np.stack([final(paths[:, path]) for path in range(paths.shape[1])], axis=1).min(axis=1)
    return {"minADE6": resampling.mean(mean / unit_m), "minFDE6": resampling.mean(ends / unit_m)}
