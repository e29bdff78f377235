"""Simulated passing plays: the same for a seed, possible for bodies, read back as written, and neither obvious."""

from pathlib import Path

import numpy as np
import pytest
from pyarrow import csv

from cloud.datasets.public.read import read_scenes
from cloud.datasets.scenes import MAN, ZONE
from cloud.datasets.validate.check import validate
from firmware_sim.plays.defence import Habits, draw_call, draw_habits, seven
from firmware_sim.plays.offence import draw_offence
from firmware_sim.plays.play import Play, simulate_play
from firmware_sim.plays.season import write_season
from shared.errors import ConfigError

OPEN = Habits(man=0.5, blitz=0.2, disguise=0.0, press=0.4, matching=0.0, loose=0.0, locked=0.0, reaction_s=0.3)


def plays(count: int, habits: Habits, *, man: bool) -> list[Play]:
    """Return plays of one call."""
    rng = np.random.default_rng(5)
    return [simulate_play(habits, rng, man=man) for _ in range(count)]


def nearest_m(play: Play, frame: int) -> float:
    """Return how far the five receivers are, in the mean, from the nearest of the seven."""
    receivers, guards = play.position_m[frame, 6:11], play.position_m[frame, 15:22]
    return float(np.linalg.norm(receivers[:, None] - guards[None], axis=-1).min(axis=1).mean())


def test_play_when_seed_is_the_same_then_so_is_every_frame() -> None:
    """Rule: one seed, one play; nobody outruns a sprinter, and the pass flies between its marks."""
    habits = draw_habits(np.random.default_rng(1))
    one, same = (simulate_play(habits, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.position_m, same.position_m)
    assert one.snap < one.thrown < one.arrived < len(one.position_m)
    assert np.linalg.norm(one.velocity_mps[:, :22], axis=-1).max() < 10.0
    assert one.positions.count("CB") == one.positions.count("WR")


def test_call_when_man_then_five_follow_and_when_zone_then_nobody() -> None:
    """Rule: man gives each receiver to one of the seven; zone shares the field among all who do not rush."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        offence = draw_offence(rng)
        man, zone = (draw_call(OPEN, offence, rng, man=kind) for kind in (True, False))
        assert sorted(man.receiver[man.receiver >= 0].tolist()) == [0, 1, 2, 3, 4]
        assert not man.rush[man.receiver >= 0].any()
        assert (zone.receiver < 0).all()
        assert 2 <= zone.deep.sum() <= 4
        assert len(seven(offence)) == 7


def test_plays_when_man_then_receivers_are_closer_followed_after_the_snap_and_not_before() -> None:
    """Rule: the call shows in how receivers are followed; where the defence stands says much less."""
    man, zone = (plays(30, OPEN, man=kind) for kind in (True, False))
    late, early = (
        [np.array([nearest_m(play, play.snap + after) for play in kind]) for kind in (man, zone)] for after in (13, 0)
    )
    assert late[0].mean() < late[1].mean() - 0.5
    assert abs(early[0].mean() - early[1].mean()) < 2.0
    assert late[0].max() > late[1].min()  # no threshold tells them all


def test_season_when_written_then_the_loaders_read_it_without_a_bad_row(tmp_path: Path) -> None:
    """Rule: the layout is that of the Big Data Bowl: labels, roles and directions come back, whole games stay whole."""
    assert write_season(tmp_path / "s", games=2, plays=6, seed=4) == 12
    scenes = read_scenes(tmp_path / "s").scenes
    assert validate(tmp_path / "s").passed
    labels = dict.fromkeys(("Man", "Zone"), 0)
    for row in csv.read_csv(tmp_path / "s" / "plays.csv").to_pylist():
        labels[row["pff_manZone"]] += 1
    assert [(scenes.coverage == kind).sum() for kind in (MAN, ZONE)] == [labels["Man"], labels["Zone"]]
    assert set(scenes.game) == {"40000", "40001"}
    assert ((scenes.team == 1).sum(axis=1) == 11).all()
    assert scenes.leftwards.any()
    assert not scenes.leftwards.all()
    assert (scenes.begin - scenes.first[:-1] == 20).all()
    assert (scenes.thrown < scenes.arrived).all()
    with pytest.raises(ConfigError, match="is not empty"):
        write_season(tmp_path / "s", games=1, plays=1, seed=1)
