from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloud.datasets.activity_rows import WARM_UP_S, activity_rows, movement_features
from cloud.datasets.exertions import Exertion, read_exertions
from shared.errors import ConfigError
from shared.features.activity import ACTIVITY_EFFORT, HORIZONS_S

NAMES = [name for name, _ in ACTIVITY_EFFORT.features]


def exertion(seconds: int = 600, athlete: str = "a", seed: int = 1) -> Exertion:
    """Return a run whose heart rate follows its speed."""
    rng = np.random.default_rng(seed)
    speed = np.repeat(rng.uniform(1.0, 5.0, seconds // 60 + 1), 60)[:seconds]
    heart = 60.0 + 20.0 * np.convolve(speed, np.exp(-np.arange(90) / 30.0) / 30.0)[:seconds]
    return Exertion(athlete=athlete, start_ns=0, hr_bpm=heart, movement={"speed": speed})


def test_features_when_the_newest_heart_rates_change_then_they_stay_the_same() -> None:
    """The heart rate of the last `horizon` seconds is what is asked for; only movement of that time is known."""
    run = exertion()
    for horizon in HORIZONS_S:
        heart = run.hr_bpm.copy()
        heart[500 - horizon + 1 :] += 50.0
        changed = Exertion(athlete="a", start_ns=0, hr_bpm=heart, movement=run.movement)
        now, then = movement_features(changed, horizon)[500], movement_features(run, horizon)[500]
        assert np.array_equal(now, then, equal_nan=True)
        assert now[NAMES.index("hr_before")] == np.float32(run.hr_bpm[500 - horizon])


def test_features_when_later_movement_changes_then_they_stay_the_same() -> None:
    """Movement is known up to now and no further."""
    run, speed = exertion(), exertion().movement["speed"].copy()
    speed[501:] = 9.0
    changed = Exertion(athlete="a", start_ns=0, hr_bpm=run.hr_bpm, movement={"speed": speed})
    assert np.array_equal(movement_features(changed, 30)[500], movement_features(run, 30)[500], equal_nan=True)


def test_rows_when_made_then_persistence_is_the_earlier_heart_rate() -> None:
    """For each horizon the bar is what was measured so many seconds before; what is not measured is unknown."""
    run = exertion()
    rows = activity_rows([run])
    for horizon in HORIZONS_S:
        part = rows.where(rows.slices[f"{horizon}s"])
        second = (part.time_ns // 10**9).astype(int)
        assert second.min() >= WARM_UP_S
        assert np.allclose(part.bars["persistence"], run.hr_bpm[second - horizon])
        assert np.allclose(part.target, run.hr_bpm[second])
        assert np.isnan(part.feature("power_10s")).all()


def test_rows_when_the_heart_rate_is_implausible_then_it_is_unknown() -> None:
    """A strap without contact reports 0; such seconds are neither asked for nor known."""
    run = exertion()
    heart = run.hr_bpm.copy()
    heart[300:400] = 0.0
    rows = activity_rows([Exertion(athlete="a", start_ns=0, hr_bpm=heart, movement=run.movement)])
    assert rows.target.min() > 30.0
    assert np.nanmin(rows.feature("hr_before")) > 30.0


def test_actigraphs_when_read_then_counts_and_steps_are_movement(tmp_path: Path) -> None:
    """An MMASH folder gives one recording an athlete, on a grid of 1 s across midnight."""
    folder = tmp_path / "user_03"
    folder.mkdir()
    pd.DataFrame(
        {
            "Vector Magnitude": [1.0, 2.0, 3.0], "Steps": [0, 1, 2], "HR": [70, 71, 72], "day": [1, 1, 2],
            "time": ["23:59:58", "23:59:59", "00:00:01"],
        }
    ).to_parquet(folder / "Actigraph.parquet")  # fmt: skip
    (found,) = read_exertions([tmp_path])
    assert found.athlete == "user_03"
    assert found.hr_bpm.tolist()[:2] == [70.0, 71.0]
    assert np.isnan(found.hr_bpm[2])
    assert found.movement["cadence"][3] == 120.0


def test_exertions_when_there_are_none_then_says_so(tmp_path: Path) -> None:
    """An empty folder is named in the error, and a refused file with its reason."""
    (tmp_path / "broken.fit").write_bytes(b"no activity")
    with pytest.raises(ConfigError, match=r"broken\.fit"):
        read_exertions([tmp_path])
