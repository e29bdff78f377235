"""Knows which readings have come already: a broker delivers again what was not acknowledged in time. Pure."""

from collections import defaultdict

# A broker holds back a few thousand messages at most, over all tags; more memory would only cost memory.
_REMEMBERED = 1024


class Seen:
    """Remembers the last sequence numbers of each (sensor, stream, origin).

    What is older than the memory counts as new here; the cloud, which holds everything, removes such duplicates.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], set[int]] = defaultdict(set)

    def add(self, sensor: str, stream: str, origin: str, sequence: int) -> bool:
        """Remember a reading; return False if it was known."""
        known = self._known[sensor, stream, origin]
        if sequence in known:
            return False
        known.add(sequence)
        if len(known) > 2 * _REMEMBERED:
            floor = max(known) - _REMEMBERED
            self._known[sensor, stream, origin] = {n for n in known if n >= floor}
        return True
