"""Search of settings with Optuna: short fits, judged on the validation games."""

import logging

import msgspec
import optuna

from cloud.training.trajectory.fitting import fit
from cloud.training.trajectory.settings import TrajectorySettings
from cloud.training.trajectory.split import Split
from cloud.training.trajectory.validation import SCORE, validation_errors
from shared.clock import Clock
from shared.errors import ModelIncompatible

_SHORTER = 10
"""A trial gets this part of the steps and minutes: enough to tell a bad rate from a good one."""
_BY_FACTOR = ("learning_rate", "weight_decay")
_FACTOR = 10.0


def tune(parts: Split, settings: TrajectorySettings, clock: Clock, *, trials: int) -> TrajectorySettings:
    """Return the settings with what did best on the validation games in short fits; the first trial changes nothing.

    Raises: ModelIncompatible when no trial could be fitted.
    """
    logging.getLogger("optuna").setLevel(logging.WARNING)
    study = optuna.create_study(
        direction="minimize", sampler=optuna.samplers.TPESampler(seed=settings.seed, n_startup_trials=min(5, trials))
    )
    study.enqueue_trial({name: getattr(settings, name) for name in (*_BY_FACTOR, "dropout")})

    def short(trial: optuna.Trial) -> float:
        tried = suggested(trial, settings)
        part = msgspec.structs.replace(
            tried, steps=max(1, tried.steps // _SHORTER), max_minutes=tried.max_minutes / _SHORTER
        )
        return validation_errors(fit(parts.fitting, part, clock).model, parts.calibration)[SCORE]

    # A trial that diverges is a bad one, not the end of the search.
    study.optimize(short, n_trials=trials, catch=(ModelIncompatible,))
    if not any(trial.state is optuna.trial.TrialState.COMPLETE for trial in study.trials):
        raise ModelIncompatible("none of the tried settings could be fitted")
    return msgspec.structs.replace(settings, **study.best_params)


def suggested(trial: optuna.Trial, settings: TrajectorySettings) -> TrajectorySettings:
    """Return the settings with what a trial is to try: rates up to ten times smaller or larger, and dropout."""
    tried: dict[str, float] = {"dropout": trial.suggest_float("dropout", 0.0, max(0.3, settings.dropout))}
    for name in _BY_FACTOR:
        now = getattr(settings, name)
        tried[name] = trial.suggest_float(name, now / _FACTOR, now * _FACTOR, log=True)
    return msgspec.structs.replace(settings, **tried)
