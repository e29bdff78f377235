"""The loaders on real recordings, where they are: numbers of the protocol that anybody can measure again."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud.datasets.public.activities import read_activities
from cloud.datasets.public.football import YARD_M
from cloud.datasets.public.read import read_scenes
from cloud.datasets.scenes import ROLES, Scenes
from cloud.datasets.validate.check import validate
from tests.tools import OPEN_DATA, missing

RESTRICTED = OPEN_DATA.parent / "restricted"
HISTORY, STEP_M = 10, 1.5


def real(path: Path) -> Path:
    """Return a folder of real recordings, or skip."""
    return path if path.exists() else missing(f"{path.name} in ../shared/data")


@pytest.fixture(scope="module")
def highlights() -> Scenes:
    """Return the plays of the Next Gen Stats highlights."""
    return read_scenes(real(RESTRICTED / "nfl_ngs_highlights")).scenes


def straight_on(scenes: Scenes, ahead: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the errors [windows, ahead] in m of standing still and of going on at the last step's velocity.

    A window every second of a play, 1.0 s of history, players known throughout, no step over 1.5 m in 0.1 s.
    """
    spans = zip(scenes.first[:-1], scenes.begin, scenes.end, strict=True)
    newest = np.concatenate(
        [np.arange(max(begin, first + HISTORY), end - ahead + 1, 10) for first, begin, end in spans]
    )
    steps = np.zeros(scenes.xy_m.shape[:2], np.bool_)
    steps[1:] = np.linalg.norm(np.diff(scenes.xy_m, axis=0), axis=-1) < STEP_M
    whole = np.all([steps[newest + offset] for offset in range(1 - HISTORY, ahead + 1)], axis=0)
    whole &= scenes.team[np.searchsorted(scenes.first, newest, side="right") - 1] >= 0
    path = np.stack([scenes.xy_m[newest + offset] for offset in range(-1, ahead + 1)], axis=2)[whole]
    velocity = path[:, 1:2] - path[:, 0:1]
    moved = path[:, 2:] - path[:, 1:2]
    straight = velocity * np.arange(1, ahead + 1, dtype=np.float32)[:, None]
    return np.linalg.norm(moved, axis=-1), np.linalg.norm(moved - straight, axis=-1)


@pytest.mark.parametrize(
    ("ahead", "still", "straight"),
    [(10, (1.75, 3.20), (0.38, 0.91)), (20, (3.31, 6.32), (1.20, 3.02)), (40, (6.05, 11.65), (3.69, 8.96))],
)
def test_next_gen_stats_when_read_then_the_protocols_baselines_come_out(
    highlights: Scenes, ahead: int, still: tuple[float, float], straight: tuple[float, float]
) -> None:
    """ADE and FDE in yards of both baselines, to the protocol's two decimals."""
    for errors, expected in zip(straight_on(highlights, ahead), (still, straight), strict=True):
        assert (errors.mean() / YARD_M, errors[:, -1].mean() / YARD_M) == pytest.approx(expected, abs=0.006)


def test_next_gen_stats_when_read_then_stated_velocity_is_that_of_the_positions(highlights: Scenes) -> None:
    """Speed and direction are turned into x and y the right way round, and roles and sides are whole."""
    scenes = highlights
    assert (len(scenes), scenes.players) == (281, 23)
    differenced = np.diff(scenes.xy_m[:, :22], axis=0) * 10
    inside = np.ones(len(scenes.xy_m) - 1, np.bool_)
    inside[scenes.first[1:-1] - 1] = False
    apart = np.linalg.norm(differenced - scenes.velocity_mps[1:, :22], axis=-1)[inside]
    assert np.nanmedian(apart) < 0.1
    assert (np.sort(scenes.team, axis=1) == np.sort([-1] + [0] * 11 + [1] * 11)).all()
    assert (scenes.role != ROLES.index("unknown")).all()
    assert int((scenes.thrown >= 0).sum()) == 216


def test_zxy_when_read_then_the_protocols_baselines_come_out() -> None:
    """ADE and FDE in metres at 2 s; stated velocities are those of the positions."""
    scenes = read_scenes(real(RESTRICTED / "soccer_zxy_tromso")).scenes
    for errors, expected in zip(straight_on(scenes, 20), ((2.44, 4.49), (1.18, 2.82)), strict=True):
        assert (errors.mean(), errors[:, -1].mean()) == pytest.approx(expected, abs=0.006)
    apart = np.linalg.norm(np.diff(scenes.xy_m, axis=0) * 10 - scenes.velocity_mps[1:], axis=-1)
    assert np.nanmean(apart) < 0.1


def test_hockey_when_read_then_the_protocols_baselines_come_out_within_a_hundredth() -> None:
    """ADE and FDE in metres at 2 s; the protocol's windows begin with each track, ours with each shot of the camera."""
    scenes = read_scenes(real(RESTRICTED / "hockey_bdc2022")).scenes
    for errors, expected in zip(straight_on(scenes, 20), ((2.88, 5.01), (2.45, 5.32)), strict=True):
        assert (errors.mean(), errors[:, -1].mean()) == pytest.approx(expected, rel=0.01)


def test_vendors_when_read_then_players_are_on_the_pitch(tmp_path: Path) -> None:
    """Excerpts of real matches of four vendors."""
    samples = real(OPEN_DATA / "tracking_format_samples")
    for vendor in (
        ("metrica_home.csv", "metrica_away.csv"),
        ("skillcorner_meta_data.json", "skillcorner_v3_raw_data.jsonl"),
        ("sportec_meta.xml", "sportec_positional.xml"),
        ("tracab_meta.xml", "tracab_raw.dat"),
    ):
        folder = tmp_path / vendor[0]
        folder.mkdir()
        for name in vendor:
            (folder / name).write_bytes((samples / name).read_bytes())
        scenes = read_scenes(folder).scenes
        assert scenes.field is not None
        known = scenes.xy_m[np.isfinite(scenes.xy_m).all(axis=-1)]
        inside = (known >= -5).all(axis=-1) & (known <= (scenes.field.length_m + 5, scenes.field.width_m + 5)).all(
            axis=-1
        )
        assert len(known) > 20
        assert inside.all()


def test_activities_when_read_then_good_files_give_seconds_and_damaged_ones_a_reason() -> None:
    """Every file of real devices is either read or refused by name."""
    found = read_activities(real(OPEN_DATA / "activities"))
    names = {Path(activity.file).name for activity in found.activities}
    assert {"Edge810-Vector-2013-08-16-15-35-10.fit", "2009_08_30_21_17_25.tcx", "TacxNeo.fit.zip"} <= names
    assert {"activity-filecrc.fit", "activity-unexpected-eof.fit"} <= {Path(name).name for name in found.refused}
    ride = next(item for item in found.activities if item.file.endswith("Edge810-Vector-2013-08-16-15-35-10.fit"))
    assert (ride.sport, len(ride)) == ("cycling", 4700)
    assert 100 < np.nanmean(ride.hr_bpm) < 200
    assert 50 < np.nanmean(ride.power_w) < 400


def test_zxy_when_validated_then_the_one_doubled_reading_is_found() -> None:
    """Real data: a tag reported the same twentieth of a second twice, and runs beyond the line are notes."""
    report = validate(real(RESTRICTED / "soccer_zxy_tromso"))
    assert report.files[0].broken["duplicate_frame"] == report.bad_rows == 1
    assert report.files[0].broken["off_field"] > 100
