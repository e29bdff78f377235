"""Which adapter is to hold a sensor: by smoothed signal, free slots and recent failures, with hysteresis. Pure."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shared.clock import NS_PER_S
from shared.ids import SensorId

SWITCH_DB = 16.0
"""A sensor's advertisements move to another adapter only when it hears them this much better (as in habluetooth)."""
FRESH_NS = 10 * NS_PER_S
"""An adapter that heard nothing of a sensor for this long does not hear it."""
_SETTLE_NS = NS_PER_S
"""So long a new sensor waits for every adapter to have heard it: the slowest usual advertising interval."""
# A person's turn takes about a second and costs some 10 dB; the mean over this time evens out neither less nor more.
_SMOOTHING_NS = 2 * NS_PER_S
_FAILURE_DB = 10.0
_MOST_FAILURES = 3
_LAST_SLOT_DB = 6.0


@dataclass(slots=True)
class Signal:
    """A sensor's signal as one adapter hears it: exponential mean over time, in dBm."""

    level_dbm: float
    heard_ns: int

    def hear(self, rssi_dbm: int, now_ns: int) -> None:
        """Take one advertisement's strength; after a long silence the mean begins anew."""
        elapsed_ns = now_ns - self.heard_ns
        share = 1.0 if elapsed_ns > FRESH_NS else 1.0 - math.exp(-elapsed_ns / _SMOOTHING_NS)
        self.level_dbm += share * (rssi_dbm - self.level_dbm)
        self.heard_ns = now_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What an adapter has for a sensor: free slots, whether its back-off is over, and how often it failed lately."""

    free: int
    ready: bool
    failures: int


@dataclass(slots=True)
class _Heard:
    first_ns: int
    owner: str
    signals: dict[str, Signal] = field(default_factory=dict)


class Choice:
    """Remembers who hears whom how well."""

    def __init__(self) -> None:
        self._sensors: dict[SensorId, _Heard] = {}

    def hear(self, sensor: SensorId, adapter: str, rssi_dbm: int, now_ns: int) -> None:
        """One advertisement of `sensor` came to `adapter`."""
        heard = self._sensors.get(sensor)
        if heard is None or not any(_fresh(signal, now_ns) for signal in heard.signals.values()):
            heard = self._sensors[sensor] = _Heard(first_ns=now_ns, owner=adapter)
        signal = heard.signals.get(adapter)
        if signal is None:
            signal = heard.signals[adapter] = Signal(float(rssi_dbm), now_ns)
        else:
            signal.hear(rssi_dbm, now_ns)
        if adapter == heard.owner:
            return
        owner = heard.signals.get(heard.owner)
        margin_db = 0.0 if now_ns - heard.first_ns < _SETTLE_NS else SWITCH_DB
        if owner is None or not _fresh(owner, now_ns) or signal.level_dbm - owner.level_dbm >= margin_db:
            heard.owner = adapter

    def forget(self, adapter: str) -> None:
        """The adapter has gone: what it heard no longer counts."""
        for heard in self._sensors.values():
            heard.signals.pop(adapter, None)

    def owner(self, sensor: SensorId, now_ns: int) -> str | None:
        """Return the adapter whose advertisements of `sensor` count."""
        heard = self._sensors.get(sensor)
        return heard.owner if heard is not None and _hears(heard, heard.owner, now_ns) else None

    def is_heard(self, sensor: SensorId, adapter: str, now_ns: int) -> bool:
        """Return whether `adapter` hears `sensor`."""
        heard = self._sensors.get(sensor)
        return heard is not None and _hears(heard, adapter, now_ns)

    def owned(self, adapter: str, now_ns: int) -> int:
        """Return how many sensors `adapter` is the one to hear."""
        return sum(self.owner(sensor, now_ns) == adapter for sensor in self._sensors)

    def level_dbm(self, sensor: SensorId, now_ns: int) -> int | None:
        """Return the smoothed strength at the sensor's owner."""
        owner = self.owner(sensor, now_ns)
        return None if owner is None else round(self._sensors[sensor].signals[owner].level_dbm)

    def is_settled(self, sensor: SensorId, adapters: Collection[str], now_ns: int) -> bool:
        """Return whether every working adapter has heard the sensor, or had its time to."""
        heard = self._sensors.get(sensor)
        if heard is None:
            return False
        return now_ns - heard.first_ns >= _SETTLE_NS or all(_hears(heard, adapter, now_ns) for adapter in adapters)

    def pick(self, sensor: SensorId, offers: Mapping[str, Offer], now_ns: int) -> str | None:
        """Return the adapter that is to connect `sensor` now, or None.

        Among those that hear it, have a slot and are past their back-off: the highest of smoothed dBm, less 10 for
        each recent failure (at most three), less 6 where only one slot is left, plus 16 for the sensor's owner.
        """
        heard = self._sensors.get(sensor)
        if heard is None:
            return None

        def score_db(adapter: str) -> float:
            offer = offers[adapter]
            return (
                heard.signals[adapter].level_dbm
                - _FAILURE_DB * min(offer.failures, _MOST_FAILURES)
                - _LAST_SLOT_DB * (offer.free == 1)
                + SWITCH_DB * (adapter == heard.owner)
            )

        able = [a for a, offer in offers.items() if offer.free > 0 and offer.ready and _hears(heard, a, now_ns)]
        return max(able, key=score_db, default=None)


def _fresh(signal: Signal, now_ns: int) -> bool:
    return now_ns - signal.heard_ns <= FRESH_NS


def _hears(heard: _Heard, adapter: str, now_ns: int) -> bool:
    signal = heard.signals.get(adapter)
    return signal is not None and _fresh(signal, now_ns)
