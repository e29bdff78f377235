import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.also import speak_on, with_sensors
from firmware_sim.devices.kinds import KINDS, addresses_of, parse_kinds
from firmware_sim.roster import make_roster
from firmware_sim.squad import squad_profiles
from shared.clock import SystemClock
from shared.errors import ConfigError
from shared.roster import read_roster
from tests.tools import ROOT, until


class Counting:
    """A sensor that keeps the moments at which it spoke."""

    period_s = 0.02

    def __init__(self, address: str) -> None:
        self.address = address
        self.spoke: list[float] = []

    async def start(self) -> None:
        """Do nothing."""

    async def speak(self, time_s: float) -> bool:
        """Keep the moment."""
        self.spoke.append(time_s)
        return True


async def test_sensors_when_they_speak_on_then_each_keeps_its_rhythm() -> None:
    """Rule: every period once, by the clock of the run, until cancelled."""
    sensors = [Counting("a"), Counting("b")]
    task = asyncio.create_task(speak_on(sensors, SystemClock()))
    await until(lambda: min(len(sensor.spoke) for sensor in sensors) >= 5)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    for sensor in sensors:
        assert sensor.spoke == pytest.approx([0.02 * (i + 1) for i in range(len(sensor.spoke))])


def test_roster_when_there_are_other_sensors_then_athletes_wear_them_in_turn() -> None:
    """Rule: what is on the air is on the roster, so that the gateway connects it."""
    squad = make_roster(squad_profiles(2, 7))
    kinds = parse_kinds("imu_pod,running_pod, imu_pod")
    worn = with_sensors(squad, kinds).assignments[len(squad.assignments) :]
    assert [assignment.sensor for assignment in worn] == list(addresses_of(kinds))
    assert [assignment.athlete for assignment in worn] == [squad.athletes[i].athlete for i in (0, 1, 0)]
    assert len(set(addresses_of(tuple(KINDS) * 40))) == 40 * len(KINDS)
    assert not {a.sensor for a in squad.assignments} & set(addresses_of(tuple(KINDS) * 40))


def test_kinds_when_one_is_none_then_the_error_names_them_all() -> None:
    """Rule: a slip on the command line says what there is."""
    with pytest.raises(ConfigError, match="running_pod"):
        parse_kinds("runing_pod")
    assert parse_kinds("") == ()


def test_command_when_asked_for_other_sensors_then_the_roster_file_has_them(tmp_path: Path) -> None:
    """Rule: `roster --also` writes what `run --also` puts on the air."""
    out = tmp_path / "roster.json"
    command = [sys.executable, "-m", "firmware_sim", "roster", "--athletes", "3", "--roster-out", str(out)]
    subprocess.run([*command, "--also", "polar_strap,power_meter"], cwd=ROOT, check=True, timeout=60)
    assert set(addresses_of(("polar_strap", "power_meter"))) <= {a.sensor for a in read_roster(out).assignments}
    done = subprocess.run(
        [*command, "--also", "barometer"], cwd=ROOT, check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "barometer" in done.stderr
