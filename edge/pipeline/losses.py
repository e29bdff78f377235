"""How many readings of sensors that count theirs did not come. Pure."""

from collections import deque
from dataclasses import dataclass, field

from shared.clock import NS_PER_S
from shared.ids import SensorId

_WINDOW_S = 60
_FEWEST_EXPECTED = 10


@dataclass(slots=True)
class _Count:
    origin: str
    highest: int
    seconds: deque[list[int]] = field(default_factory=deque)
    """[second of arrival, numbers passed, readings that came], the last minute's."""
    passed: int = 0
    came: int = 0
    """Sums over `seconds`."""

    def begin(self, second: int, passed: int, came: int) -> None:
        """Take the first readings of a second; what is older than the last minute goes."""
        self.seconds.append([second, passed, came])
        self.forget(second - _WINDOW_S)

    def forget(self, until: int) -> None:
        """Leave out what came up to a second."""
        while self.seconds and self.seconds[0][0] <= until:
            _, passed, came = self.seconds.popleft()
            self.passed -= passed
            self.came -= came


class Losses:
    """Follows the numbers of each sensor's streams."""

    def __init__(self) -> None:
        self._counts: dict[SensorId, dict[str, _Count]] = {}

    def add(self, sensor: SensorId, stream: str, origin: str, first: int, count: int, mono_ns: int) -> None:
        """Readings `first` to `first + count - 1` of a stream came, none of them for the second time."""
        streams = self._counts.get(sensor)
        if streams is None:
            streams = self._counts[sensor] = {}
        known = streams.get(stream)
        if known is None or known.origin != origin:  # a device that was switched on counts anew
            known = streams[stream] = _Count(origin=origin, highest=first - 1)
        passed = first + count - 1 - known.highest
        if passed > 0:
            known.highest += passed
        else:
            passed = 0
        known.passed += passed
        known.came += count
        second = mono_ns // NS_PER_S
        newest = known.seconds[-1] if known.seconds else None
        if newest is None or newest[0] != second:
            known.begin(second, passed, count)
            return
        newest[1] += passed
        newest[2] += count

    def percent(self, sensor: SensorId, now_ns: int) -> float | None:
        """Return the share of the last minute's readings that did not come, in %; None where nothing is counted.

        Expected are the numbers that the device's count passed, came what arrived, in the stream of which most came:
        one number may count messages of which only some hold a second stream, as a tag's battery. One that comes late
        makes up for its gap. None below ten expected readings.
        """
        since = now_ns // NS_PER_S - _WINDOW_S
        streams = self._counts.get(sensor, {}).values()
        for known in streams:
            known.forget(since)
        came, expected = max(((known.came, known.passed) for known in streams), default=(0, 0))
        if expected < _FEWEST_EXPECTED:
            return None
        return round(100.0 * max(0.0, 1.0 - came / expected), 1)
