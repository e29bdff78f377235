"""Which recordings are learnt from, chosen on, calibrated on and measured on: whole games, never parts of one."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.positions import Recording
from cloud.datasets.scene_set import HELD_OUT, game_share
from cloud.datasets.scenes import Scenes, choose
from cloud.training.trajectory.moments import Moments, of_recordings, of_scenes
from shared.errors import ModelIncompatible
from shared.features.base import FeatureSet
from shared.features.team import HISTORY, HORIZON, RATE_HZ

_GAP_STEPS = HISTORY + HORIZON
"""Steps left out between parts cut from one session, so that no position is in two of them."""
_ENOUGH_SESSIONS = 4
_PARTS_OF_TIME = (0.7, 0.85)
CHOSEN = 0.3
"""Games below HELD_OUT are measured on, those from there up to this share chosen and calibrated on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Moments to learn from, to choose and calibrate on, and to measure on.

    `known` are the games (or sessions) that the first two are of: nothing that is measured on them is honest.
    """

    fitting: Moments
    calibration: Moments
    test: Moments
    known: tuple[str, ...]


def split_recordings(recordings: Sequence[Recording]) -> Split:
    """Return moments from different sessions.

    Of four or more sessions, one in five is measured on and one in eight calibrated on (at least one each, smallest
    SHA-256 of the name first); of fewer, each is cut into its first 70 %, the next 15 % and the last 15 %.
    Raises: ModelIncompatible when a part holds no usable moment.
    """
    if len(recordings) >= _ENOUGH_SESSIONS:
        ordered = sorted(recordings, key=lambda item: hashlib.sha256(item.session.encode()).hexdigest())
        tests, calibrations = max(1, len(ordered) // 5), max(1, len(ordered) // 8)
        groups = (ordered[tests + calibrations :], ordered[tests : tests + calibrations], ordered[:tests])
        fitting, calibration, test = (of_recordings(group) for group in groups)
        known = ordered[tests:]
    else:
        lengths = [len(recording.time_ns) for recording in recordings]
        cuts = [[0, *(round(length * part) for part in _PARTS_OF_TIME), length] for length in lengths]
        spans = [[(min(c[i] + (_GAP_STEPS if i else 0), c[i + 1]), c[i + 1]) for c in cuts] for i in range(3)]
        fitting, calibration, test = (of_recordings(recordings, span) for span in spans)
        known = list(recordings)
    names = tuple(sorted(recording.session for recording in known))
    return _checked(Split(fitting=fitting, calibration=calibration, test=test, known=names))


def split_scenes(scenes: Scenes, features: FeatureSet, *, earlier_cut: int = 0) -> Split:
    """Return moments from different games: 70 % to learn from, 15 % each to choose and to measure on, by SHA-256.

    Raises: ModelIncompatible when a part holds no usable moment.
    """
    share = game_shares(scenes)
    parts = [(share >= CHOSEN), (share >= HELD_OUT) & (share < CHOSEN), share < HELD_OUT]
    fitting, calibration, test = (choose(scenes, np.flatnonzero(part)) for part in parts)
    return _checked(
        Split(
            fitting=of_scenes(fitting, features, earlier_cut=earlier_cut),
            calibration=of_scenes(calibration, features),
            test=of_scenes(test, features),
            known=tuple(sorted(set(scenes.game[share >= HELD_OUT].tolist()))),
        )
    )


def game_shares(scenes: Scenes) -> NDArray[np.float64]:
    """Return a number 0..1 a scene that depends on the name of its game alone."""
    return np.array([game_share(game) for game in scenes.game.tolist()])


def recordings_digest(recordings: Sequence[Recording]) -> str:
    """Return the hexadecimal SHA-256 over sessions in order of name."""
    digest = hashlib.sha256(f"{RATE_HZ} Hz".encode())
    for recording in sorted(recordings, key=lambda item: item.session):
        digest.update("\0".join((recording.session, *recording.athletes)).encode())
        for array in (recording.team, recording.time_ns, recording.xy_m):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _checked(parts: Split) -> Split:
    for name, part in (("fit on", parts.fitting), ("calibrate on", parts.calibration), ("measure on", parts.test)):
        if not len(part):
            raise ModelIncompatible(
                f"too little data: no moments to {name}; a session needs some 30 s or more, a season some ten games"
            )
    return parts
