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

    def recent(self, since: int) -> tuple[int, int]:
        """Return how many readings came after a second, and how many numbers they passed."""
        recent = [(passed, came) for second, passed, came in self.seconds if second > since]
        return sum(came for _, came in recent), sum(passed for passed, _ in recent)


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
        second = mono_ns // NS_PER_S
        seconds = known.seconds
        newest = seconds[-1] if seconds else None
        if newest is not None and newest[0] == second:
            newest[1] += passed
            newest[2] += count
            return
        seconds.append([second, passed, count])
        while seconds[0][0] <= second - _WINDOW_S:
            seconds.popleft()

    def percent(self, sensor: SensorId, now_ns: int) -> float | None:
        """Return the share of the last minute's readings that did not come, in %; None where nothing is counted.

        Expected are the numbers that the device's count passed, came what arrived, in the stream of which most came:
        one number may count messages of which only some hold a second stream, as a tag's battery. One that comes late
        makes up for its gap. None below ten expected readings.
        """
        since = now_ns // NS_PER_S - _WINDOW_S
        streams = [known.recent(since) for known in self._counts.get(sensor, {}).values()]
        came, expected = max(streams, default=(0, 0))
        if expected < _FEWEST_EXPECTED:
            return None
        return round(100.0 * max(0.0, 1.0 - came / expected), 1)
