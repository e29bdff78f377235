"""Who wears which sensor, at a time; a sensor may change hands while a session runs."""

import bisect
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from edge.durable import LOCAL_DISK, Disk, keep_file
from shared.errors import StoreError
from shared.ids import BALL, AthleteId, SensorId
from shared.metrics.base import Profile
from shared.readings import Readings, select
from shared.roster import Assignment, Roster, encode_roster, profile_of

# A Bluetooth address, or the UUID that macOS gives in its place: people write both in either case. Names of tags differ
# by case.
_ADDRESS = re.compile(r"([0-9A-F]{2}:){5}[0-9A-F]{2}|[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)


class Wearers:
    """Looks up a roster; assignments hold from their time until the sensor's next one."""

    def __init__(self, roster: Roster) -> None:
        self._history: dict[SensorId, list[tuple[int, AthleteId | None]]] = defaultdict(list)
        self._made: set[tuple[SensorId, int]] = set()
        """Changes of this run, by sensor and the time from which they hold."""
        self._athletes = {AthleteId(athlete.athlete) for athlete in roster.athletes} | {BALL}
        self._roster = msgspec.structs.replace(
            roster,
            assignments=[msgspec.structs.replace(a, sensor=as_heard(a.sensor)) for a in roster.assignments],
        )
        for assignment in sorted(self._roster.assignments, key=lambda a: a.from_ns):
            athlete = None if assignment.athlete is None else AthleteId(assignment.athlete)
            self._history[SensorId(assignment.sensor)].append((assignment.from_ns, athlete))

    @property
    def roster(self) -> Roster:
        """The roster as it stands, Bluetooth addresses in capitals as the radio reports them."""
        return self._roster

    def has_athlete(self, athlete: AthleteId) -> bool:
        """Return whether the roster names this athlete, or it is the ball."""
        return athlete in self._athletes

    def is_known(self, sensor: SensorId) -> bool:
        """Return whether anybody wears this sensor, or has worn it."""
        return sensor in self._history

    def is_worn(self, sensor: SensorId, now_ns: int) -> bool:
        """Return whether somebody wears this sensor now, or is going to."""
        planned = any(from_ns > now_ns and athlete is not None for from_ns, athlete in self._history.get(sensor, ()))
        return planned or self.wearer(sensor, now_ns) is not None

    def wearer(self, sensor: SensorId, time_ns: int) -> AthleteId | None:
        """Return who wore the sensor at a time, or None."""
        worn: AthleteId | None = None
        for from_ns, athlete in self._history.get(sensor, ()):
            if from_ns > time_ns:
                break
            worn = athlete
        return worn

    def wearer_of(self, sensor: SensorId, times_ns: Sequence[int]) -> tuple[AthleteId | None, bool]:
        """Return who wore the sensor at the first of these times, and whether it may have changed hands within them."""
        history = self._history.get(sensor)
        if not history:
            return None, False
        from_ns, athlete = history[-1]
        if from_ns <= (times_ns[0] if len(times_ns) == 1 else min(times_ns)):
            return athlete, False
        return self.wearer(sensor, times_ns[0]), len(times_ns) > 1

    def worn(self, block: Readings) -> list[Readings]:
        """Return a block that names the wearer of its first reading, in parts if the sensor changed hands within it."""
        changes = [from_ns for from_ns, _ in self._history.get(block.sensor, ())]
        if len(block) == 1 or not changes or changes[-1] <= int(block.time_ns.min()):
            return [block]
        spans = np.searchsorted(np.array(changes, np.int64), block.time_ns, side="right")
        return [
            replace(part, athlete=self.wearer(block.sensor, int(part.time_ns[0])))
            for part in (select(block, spans == span) for span in np.unique(spans).tolist())
        ]

    def assign(self, sensor: SensorId, athlete: AthleteId | None, now_ns: int) -> SensorId:
        """Let `athlete` wear `sensor` from now on (None takes it off); return the sensor's id as the radio says it.

        What was measured before stays its former wearer's, also when it arrives later.
        """
        self.clock_set(now_ns)
        heard = SensorId(as_heard(sensor))
        if athlete == self.wearer(heard, now_ns):
            return heard  # tapped twice, or a stranger's taken off
        self._made.add((heard, now_ns))
        bisect.insort(self._history[heard], (now_ns, athlete), key=lambda change: change[0])
        assignments = [*self._roster.assignments, Assignment(sensor=heard, athlete=athlete, from_ns=now_ns)]
        self._roster = msgspec.structs.replace(self._roster, assignments=assignments)
        return heard

    def clock_set(self, now_ns: int, shift_ns: int = 0) -> bool:
        """Move the changes of this run when the clock is set forwards by `shift_ns`; none stays in the future.

        Return whether there were any. What the roster file plans for later stays.
        """
        moved = {(sensor, at_ns): min(at_ns + max(0, shift_ns), now_ns) for sensor, at_ns in self._made}
        moved = {change: to_ns for change, to_ns in moved.items() if to_ns != change[1]}
        for sensor in {sensor for sensor, _ in moved}:
            changes = [(moved.get((sensor, at_ns), at_ns), athlete) for at_ns, athlete in self._history[sensor]]
            self._history[sensor] = sorted(changes, key=lambda change: change[0])
        self._made = {(sensor, moved.get((sensor, at_ns), at_ns)) for sensor, at_ns in self._made}
        assignments = [
            msgspec.structs.replace(a, from_ns=moved.get((SensorId(a.sensor), a.from_ns), a.from_ns))
            for a in self._roster.assignments
        ]
        self._roster = msgspec.structs.replace(self._roster, assignments=assignments)
        return bool(moved)

    def profiles(self) -> dict[AthleteId, Profile]:
        """Return what the metrics need to know of each athlete."""
        return {AthleteId(a.athlete): profile_of(a, self._roster) for a in self._roster.athletes}


def keep_roster(roster: Roster, path: Path, disk: Disk = LOCAL_DISK) -> None:
    """Write a roster file whole or not at all, so that a power cut leaves the old one or the new one.

    Raises: StoreError when it cannot be written.
    """
    try:
        keep_file(path, encode_roster(roster), disk)
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror or exc}") from exc


def as_heard(sensor: str) -> str:
    """Return a sensor's id as its radio reports it: Bluetooth addresses in capitals."""
    return sensor.upper() if _ADDRESS.fullmatch(sensor) else sensor
