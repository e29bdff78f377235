import numpy as np
import pytest

from firmware_sim.athlete import make_athletes
from firmware_sim.heart import Hearts, metabolic_power

RATE_HZ = 10


def hearts() -> tuple[Hearts, np.ndarray, np.ndarray]:
    """Return four hearts with their rest and maximum rates."""
    profiles = make_athletes(3, (0, 0, 1, 1))
    rest, highest = (np.array([getattr(p, name) for p in profiles], float) for name in ("hr_rest_bpm", "hr_max_bpm"))
    return Hearts(profiles, np.random.default_rng(3)), rest, highest


def run(squad: Hearts, speed_mps: float, seconds: int) -> np.ndarray:
    """Run steadily; return bpm of each step."""
    speed, acceleration = np.full(4, speed_mps), np.zeros(4)
    seen = []
    for _ in range(seconds * RATE_HZ):
        squad.step(speed, acceleration, 1.0 / RATE_HZ)
        seen.append(squad.bpm.copy())
    return np.array(seen)


@pytest.mark.parametrize(
    ("speed_mps", "acceleration_mps2", "w_kg"), [(4.0, 0.0, 18.58), (4.0, 2.0, 48.1), (0.0, 3.0, 0.0)]
)
def test_metabolic_power_when_published_values_are_given_then_they_come_out(
    speed_mps: float, acceleration_mps2: float, w_kg: float
) -> None:
    """Rule: the equivalent-slope model with KT 1.29 gives 48.1 W/kg at 4 m/s and 2 m/s²."""
    power = metabolic_power(np.array([speed_mps]), np.array([acceleration_mps2]))
    assert power[0] == pytest.approx(w_kg, abs=0.05)


def test_heart_when_running_starts_then_it_rises_exponentially_to_a_plateau() -> None:
    """Rule: first-order kinetics: most of the rise within two minutes, hardly any after four."""
    squad, _, highest = hearts()
    rise = run(squad, 3.3, 300)
    start, two, four, end = rise[0], rise[120 * RATE_HZ], rise[240 * RATE_HZ], rise[-1]
    assert (two - start > 0.75 * (end - start)).all()
    assert (np.abs(end - four) < 4.0).all()
    assert (end <= highest).all()


def test_heart_when_running_faster_then_it_beats_faster() -> None:
    """Rule: the plateau grows with speed, and is different for each athlete."""
    plateaus = []
    for speed_mps in (1.2, 2.2, 3.2):
        squad, _, _ = hearts()
        plateaus.append(run(squad, speed_mps, 240)[-1])
    assert (np.diff(np.array(plateaus), axis=0) > 8.0).all()
    assert np.ptp(plateaus[1]) > 3.0


def test_heart_when_work_ends_then_it_recovers_and_fatigue_keeps_it_higher() -> None:
    """Rule: recovery towards rest; after hard work the same walk costs more beats than before."""
    squad, rest, _ = hearts()
    fresh = run(squad, 1.0, 240)[-1]
    hard = run(squad, 3.8, 900)[-1]
    tired = run(squad, 1.0, 400)[-1]
    assert (hard - tired > 30.0).all()
    assert (tired >= rest).all()
    assert (tired > fresh).all()
