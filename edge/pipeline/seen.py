"""Knows which readings have come already: a broker delivers again what was not acknowledged in time. Pure."""

# A broker holds back a few thousand messages at most, over all tags; more memory would only cost memory.
_REMEMBERED = 2048
_ALL = (1 << _REMEMBERED) - 1
# A device takes a new origin when it is switched on; one that does so with every message must not fill the memory.
_ORIGINS = 8
_Key = tuple[str, str, str]
_Known = tuple[int, int]
"""The highest number that came, and a bit for it (the lowest) and for each below it that came."""


class Seen:
    """Remembers of each (sensor, stream, origin) which of the 2,048 sequence numbers up to the highest have come.

    What is older than the memory counts as new here; the cloud, which holds everything, removes such duplicates.
    """

    def __init__(self) -> None:
        self._known: dict[_Key, _Known] = {}
        self._origins: dict[tuple[str, str], list[str]] = {}
        self._before: dict[_Key, _Known] = {}

    def begin(self) -> None:
        """From here on what is added can be forgotten again."""
        self._before = {}

    def forget(self) -> None:
        """Forget what was added since `begin`: it was not taken after all, and will come again."""
        self._known.update({key: known for key, known in self._before.items() if key in self._known})
        self._before = {}

    def add(self, sensor: str, stream: str, origin: str, sequence: int) -> bool:
        """Remember a reading; return False if it was known."""
        key = (sensor, stream, origin)
        known = self._known.get(key)
        if known is None:
            known = self._begin(key, sequence)
        highest, came = known
        ahead = sequence - highest
        if ahead > 0:
            came = (came << ahead | 1) & _ALL if ahead < _REMEMBERED else 1
            highest = sequence
        else:
            bit = 1 << -ahead if -ahead < _REMEMBERED else 0
            if came & bit:
                return False
            came |= bit
        if key not in self._before:
            self._before[key] = known
        self._known[key] = (highest, came)
        return True

    def _begin(self, key: _Key, sequence: int) -> _Known:
        sensor, stream, origin = key
        origins = self._origins.setdefault((sensor, stream), [])
        origins.append(origin)
        if len(origins) > _ORIGINS:
            del self._known[sensor, stream, origins.pop(0)]
        known = self._known[key] = (sequence, 0)
        return known
