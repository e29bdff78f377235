"""The published yardsticks of real recordings, found again from the files; where they are absent the tests say so."""

import numpy as np
import pytest

from cloud.datasets.public.read import read_scenes
from cloud.datasets.scenes import Scenes
from cloud.evaluation import baselines as plain
from cloud.evaluation.bootstrap import Resampling
from cloud.evaluation.displacement import YARD_M, displacement, distances
from cloud.evaluation.fitting import pass_baselines, split, trajectory_baselines
from cloud.evaluation.protocols import Windows, cases_of, pass_windows, trajectory_windows
from tests.tools import OPEN_DATA, missing

pytestmark = pytest.mark.slow
TABLE = {
    ("nfl_ngs_highlights", 1): ((1.75, 3.20), (0.38, 0.91), (0.39, 0.94), (0.24, 0.63)),
    ("nfl_ngs_highlights", 2): ((3.31, 6.32), (1.20, 3.02), (1.23, 3.05), (0.91, 2.43)),
    ("nfl_ngs_highlights", 4): ((6.05, 11.65), (3.69, 8.96), (3.61, 8.50), (3.06, 7.59)),
    ("soccer_zxy_tromso", 2): ((2.44, 4.49), (1.18, 2.82), (1.11, 2.59), (0.96, 2.38)),
    ("hockey_bdc2022", 2): ((2.88, 5.01), (2.45, 5.32), (2.07, 4.17), (2.00, 4.07)),
}
"""ADE and FDE of standing still, constant and damped velocity, and ridge fitted on the same windows."""
TIME_CONSTANT_S = {"nfl_ngs_highlights": 6.0, "soccer_zxy_tromso": 4.0, "hockey_bdc2022": 1.0}
# The hockey table bridged short losses of a track a little differently from our reader: within 1.5 %.
RELATIVE = {"nfl_ngs_highlights": 0.0, "soccer_zxy_tromso": 0.0, "hockey_bdc2022": 0.015}
ROUNDING = 0.0055
_READ: dict[str, Scenes] = {}


def recordings(name: str) -> Scenes:
    """Return the scenes of one source, read once."""
    folder = OPEN_DATA.parent / "restricted" / name
    if not folder.exists():
        missing(f"the recordings {name}")
    if name not in _READ:
        _READ[name] = read_scenes(folder).scenes
    return _READ[name]


def errors(offset: np.ndarray, scenes: Scenes, windows: Windows, *, unit_m: float) -> tuple[float, float, float]:
    """Return ADE, FDE and RMSE."""
    cases = cases_of(scenes, windows)
    distance = distances(offset, cases.future - cases.history[:, -1:])
    found = displacement(distance, Resampling(scenes.game[windows.scene[cases.window]]), unit_m=unit_m)
    return found.ade.value, found.fde.value, found.rmse.value


@pytest.mark.parametrize(("name", "horizon_s"), TABLE, ids=str)
def test_baselines_when_measured_on_real_recordings_then_the_published_table(name: str, horizon_s: int) -> None:
    """Rule: our windows and baselines are those of the protocol, to the last digit printed."""
    scenes, steps = recordings(name), 10 * horizon_s
    windows = trajectory_windows(scenes, steps)
    cases = cases_of(scenes, windows)
    ridge = plain.LeastSquares(plain.own_motion, turn=False, steps=steps).add(scenes, windows)
    offsets = (
        plain.constant_position(cases, steps),
        plain.damped_velocity(cases, steps),
        plain.damped_velocity(cases, steps, TIME_CONSTANT_S[name]),
        ridge.forecast(ridge.solve(), scenes, windows, cases),
    )
    unit_m = YARD_M if name.startswith("nfl") else 1.0
    for offset, expected in zip(offsets, TABLE[name, horizon_s], strict=True):
        found = errors(offset, scenes, windows, unit_m=unit_m)[:2]
        assert found == pytest.approx(expected, abs=ROUNDING, rel=RELATIVE[name])


def test_passes_when_measured_on_real_recordings_then_the_published_figures() -> None:
    """Rule: constant velocity 2.01/3.90 yd; damped by 10 s 1.96/3.73 yd with an RMSE of 2.13 yd a coordinate."""
    scenes = recordings("nfl_ngs_highlights")
    windows = pass_windows(scenes)
    cases = cases_of(scenes, windows)
    steps = cases.future.shape[1]
    straight = errors(plain.damped_velocity(cases, steps), scenes, windows, unit_m=YARD_M)
    assert straight[:2] == pytest.approx((2.01, 3.90), abs=ROUNDING)
    damped = errors(plain.damped_velocity(cases, steps, 10.0), scenes, windows, unit_m=YARD_M)
    assert damped == pytest.approx((1.96, 3.73, 2.13), abs=ROUNDING)


def test_control_when_fitted_on_other_games_then_the_bar_that_it_was_found_to_be() -> None:
    """Rule: with whole games held out the control reaches about 0.21/0.55, 0.82/2.25 and 2.80/6.88 yd (other games)."""
    scenes = recordings("nfl_ngs_highlights")
    parts = split(scenes, frozenset())
    assert parts.fitted_on == "other games"
    for horizon_s, expected in ((1, (0.21, 0.55)), (2, (0.82, 2.25)), (4, (2.80, 6.88))):
        steps = 10 * horizon_s
        windows = trajectory_windows(scenes, steps)
        offsets = trajectory_baselines(parts, windows, cases_of(scenes, windows), steps)
        found = errors(offsets[plain.CONTROL], scenes, windows, unit_m=YARD_M)[:2]
        assert found == pytest.approx(expected, rel=0.06)
        ridge = errors(offsets[plain.RIDGE], scenes, windows, unit_m=YARD_M)
        assert found < ridge[:2]
    windows = pass_windows(scenes)
    offsets = pass_baselines(parts, windows, cases_of(scenes, windows))
    assert errors(offsets[plain.RIDGE], scenes, windows, unit_m=YARD_M)[:2] == pytest.approx((1.27, 2.52), rel=0.08)
