from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cloud.datasets.public.football import YARD_M
from cloud.datasets.public.read import read_scenes
from cloud.datasets.scenes import MAN, NO_FRAME, ROLES, UNKNOWN_COVERAGE, ZONE, Scenes, normalise_direction
from cloud.datasets.validate.check import validated
from shared.errors import ConfigError
from tests import tracking_files as files

WITH_EVENTS = [files.big_data_bowl, files.big_data_bowl_2021, files.big_data_bowl_2023, files.next_gen_stats]
EVERY = [*WITH_EVENTS, files.big_data_bowl_2026]


def frame(scenes: Scenes, absolute: int) -> int:
    """Return a frame counted from 1, as the files do."""
    return absolute - int(scenes.first[0]) + 1


@pytest.mark.parametrize("write", EVERY)
def test_football_when_read_then_all_layouts_say_the_same(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """Metres, velocities anticlockwise from +x, roles, sides and directions are the same whatever the layout."""
    scenes = read_scenes(write(tmp_path)).scenes
    runners = slice(0, len(files.RUNNERS))
    at = int(scenes.first[0]) + files.SNAP - 1
    expected = np.array([item.at(files.SNAP) for item in files.RUNNERS]) * YARD_M
    assert np.allclose(scenes.xy_m[at, runners], expected, atol=1e-4)
    speed = files.SPEED_YD_S * YARD_M
    velocity = np.array([(speed, 0.0) if item.club == "KC" else (0.0, speed) for item in files.RUNNERS])
    assert np.allclose(scenes.velocity_mps[at, runners], velocity, atol=1e-5)
    assert np.allclose(scenes.facing_rad[at, runners], -np.pi / 2, atol=1e-6), "180 degrees clockwise from +y is -y"
    assert scenes.team[0].tolist() == [1] * 11 + [0] * 11 + [-1]
    roles = [ROLES[code] for code in scenes.role[0]]
    assert (roles[0], roles[5], roles[11], roles[15], roles[17], roles[22]) == ("QB", "OL", "DL", "LB", "DB", "ball")
    assert scenes.player[0, 0] == "30000"
    assert scenes.player[0, 22] == "ball"
    assert scenes.leftwards.tolist() == [False, True]
    assert (scenes.game[0], scenes.play.tolist()) == (str(files.GAME), [str(play) for play in files.PLAYS])


@pytest.mark.parametrize("write", WITH_EVENTS)
def test_football_when_events_are_read_then_the_play_runs_from_snap_to_tackle(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    """Begin, end, throw and arrival are absolute frames of the source's events."""
    scenes = read_scenes(write(tmp_path)).scenes
    marks = [frame(scenes, int(value[0])) for value in (scenes.begin, scenes.end, scenes.thrown, scenes.arrived)]
    assert marks == [files.SNAP, files.TACKLE, files.THROW, files.CATCH]


def test_bdb2026_when_read_then_output_follows_input_and_the_ball_lands(tmp_path: Path) -> None:
    """The output's frames go on where the input ends, for predicted players alone; the ball is where it came down."""
    scenes = read_scenes(files.big_data_bowl_2026(tmp_path)).scenes
    assert np.diff(scenes.first).tolist() == [files.CATCH, files.CATCH]
    marks = [frame(scenes, int(value[0])) for value in (scenes.begin, scenes.end, scenes.thrown, scenes.arrived)]
    assert marks == [1, files.CATCH, files.THROW, files.CATCH]
    last = scenes.xy_m[scenes.arrived[0]]
    known = np.flatnonzero(np.isfinite(last[:22]).all(axis=-1))
    assert [files.RUNNERS[player].position for player in known] == ["WR"] * 3 + ["CB"] * 3
    expected = [files.RUNNERS[player].at(files.CATCH) for player in known]
    assert np.allclose(last[known], np.array(expected) * YARD_M, atol=1e-4)
    assert np.allclose(last[22], np.array([70.0, 20.0]) * YARD_M, atol=1e-4)
    assert scenes.coverage.tolist() == [MAN, ZONE]


def test_bdb_when_coverage_is_labelled_then_scenes_carry_it(tmp_path: Path) -> None:
    """Man and zone come from plays.csv; a layout without labels says that it does not know."""
    for number, write in enumerate((files.big_data_bowl, files.big_data_bowl_2023)):
        assert read_scenes(write(tmp_path / str(number))).scenes.coverage.tolist() == [MAN, ZONE]
    without = read_scenes(files.big_data_bowl_2021(tmp_path / "b")).scenes
    assert without.coverage.tolist() == [UNKNOWN_COVERAGE] * 2


def test_bdb_when_weeks_are_chosen_then_only_they_are_read(tmp_path: Path) -> None:
    """Other weeks' files are not opened; a week that is not there is an error that names it."""
    folder = files.big_data_bowl(tmp_path, weeks=(1, 2, 3))
    (folder / "tracking_week_2.csv").write_text("not a table", encoding="utf-8")
    loaded = read_scenes(folder, [1, 3])
    assert sorted(set(loaded.scenes.game)) == [str(files.GAME), str(files.GAME + 2)]
    assert loaded.report.rows == 2 * 2 * 23 * files.FRAMES
    with pytest.raises(ConfigError, match="no plays of weeks 9"):
        read_scenes(folder, [9])


def test_bdb_when_a_person_marked_no_snap_then_the_machines_mark_counts(tmp_path: Path) -> None:
    """`autoevent_ballsnap` is a fallback: beside a `ball_snap` it is not looked at."""
    table = files.rows()
    for row in table:
        if row["frameId"] == 3:
            row["event"] = "autoevent_ballsnap"
        if row["playId"] == files.PLAYS[1] and row["event"] == "ball_snap":
            row["event"] = "NA"
    scenes = read_scenes(files.big_data_bowl(tmp_path, tracking=table)).scenes
    assert (scenes.begin - scenes.first[:-1] + 1).tolist() == [files.SNAP, 3]


def test_ngs_when_a_play_never_begins_then_it_is_left_out_and_counted(tmp_path: Path) -> None:
    """A play without a snap or kick cannot be measured on."""
    folder = files.next_gen_stats(tmp_path)
    second = folder / f"{files.GAME}_{files.PLAYS[1]}_KC_BUF.tsv"
    second.write_text(second.read_text(encoding="utf-8").replace("ball_snap", "shift"), encoding="utf-8")
    loaded = read_scenes(folder)
    assert (len(loaded.scenes), loaded.report.left_out) == (1, 1)


def test_ngs_when_a_frame_is_missing_then_it_stays_empty(tmp_path: Path) -> None:
    """A gap in the frames is unknown positions, not time that closes up."""
    folder = files.next_gen_stats(tmp_path)
    first = folder / f"{files.GAME}_{files.PLAYS[0]}_KC_BUF.tsv"
    lines = first.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if "\t19\t30000.0\t" not in line]
    assert len(kept) == len(lines) - 1
    first.write_text("\n".join(kept), encoding="utf-8")
    scenes = read_scenes(folder).scenes
    assert np.isnan(scenes.xy_m[19, 0]).all()
    assert np.isfinite(scenes.xy_m[[18, 20], 0]).all()


def test_tracking_when_a_column_is_missing_then_the_error_names_file_and_column(tmp_path: Path) -> None:
    """Nothing is guessed in place of a column."""
    table = [{name: value for name, value in row.items() if name not in {"dir", "s"}} for row in files.rows()]
    folder = files.big_data_bowl(tmp_path, tracking=table)
    with pytest.raises(ConfigError, match=r"tracking_week_1\.csv: lacks the columns s, dir"):
        read_scenes(folder)


def test_scenes_when_normalised_then_the_offence_runs_along_x(tmp_path: Path) -> None:
    """A play to the left is turned by half a turn, positions, velocities and facing alike."""
    scenes = read_scenes(files.big_data_bowl(tmp_path)).scenes
    turned = normalise_direction(scenes)
    at = int(scenes.begin[1])
    assert np.allclose(turned.xy_m[at, 0] + scenes.xy_m[at, 0], [120 * YARD_M, 160 / 3 * YARD_M], atol=1e-4)
    assert np.allclose(turned.velocity_mps[at, 0], -scenes.velocity_mps[at, 0])
    assert np.array_equal(turned.xy_m[scenes.begin[0]], scenes.xy_m[scenes.begin[0]])
    assert (scenes.thrown != NO_FRAME).all()


def test_ngs_when_one_id_is_no_number_then_directions_and_sides_stay_right(tmp_path: Path) -> None:
    """A single unreadable id makes its column text; what is looked up by the others' ids is found all the same."""
    folder = files.next_gen_stats(tmp_path)
    second = folder / f"{files.GAME}_{files.PLAYS[1]}_KC_BUF.tsv"
    lines = second.read_text(encoding="utf-8").splitlines()
    lines[5] = "x" + lines[5]
    second.write_text("\n".join(lines), encoding="utf-8")
    scenes = validated(folder).scenes
    assert scenes.leftwards.tolist() == [False, True]
    assert np.isnan(scenes.xy_m[scenes.first[1] + 4, 0]).all()


@pytest.mark.parametrize("content", ["", "a\n1,2\n", "\x00\x01", '"gameId","playId\n1'])
def test_bdb_when_a_file_is_no_table_then_it_is_refused_by_name(tmp_path: Path, content: str) -> None:
    """Whatever stands in a file, the error is ours and names it."""
    folder = files.big_data_bowl(tmp_path)
    (folder / "tracking_week_1.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"tracking_week_1\.csv"):
        read_scenes(folder)


def test_ngs_when_the_parquet_is_damaged_then_it_is_refused_by_name(tmp_path: Path) -> None:
    """A cut Parquet file is an error of ours."""
    for name in ("tracking.parquet", "plays.parquet"):
        (tmp_path / name).write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(ConfigError, match=r"plays\.parquet"):
        read_scenes(tmp_path)
