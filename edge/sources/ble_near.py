"""Sensors held near the gateway, to be paired: strong for long enough, the strongest first. Pure."""

from dataclasses import dataclass

from edge.sources.ble_choice import Signal
from shared.clock import NS_PER_S
from shared.ids import SensorId

# At arm's length and closer; a strap on a chest two metres away is heard 10 dB weaker.
_NEAR_DBM = -45.0
_DWELL_NS = 2 * NS_PER_S
_FORGET_NS = 5 * NS_PER_S
_MAX_TRACKED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Near:
    """One sensor near the gateway."""

    sensor: SensorId
    name: str | None
    rssi_dbm: int
    heard_ns: int
    """Monotonic time."""


@dataclass(slots=True)
class _Track:
    name: str | None
    signal: Signal
    near_since_ns: int | None = None


class Nearby:
    """Follows the strength of sensors on the air; the adapter that hears one best counts."""

    def __init__(self) -> None:
        self._tracks: dict[SensorId, dict[str, _Track]] = {}

    def hear(self, sensor: SensorId, adapter: str, name: str | None, rssi_dbm: int, now_ns: int) -> None:
        """Take one advertisement."""
        tracks = self._tracks.pop(sensor, {})
        self._tracks[sensor] = tracks  # the latest heard stands last
        if len(self._tracks) > _MAX_TRACKED:
            del self._tracks[next(iter(self._tracks))]
        track = tracks.get(adapter)
        if track is None or now_ns - track.signal.heard_ns > _FORGET_NS:
            track = tracks[adapter] = _Track(name, Signal(float(rssi_dbm), now_ns))
        else:
            track.signal.hear(rssi_dbm, now_ns)
        track.name = name or track.name
        if track.signal.level_dbm < _NEAR_DBM:
            track.near_since_ns = None
        elif track.near_since_ns is None:
            track.near_since_ns = now_ns

    def near(self, now_ns: int) -> list[Near]:
        """Return the sensors of at least -45 dBm (smoothed) for at least 2 s, heard within 5 s; strongest first."""
        found = []
        for sensor, tracks in self._tracks.items():
            strong = [track for track in tracks.values() if _is_near(track, now_ns)]
            if strong:
                best = max(strong, key=lambda track: track.signal.level_dbm)
                found.append(
                    Near(
                        sensor=sensor,
                        name=best.name,
                        rssi_dbm=round(best.signal.level_dbm),
                        heard_ns=best.signal.heard_ns,
                    )
                )
        return sorted(found, key=lambda near: -near.rssi_dbm)


def _is_near(track: _Track, now_ns: int) -> bool:
    heard_ns = track.signal.heard_ns
    return (
        now_ns - heard_ns <= _FORGET_NS
        and track.near_since_ns is not None
        and heard_ns - track.near_since_ns >= _DWELL_NS
    )
