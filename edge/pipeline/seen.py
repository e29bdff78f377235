"""Knows which readings have come already: a broker delivers again what was not acknowledged in time. Pure."""

# A broker holds back a few thousand messages at most, over all tags; more memory would only cost memory.
_REMEMBERED = 1024
# A device takes a new origin when it is switched on; one that does so with every message must not fill the memory.
_ORIGINS = 8


class Seen:
    """Remembers the last sequence numbers of each (sensor, stream, origin).

    What is older than the memory counts as new here; the cloud, which holds everything, removes such duplicates.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], set[int]] = {}
        self._origins: dict[tuple[str, str], list[str]] = {}
        self._fresh: list[tuple[tuple[str, str, str], int]] = []

    def begin(self) -> None:
        """From here on what is added can be forgotten again."""
        self._fresh = []

    def forget(self) -> None:
        """Forget what was added since `begin`: it was not taken after all, and will come again."""
        for key, sequence in self._fresh:
            self._known.get(key, set()).discard(sequence)
        self._fresh = []

    def add(self, sensor: str, stream: str, origin: str, sequence: int) -> bool:
        """Remember a reading; return False if it was known."""
        known = self._known.get((sensor, stream, origin))
        if known is None:
            known = self._begin(sensor, stream, origin)
        if sequence in known:
            return False
        known.add(sequence)
        self._fresh.append(((sensor, stream, origin), sequence))
        if len(known) > 2 * _REMEMBERED:
            floor = max(known) - _REMEMBERED
            self._known[sensor, stream, origin] = {n for n in known if n >= floor}
        return True

    def _begin(self, sensor: str, stream: str, origin: str) -> set[int]:
        origins = self._origins.setdefault((sensor, stream), [])
        origins.append(origin)
        if len(origins) > _ORIGINS:
            del self._known[sensor, stream, origins.pop(0)]
        known = self._known[sensor, stream, origin] = set()
        return known
