"""Who wears which sensor, at a time."""

import re
from collections import defaultdict

import msgspec

from shared.ids import AthleteId, SensorId
from shared.metrics.base import Profile
from shared.roster import Roster, profile_of

# A Bluetooth address, or the UUID that macOS gives in its place: people write both in either case. Names of tags differ
# by case.
_ADDRESS = re.compile(r"([0-9A-F]{2}:){5}[0-9A-F]{2}|[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)


class Wearers:
    """Looks up a roster; assignments hold from their time until the sensor's next one."""

    def __init__(self, roster: Roster) -> None:
        self._roster = msgspec.structs.replace(
            roster,
            assignments=[msgspec.structs.replace(a, sensor=_as_heard(a.sensor)) for a in roster.assignments],
        )
        self._history: dict[SensorId, list[tuple[int, AthleteId]]] = defaultdict(list)
        for assignment in sorted(self._roster.assignments, key=lambda a: a.from_ns):
            self._history[SensorId(assignment.sensor)].append((assignment.from_ns, AthleteId(assignment.athlete)))

    @property
    def roster(self) -> Roster:
        """The roster as read, Bluetooth addresses in capitals as the radio reports them."""
        return self._roster

    def is_known(self, sensor: SensorId) -> bool:
        """Return whether anybody wears this sensor."""
        return sensor in self._history

    def wearer(self, sensor: SensorId, time_ns: int) -> AthleteId | None:
        """Return who wore the sensor at a time, or None."""
        worn: AthleteId | None = None
        for from_ns, athlete in self._history.get(sensor, ()):
            if from_ns > time_ns:
                break
            worn = athlete
        return worn

    def profiles(self) -> dict[AthleteId, Profile]:
        """Return what the metrics need to know of each athlete."""
        return {AthleteId(a.athlete): profile_of(a, self._roster) for a in self._roster.athletes}


def _as_heard(sensor: str) -> str:
    return sensor.upper() if _ADDRESS.fullmatch(sensor) else sensor
