"""Sensors beside the squad's straps and tags: each speaks in its own rhythm until the run ends."""

import asyncio
from collections.abc import Sequence

from firmware_sim.devices.kinds import Speaker, addresses_of
from shared.clock import NS_PER_S, Clock
from shared.roster import Assignment, Roster


def with_sensors(roster: Roster, kinds: Sequence[str]) -> Roster:
    """Return the roster with these sensors given to its athletes, one after the other."""
    assignments = [
        Assignment(sensor=address, athlete=roster.athletes[number % len(roster.athletes)].athlete)
        for number, address in enumerate(addresses_of(kinds))
    ]
    return Roster(athletes=roster.athletes, assignments=[*roster.assignments, *assignments], teams=roster.teams)


async def speak_on(sensors: Sequence[Speaker], clock: Clock) -> None:
    """Let sensors speak until cancelled."""
    began_ns = clock.mono_ns()
    async with asyncio.TaskGroup() as tasks:
        for sensor in sensors:
            tasks.create_task(_speak_on(sensor, clock, began_ns), name=f"sensor {sensor.address}")


async def _speak_on(sensor: Speaker, clock: Clock, began_ns: int) -> None:
    """Let one sensor speak every `period_s`; a late turn does not move the ones after it."""
    turn = 0
    while True:
        turn += 1
        due_s = turn * sensor.period_s
        await clock.sleep(max(0.0, due_s - (clock.mono_ns() - began_ns) / NS_PER_S))
        await sensor.speak(due_s)
