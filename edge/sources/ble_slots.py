"""Which sensors may be connected now: connection slots are counted, and a sensor that failed waits its turn. Pure."""

import random

from shared.clock import NS_PER_S
from shared.ids import SensorId
from shared.retry import Backoff

_BACKOFF = Backoff(base_s=0.5, cap_s=20.0)


class Slots:
    """An adapter's connections: at most `capacity`, each sensor at most once, back-off after each failure."""

    def __init__(self, capacity: int, rng: random.Random) -> None:
        self._capacity = capacity
        self._rng = rng
        self._taken: set[SensorId] = set()
        self._failures: dict[SensorId, int] = {}
        self._not_before_ns: dict[SensorId, int] = {}

    @property
    def free(self) -> int:
        """Connections that the adapter can still take."""
        return self._capacity - len(self._taken)

    def take(self, sensor: SensorId, now_ns: int) -> bool:
        """Take a slot for `sensor` if there is one, it holds none and its back-off is over."""
        if self.free <= 0 or sensor in self._taken or now_ns < self._not_before_ns.get(sensor, 0):
            return False
        self._taken.add(sensor)
        return True

    def release(self, sensor: SensorId, now_ns: int, *, worked: bool) -> None:
        """Give the slot back; `worked` says that data had come, which ends the back-off."""
        self._taken.discard(sensor)
        failures = 0 if worked else self._failures.get(sensor, 0) + 1
        self._failures[sensor] = failures
        wait_s = _BACKOFF.delay_s(failures, self._rng) if failures else 0.0
        self._not_before_ns[sensor] = now_ns + round(wait_s * NS_PER_S)
