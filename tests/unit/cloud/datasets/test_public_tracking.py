from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cloud.datasets.positions import read_recordings
from cloud.datasets.public.read import layout_of, read_scenes
from cloud.datasets.public.tracks import at_10_hz
from cloud.datasets.recorded_scenes import recorded_scenes, scenes_from_table
from cloud.datasets.scenes import NOBODY, UNKNOWN_COVERAGE, Field
from cloud.settings import Layout
from shared.errors import ConfigError
from shared.features.team import BALL_TEAM
from tests import file_samples
from tests import tracking_files as files


def test_zxy_when_read_then_20_hz_becomes_10_and_long_silences_stay_open(tmp_path: Path) -> None:
    """Tags are interpolated onto one grid; a silence over 0.3 s is unknown; tags that lie still are left out."""
    scenes = read_scenes(files.zxy(tmp_path)).scenes
    assert (len(scenes), scenes.player[0].tolist()) == (1, ["5", "7"])
    assert np.allclose(scenes.xy_m[:, 0, 0], 10.0 + 0.4 * np.arange(len(scenes.xy_m)), atol=1e-3)
    assert np.allclose(scenes.velocity_mps[:, 0], (4.0, 0.0), atol=1e-5)
    assert np.allclose(scenes.facing_rad[:, 0], 0.0, atol=1e-6)
    known = np.isfinite(scenes.xy_m[:, 1]).all(axis=-1)
    assert not known[31:35].any()
    assert known[[29, 36]].all()
    assert np.allclose(scenes.xy_m[known, 1, 0], scenes.xy_m[known, 0, 0], atol=1e-3), "a tag off the beat"


def test_zxy_when_a_silence_is_short_then_it_is_bridged_in_a_straight_line(tmp_path: Path) -> None:
    """Up to 0.3 s between two positions is a straight line."""
    scenes = read_scenes(files.zxy(tmp_path, silent_s=(3.0, 3.2))).scenes
    assert np.allclose(scenes.xy_m[1:-1, 1, 0], scenes.xy_m[1:-1, 0, 0], atol=1e-3)


def test_hockey_when_the_camera_was_elsewhere_then_a_new_scene_begins(tmp_path: Path) -> None:
    """Feet become metres, every third frame counts, and tracks of another shot are not absent players of this one."""
    scenes = read_scenes(files.hockey(tmp_path)).scenes
    assert scenes.game.tolist() == ["2022-02-08 A at B"] * 2
    assert np.diff(scenes.first).tolist() == [20, 10]
    assert scenes.team.tolist() == [[1, 0], [1, NOBODY]]
    assert scenes.player.tolist() == [["1", "2"], ["9", ""]]
    assert np.allclose(scenes.xy_m[:20, 0, 0], (100.5 + 1.5 * np.arange(20)) * 0.3048, atol=1e-3)
    assert scenes.field == Field(length_m=200 * 0.3048, width_m=85 * 0.3048)


@pytest.mark.parametrize("vendor", ["Metrica CSV", "SkillCorner", "Tracab", "Metrica EPTS", "Sportec"])
def test_match_when_read_with_kloppy_then_positions_are_metres_from_a_corner(tmp_path: Path, vendor: str) -> None:
    """A vendor's point comes out in metres from the corner where x and y begin, y upwards, on a 105 x 68 m pitch."""
    endings = {"SkillCorner": (".jsonl", ".json"), "Tracab": (".dat", ".xml"), "Metrica EPTS": (".xml", ".txt")}
    suffixes = endings.get(vendor, (".csv", ".csv") if vendor == "Metrica CSV" else (".xml", ".xml"))
    for number, (body, suffix) in enumerate(zip(file_samples.SAMPLES[vendor], suffixes, strict=True)):
        (tmp_path / f"part{number}{suffix}").write_bytes(body)
    scenes = read_scenes(tmp_path).scenes
    assert scenes.field == Field(length_m=105.0, width_m=68.0)
    assert BALL_TEAM in scenes.team
    expected = {"Tracab": (105.0, 68.0), "Metrica CSV": (10.0, 17.0)}
    home = scenes.xy_m[0, scenes.team[0] == 0]
    assert np.allclose(home[0], expected.get(vendor, (10.0, 51.0)), atol=0.01)
    assert np.isnan(scenes.velocity_mps).all()


def test_match_when_damaged_then_the_error_names_the_folder(tmp_path: Path) -> None:
    """A damaged vendor file is a ConfigError, not kloppy's own."""
    raw, meta = file_samples.SAMPLES["Tracab"]
    (tmp_path / "raw.dat").write_bytes(raw)
    (tmp_path / "meta.xml").write_bytes(meta[:200])
    with pytest.raises(ConfigError, match="damaged"):
        read_scenes(tmp_path)


def test_recording_when_read_as_scenes_then_positions_are_those_of_the_recording(tmp_path: Path) -> None:
    """Files and tables of our own give the same positions, on ground of unknown size."""
    folder = files.recording(tmp_path)
    loaded = read_scenes(folder)
    own = recorded_scenes(read_recordings(folder / "squad.parquet"))
    assert (loaded.report.layout, loaded.scenes.field) == ("recordings", None)
    assert loaded.scenes.game.tolist() == own.game.tolist() == ["s1", "s2"]
    assert loaded.scenes.player.tolist() == own.player.tolist() == [["a1", "a2", "ball"]] * 2
    assert loaded.scenes.team.tolist() == own.team.tolist() == [[0, 1, BALL_TEAM]] * 2
    both = np.isfinite(own.xy_m) & np.isfinite(loaded.scenes.xy_m[: len(own.xy_m)])
    assert both.mean() > 0.95
    assert np.allclose(own.xy_m[both], loaded.scenes.xy_m[: len(own.xy_m)][both], atol=1e-5)
    assert (own.coverage == UNKNOWN_COVERAGE).all()


def test_tables_when_there_are_none_then_the_error_says_what_to_run(tmp_path: Path) -> None:
    """Nothing recorded is an error that tells how to go on."""
    with pytest.raises(ConfigError, match="python -m cloud pipeline"):
        scenes_from_table(Layout(tmp_path))


@pytest.mark.parametrize("write", [files.big_data_bowl, files.next_gen_stats, files.zxy, files.hockey, files.recording])
def test_scenes_when_read_twice_then_the_digest_is_the_same(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    """The same files give the same bytes."""
    folder = write(tmp_path)
    assert read_scenes(folder).scenes.digest() == read_scenes(folder).scenes.digest()


def test_path_when_its_layout_is_not_known_then_the_error_lists_those_that_are(tmp_path: Path) -> None:
    """An unknown folder is refused, an absent one said to be absent."""
    (tmp_path / "letters.txt").write_text("a", encoding="utf-8")
    with pytest.raises(ConfigError, match="no layout that is known: ngs, bdb"):
        layout_of(tmp_path)
    with pytest.raises(ConfigError, match="is not there"):
        layout_of(tmp_path / "nothing")


def test_tracks_when_at_10_hz_then_rows_name_the_row_they_come_from(tmp_path: Path) -> None:
    """Between two rows the row before is named, so that a finding leads back to the file."""
    folder = files.zxy(tmp_path)
    layout = layout_of(folder)
    tracks = layout.read(layout.sources(folder, None)[0], None)
    even = at_10_hz(tracks)
    of_first = even.player == 0
    assert even.row[of_first].tolist() == tracks.row[tracks.player == 0][::2].tolist()
    assert len(pq.read_table(folder / "tracking.parquet")) >= even.row.max()


def test_tracks_when_frames_are_absurdly_far_apart_then_reading_ends_with_an_error(tmp_path: Path) -> None:
    """One frame number with too many digits does not take all memory."""
    table = files.rows()
    table[5]["frameId"] = 900_000_000
    with pytest.raises(ConfigError, match="too far apart"):
        read_scenes(files.big_data_bowl(tmp_path, tracking=table))
