"""Which moments are forecast, for whom and how far: the windows of the trajectory and the pass protocol.

Trajectory: 1.0 s of history at 10 Hz, a window every 1.0 s from a scene's beginning to its end, every player with a
whole history and a whole future; a step of 1.5 m or more in 0.1 s is a jump of the tracking and makes neither whole.
Pass: from the throw to the first arrival or outcome, everybody who may catch or defend a pass; the ball is never
forecast.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.scenes import NO_FRAME, ROLES, Scenes
from cloud.datasets.steps import plausible_steps
from shared.features.team import HISTORY, RATE_HZ

HORIZONS_S = (0.5, 1.0, 2.0, 4.0)
STRIDE = RATE_HZ
"""Frames from window to window."""
CATCHERS_AND_DEFENDERS = tuple(ROLES.index(name) for name in ("WR", "TE", "RB", "LB", "DB"))
_SHORTEST_PASS = 3
_CHUNK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """W moments to forecast from.

    `scene` int64[W]; `frame` int64[W] newest frame of the history; `steps` int64[W] how far ahead, in steps of 0.1 s;
    `counted` bool[W,P] whose forecasts are measured.
    """

    scene: NDArray[np.int64]
    frame: NDArray[np.int64]
    steps: NDArray[np.int64]
    counted: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.frame)

    def pick(self, chosen: NDArray[np.bool_] | NDArray[np.integer] | slice) -> "Windows":
        """Return some of the windows."""
        return Windows(
            scene=self.scene[chosen], frame=self.frame[chosen], steps=self.steps[chosen], counted=self.counted[chosen]
        )

    def chunks(self) -> Iterator["Windows"]:
        """Yield all windows, some hundreds at a time."""
        for first in range(0, len(self), _CHUNK):
            yield self.pick(slice(first, first + _CHUNK))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """The n forecasts that windows ask for, one a counted player.

    `window` and `player` int64[n] say whose; `steps` int64[n]; `history` float64[n,11,2] and `future` float64[n,S,2]
    in metres on the field, the future NaN beyond a case's own steps.
    """

    window: NDArray[np.int64]
    player: NDArray[np.int64]
    steps: NDArray[np.int64]
    history: NDArray[np.float64]
    future: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.window)

    def pick(self, rows: NDArray[np.bool_]) -> "Cases":
        """Return some of the cases; `window` still counts all windows."""
        return Cases(
            window=self.window[rows],
            player=self.player[rows],
            steps=self.steps[rows],
            history=self.history[rows],
            future=self.future[rows],
        )


def trajectory_windows(scenes: Scenes, steps: int, *, stride: int = STRIDE) -> Windows:
    """Return the windows, every `stride` frames, from which `steps` lie ahead before the scene's end."""
    back, ahead = plausible_steps(scenes.xy_m, scenes.team, scenes.first)
    frames, owners = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for scene, (first, begin, end) in enumerate(zip(scenes.first[:-1], scenes.begin, scenes.end, strict=True)):
        found = np.arange(max(begin, first + HISTORY - 1), end - steps + 1, stride)
        frames.append(found)
        owners.append(np.full(len(found), scene))
    frame, scene_of = np.concatenate(frames), np.concatenate(owners)
    counted: NDArray[np.bool_] = (back[frame] >= HISTORY - 1) & (ahead[frame] >= steps) & (scenes.team[scene_of] >= 0)
    windows = Windows(scene=scene_of, frame=frame, steps=np.full(len(frame), steps), counted=counted)
    return windows.pick(np.flatnonzero(counted.any(axis=1)))


def pass_windows(scenes: Scenes) -> Windows:
    """Return one window a pass, at the throw."""
    air = scenes.arrived - scenes.thrown
    thrown = (scenes.thrown != NO_FRAME) & (scenes.arrived != NO_FRAME) & (air >= _SHORTEST_PASS)
    scene = np.flatnonzero(thrown & (scenes.thrown - scenes.first[:-1] >= HISTORY - 1))
    frame, steps = scenes.thrown[scene], air[scene]
    seen = np.asarray(np.isfinite(scenes.xy_m).all(axis=-1))
    counted = np.zeros((len(scene), scenes.players), np.bool_)
    for row, (newest, ahead) in enumerate(zip(frame.tolist(), steps.tolist(), strict=True)):
        counted[row] = seen[newest - HISTORY + 1 : newest + ahead + 1].all(axis=0)
    counted &= np.isin(scenes.role[scene], CATCHERS_AND_DEFENDERS) & (scenes.team[scene] >= 0)
    windows = Windows(scene=scene, frame=frame, steps=steps, counted=counted)
    return windows.pick(np.flatnonzero(counted.any(axis=1)))


def cases_of(scenes: Scenes, windows: Windows) -> Cases:
    """Return the cases of windows, in the order of the windows and of their players."""
    window, player = np.nonzero(windows.counted)
    frame, steps = windows.frame[window], windows.steps[window]
    longest = int(windows.steps.max(initial=0))
    back = scenes.xy_m[frame[:, None] + np.arange(1 - HISTORY, 1), player[:, None]].astype(np.float64)
    ahead = np.arange(1, longest + 1)
    following = np.minimum(frame[:, None] + ahead, len(scenes.xy_m) - 1)
    future = scenes.xy_m[following, player[:, None]].astype(np.float64)
    future[ahead > steps[:, None]] = np.nan
    return Cases(window=window, player=player, steps=steps, history=back, future=future)
