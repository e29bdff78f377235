"""Man or zone: how well a model with a coverage head tells what the defence plays, where the plays state it."""

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.scenes import UNKNOWN_COVERAGE, Scenes
from cloud.evaluation.artifact import Artifact
from cloud.evaluation.bootstrap import Resampling, Value
from cloud.evaluation.forecasts import forecast
from cloud.evaluation.protocols import Windows, cases_of, trajectory_windows
from cloud.evaluation.report import ManOrZone
from cloud.evaluation.tabular import BINS, balanced_accuracy, calibration_error
from shared.features.team import RATE_HZ

Floats = NDArray[np.floating]


def coverage_of(artifact: Artifact, scenes: Scenes) -> ManOrZone | None:
    """Return how well a model with a coverage head tells man from zone; None without a head or labels.

    Raises: ModelIncompatible when the model does not fit.
    """
    if "coverage_logit" not in artifact.model.outputs or not (scenes.coverage != UNKNOWN_COVERAGE).any():
        return None
    windows = trajectory_windows(scenes, 1)
    said = forecast(artifact, scenes, windows, cases_of(scenes, windows)).zone
    return None if said is None else man_or_zone(said, windows, scenes)


def man_or_zone(said: Floats, windows: Windows, scenes: Scenes) -> ManOrZone | None:
    """Return how well zone coverage is told by the probabilities `said` [W], None where no label is known."""
    truth = scenes.coverage[windows.scene]
    known = truth != UNKNOWN_COVERAGE
    if not known.any():
        return None
    scene, zone, probability = windows.scene[known], truth[known].astype(float), said[known]
    second = (windows.frame[known] - scenes.begin[scene]) // RATE_HZ
    plays, row = np.unique(scene, return_inverse=True)
    by_play = np.bincount(row, probability) / np.bincount(row)
    play_zone = scenes.coverage[plays].astype(float)
    share = float(play_zone.mean())
    games, play_games = scenes.game[scene], scenes.game[plays]
    return ManOrZone(
        moments=len(zone),
        plays=len(plays),
        accuracy=Resampling(games).mean((probability > 0.5) == zone),
        balanced_accuracy=balanced(probability, zone, games),
        ece=_calibration(probability, zone, games),
        play_accuracy=Resampling(play_games).mean((by_play > 0.5) == play_zone),
        play_balanced_accuracy=balanced(by_play, play_zone, play_games),
        majority=max(share, 1.0 - share),
        by_second={
            str(one): balanced(probability[second == one], zone[second == one], games[second == one])
            for one in np.unique(second).tolist()
        },
    )


def balanced(probability: Floats, zone: Floats, games: NDArray[np.str_]) -> Value:
    """Return the mean of the shares of man and of zone that are told rightly at even odds, as far as there are both."""
    resampling, right = Resampling(games), (probability > 0.5) == zone
    kinds = [zone == kind for kind in (0.0, 1.0) if (zone == kind).any()]
    drawn = [resampling.drawn(resampling.sums(right & kind), resampling.sums(kind)) for kind in kinds]
    return resampling.of(balanced_accuracy(probability, zone), np.mean(drawn, axis=0))


def _calibration(probability: Floats, zone: Floats, games: NDArray[np.str_]) -> Value:
    """Return the ECE; the bins of its interval are those of all rows."""
    resampling, bin_of = Resampling(games), np.zeros(len(zone), np.int64)
    for number, part in enumerate(np.array_split(np.argsort(probability, kind="stable"), BINS)):
        bin_of[part] = number
    rows = resampling.sums(np.ones(len(zone)))
    apart = [resampling.drawn(resampling.sums((zone - probability) * (bin_of == one)), rows) for one in range(BINS)]
    return resampling.of(calibration_error(probability, zone), np.abs(apart).sum(axis=0))
