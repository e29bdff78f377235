import numpy as np
import pytest

from firmware_sim.pitch import LENGTH_M, WIDTH_M, formation, plan_games, team_numbers
from firmware_sim.scenario import Drill, Plan
from firmware_sim.squad import SimulatedSession, squad_profiles
from shared.errors import ConfigError

RATE_HZ = 10


def walk(athletes: int, seed: int, seconds: int) -> dict[str, np.ndarray]:
    """Run a session; return (steps, athletes) arrays of true speed and acceleration, heart rate, and places."""
    session = SimulatedSession(athletes=athletes, seed=seed)
    rows: dict[str, list[np.ndarray]] = {"speed": [], "acceleration": [], "bpm": [], "x": [], "y": []}
    for _ in range(seconds * RATE_HZ):
        step = session.step()
        motion = session.motion()
        rows["speed"].append(motion.speed_mps)
        rows["acceleration"].append(motion.acceleration_mps2)
        rows["bpm"].append(step.bpm)
        rows["x"].append(step.x_m)
        rows["y"].append(step.y_m)
    return {name: np.array(values) for name, values in rows.items()}


@pytest.mark.parametrize(("athletes", "seed"), [(1, 1), (2, 2), (7, 3), (22, 4), (45, 5), (60, 6), (100, 7)])
def test_squad_when_any_size_then_movement_stays_human(athletes: int, seed: int) -> None:
    """Rule: at most 10 m/s and 8 m/s², on the pitch or a stride beside it, for every squad size."""
    seen = walk(athletes, seed, 330 if athletes <= 22 else 120)
    assert seen["speed"].max() <= 10.0
    assert np.abs(seen["acceleration"]).max() <= 8.0
    assert seen["x"].min() > -5.0
    assert seen["x"].max() < LENGTH_M + 5.0
    assert seen["y"].min() > -5.0
    assert seen["y"].max() < WIDTH_M + 5.0
    jumps = np.hypot(np.diff(seen["x"][:, :-1], axis=0), np.diff(seen["y"][:, :-1], axis=0)) * RATE_HZ
    assert jumps.max() < 11.0


def test_squad_when_in_match_play_then_load_is_that_of_football() -> None:
    """Rule: 22 players in match play cover 90-160 m/min with some high-speed running, and nobody only stands."""
    plan, seen = Plan(7), walk(22, 7, 620)
    playing = np.array([plan.at((k + 1) / RATE_HZ).drill is Drill.MATCH for k in range(620 * RATE_HZ)])
    speed = seen["speed"][playing]
    assert playing.sum() > 1000
    assert 90.0 < speed.mean() * 60.0 < 160.0
    assert 1.0 < (speed * (speed > 5.5)).mean() * 60.0 < 40.0
    assert (speed.max(axis=0) > 3.0).all()
    ball = np.hypot(np.diff(seen["x"][:, -1]), np.diff(seen["y"][:, -1]))[playing[1:]] * RATE_HZ
    assert ball.mean() > 2.0
    assert ball.max() < 35.0


def test_heart_when_the_squad_trains_then_rate_is_possible_and_follows_the_work() -> None:
    """Rule: bpm in [rest - 5, max], varies with the drills, and correlates with the speed of the last half minute."""
    session_s, window = 620, 45 * RATE_HZ
    profiles = squad_profiles(22, 7)
    seen = walk(22, 7, session_s)
    rest, highest = (np.array([getattr(p, name) for p in profiles]) for name in ("hr_rest_bpm", "hr_max_bpm"))
    assert (seen["bpm"] >= rest - 5).all()
    assert (seen["bpm"] <= highest).all()
    for athlete in range(22):
        recent = np.convolve(seen["speed"][:, athlete], np.ones(window) / window, "valid")
        correlation = np.corrcoef(recent, seen["bpm"][window - 1 :, athlete])[0, 1]
        assert correlation > 0.4, (athlete, correlation)
    assert (np.ptp(seen["bpm"], axis=0) > 30.0).all()


def test_beats_when_counted_over_a_minute_then_they_agree_with_the_rate() -> None:
    """Rule: RR intervals add up to the time that passed, and their mean is 60 / bpm."""
    session = SimulatedSession(athletes=4, seed=11)
    steps = [session.step() for _ in range(180 * RATE_HZ)]
    for athlete in range(4):
        rr_s = np.array([rr for step in steps for rr in step.beats_1024[athlete]]) / 1024
        assert rr_s.sum() == pytest.approx(180.0, abs=2.0)
        mean_bpm = np.mean([step.bpm[athlete] for step in steps])
        assert len(rr_s) / 3.0 == pytest.approx(mean_bpm, rel=0.03)
        assert rr_s.min() > 0.27
        assert np.diff(rr_s).std() > 0.001


def test_session_when_the_seed_is_the_same_then_every_step_is_the_same() -> None:
    """Rule: one seed, one session; another seed, another one."""
    first, second, other = (SimulatedSession(athletes=12, seed=seed) for seed in (5, 5, 6))
    for _ in range(300):
        a, b, c = first.step(), second.step(), other.step()
        assert np.array_equal(a.x_m, b.x_m)
        assert np.array_equal(a.bpm, b.bpm)
        assert a.beats_1024 == b.beats_1024
    assert not np.array_equal(a.x_m, c.x_m)
    assert first.roster == second.roster
    assert first.roster != other.roster


@pytest.mark.parametrize("athletes", [0, 101, -3])
def test_squad_when_size_is_out_of_range_then_config_error_names_the_option(athletes: int) -> None:
    """Rule: a wrong number of athletes is a settings error that names its option."""
    with pytest.raises(ConfigError, match="--athletes"):
        squad_profiles(athletes, 1)


@pytest.mark.parametrize("athletes", range(1, 101))
def test_roster_when_any_size_then_everybody_wears_a_tag_and_a_strap(athletes: int) -> None:
    """Rule: names, numbers and sensors are unique; every game has both its teams."""
    roster = SimulatedSession(athletes=athletes, seed=3).roster
    assert len({a.name for a in roster.athletes}) == len({a.number for a in roster.athletes}) == athletes
    assert len({a.sensor for a in roster.assignments}) == len(roster.assignments) == 2 * athletes + 1
    assert sum(sum(plan.sizes) for plan in plan_games(athletes)) == athletes
    assert len(team_numbers(plan_games(athletes))) == athletes


def test_roster_when_default_then_sensors_are_named_as_agreed() -> None:
    """Rule: tags are tag-01.., the ball tag-ball, straps upper-case addresses from C0:00:5E:00:00:01."""
    session = SimulatedSession(athletes=22, seed=7)
    assert session.tags[0] == "tag-01"
    assert session.tags[-2:] == ("tag-22", "tag-ball")
    assert (session.straps[0], session.straps[15]) == ("C0:00:5E:00:00:01", "C0:00:5E:00:00:10")
    assert [a.name for a in session.roster.athletes[:3]] == ["Pell", "Marek", "Okonta"]
    assert [a.team for a in session.roster.athletes] == [0] * 11 + [1] * 11


@pytest.mark.parametrize("size", range(16))
def test_formation_when_any_size_then_it_has_that_many_places(size: int) -> None:
    """Rule: everybody has a place of his own; from five players on one is the goalkeeper."""
    places, keeper = formation(size)
    assert places.shape == (size, 2)
    assert len({tuple(place) for place in places.tolist()}) == size
    assert keeper.sum() == (1 if size >= 5 else 0)
