"""Which sensors may be connected now: connection slots are counted, and a sensor that failed waits its turn. Pure."""

import random

from edge.sources.ble_choice import Offer
from shared.clock import NS_PER_S
from shared.ids import SensorId
from shared.retry import Backoff

_BACKOFF = Backoff(base_s=0.5, cap_s=20.0)
# A failure older than this says nothing of the adapter: the athlete has moved since.
_RECENT_NS = 60 * NS_PER_S


class Slots:
    """An adapter's connections: at most `capacity`, each sensor at most once, back-off after each failure."""

    def __init__(self, capacity: int, rng: random.Random) -> None:
        self._capacity = capacity
        self._rng = rng
        self._taken: set[SensorId] = set()
        self._failures: dict[SensorId, int] = {}
        self._failed_ns: dict[SensorId, int] = {}
        self._not_before_ns: dict[SensorId, int] = {}

    @property
    def capacity(self) -> int:
        """Connections that the adapter can hold."""
        return self._capacity

    @property
    def free(self) -> int:
        """Connections that the adapter can still take."""
        return self._capacity - len(self._taken)

    def offer(self, sensor: SensorId, now_ns: int) -> Offer:
        """Return what the adapter has for `sensor`."""
        recent = now_ns - self._failed_ns.get(sensor, now_ns) <= _RECENT_NS
        return Offer(
            free=self.free,
            ready=sensor not in self._taken and now_ns >= self._not_before_ns.get(sensor, now_ns),
            failures=self._failures.get(sensor, 0) if recent else 0,
        )

    def take(self, sensor: SensorId, now_ns: int) -> bool:
        """Take a slot for `sensor` if there is one, it holds none and its back-off is over."""
        if self.free <= 0 or sensor in self._taken or now_ns < self._not_before_ns.get(sensor, now_ns):
            return False
        self._taken.add(sensor)
        return True

    def release(self, sensor: SensorId, now_ns: int, *, worked: bool) -> None:
        """Give the slot back; `worked` says that readings had come, which ends the back-off."""
        self._taken.discard(sensor)
        failures = 0 if worked else self._failures.get(sensor, 0) + 1
        self._failures[sensor] = failures
        if failures:
            self._failed_ns[sensor] = now_ns
        wait_s = _BACKOFF.delay_s(failures, self._rng) if failures else 0.0
        self._not_before_ns[sensor] = now_ns + round(wait_s * NS_PER_S)
