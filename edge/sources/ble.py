"""Frames from Bluetooth sensors, over one adapter or several.

Each adapter scans and connects on its own (`ble_adapter`); here is decided which one takes which sensor. Bluetooth has
no acknowledgement that could wait for a commit: what is sent while the link is down is gone, and a gap record says so.
A sensor that finds no free slot and sends its heart rate in its advertisements is read from those.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edge.links import LinkStatus
from edge.sensors.commands import conversations
from edge.sensors.registry import BY_CHANNEL, SCAN_SERVICES
from edge.settings import BleSettings
from edge.sources.base import Delivery
from edge.sources.ble_adapter import Adapter, Heard
from edge.sources.ble_advertised import Advertised, company_channels
from edge.sources.ble_choice import FRESH_NS, Choice
from edge.sources.ble_near import Near, Nearby
from edge.sources.ble_watch import SILENT, Flow
from edge.supervise import keep_running
from shared.clock import NS_PER_MS, NS_PER_S, Clock, Stamp, stamp
from shared.ids import SensorId
from shared.readings import Frame, Gap

# Neighbours, and phones that change their address every few minutes: what was not heard for longest goes.
_MAX_STRANGERS = 64
# A radio cannot be asked to wait: beyond this many frames (some minutes of a squad's straps) the oldest go.
_MAX_WAITING = 20_000
_BASE_UUID = "-0000-1000-8000-00805f9b34fb"
_OURS = frozenset(f"0000{name}{_BASE_UUID}" if len(name) == 4 else name for name in SCAN_SERVICES)
_CONSIDER_NS = 100 * NS_PER_MS
_ADVERTISING_NS = 5 * NS_PER_S
_LOOK_S = 1.0


@dataclass(slots=True, eq=False)
class SensorLink:
    """What the radio knows of one sensor that is worn."""

    flow: Flow
    advertised: Advertised
    connected: bool = False
    connections: int = 0
    rssi_dbm: int | None = None
    adapter: str | None = None
    holder: Adapter | None = None
    """Who holds its connection, or tries to."""
    heard_ns: int = 0
    considered_ns: int | None = None

    def mode(self, now_ns: int) -> Literal["connected", "advertising"] | None:
        """Return how its readings come now."""
        if self.connected:
            return "connected"
        return "advertising" if self.advertised.is_read(now_ns, _ADVERTISING_NS) else None


class BleSource:
    """Sensors on the air; only those that `is_wanted` are connected."""

    name = "ble"

    def __init__(self, settings: BleSettings, is_wanted: Callable[[SensorId], bool], clock: Clock) -> None:
        self._settings = settings
        self._is_wanted = is_wanted
        self._clock = clock
        talks = conversations(settings.polar_streams, settings.movesense_paths)
        self.adapters = [Adapter(given, settings, talks, self, clock) for given in settings.each()]
        self._companies = company_channels(BY_CHANNEL)
        self._choice = Choice()
        self._nearby = Nearby()
        self._arrived: deque[Delivery] = deque(maxlen=_MAX_WAITING)
        self._filled = asyncio.Event()
        self._gaps: list[Gap] = []
        self.links: dict[SensorId, SensorLink] = {}
        self.dropped: Counter[SensorId] = Counter()
        self.dropped_frames = 0
        """Frames given up because the store could not keep up; whoever stores gaps takes them from here."""
        self.strangers: Counter[str] = Counter()
        """Advertisements by address of sensors on the air that nobody on the roster wears, the latest heard last."""

    @property
    def status(self) -> LinkStatus:
        """Up while any adapter is; the problem names those that are not."""
        states = [adapter.link.status for adapter in self.adapters]
        if len(states) == 1:
            return states[0]
        up = [state for state in states if state.up]
        problems = [
            f"{adapter.name}: {state.problem}"
            for adapter, state in zip(self.adapters, states, strict=True)
            if not state.up
        ]
        since_ns = min(state.since_ns for state in up) if up else max(state.since_ns for state in states)
        return LinkStatus(link="adapter", up=bool(up), since_ns=since_ns, problem="; ".join(problems) or None)

    async def run(self) -> None:
        """Keep the adapters open and the wanted sensors connected until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for adapter in self.adapters:
                name = f"adapter {adapter.name}"
                tasks.create_task(keep_running(name, adapter.run, self._clock), name=name)
            tasks.create_task(self._watch(), name="ble watch")

    async def receive(self) -> list[Delivery]:
        """Wait for notifications and return all that have come."""
        await self._filled.wait()
        arrived = list(self._arrived)
        self._arrived.clear()
        self._filled.clear()
        return arrived

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: Bluetooth notifications are not acknowledged by the application."""

    def take_gaps(self) -> list[Gap]:
        """Return what is known to be missing since the last call."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def end(self) -> list[Gap]:
        """Return also what is missing until now; for use when the session ends."""
        now = stamp(self._clock)
        for link in self.links.values():
            self._keep(link.flow.end(now))
        return self.take_gaps()

    def reassigned(self) -> None:
        """The roster changed: let go the sensors that nobody wears any longer; the others connect when next heard."""
        for sensor, link in list(self.links.items()):
            if self._is_wanted(sensor):
                continue
            self._keep(link.flow.end(stamp(self._clock)))
            if link.holder is not None:
                link.holder.let_go(sensor)

    def near(self) -> list[Near]:
        """Return the sensors held near the gateway, the strongest first."""
        return self._nearby.near(self._clock.mono_ns())

    def heard_best(self, adapter: str) -> int:
        """Return how many worn sensors this adapter is the one to hear."""
        return self._choice.owned(adapter, self._clock.mono_ns())

    def meet(self, stranger: str) -> None:
        """Count a stranger's advertisement; the latest heard stands last."""
        self.strangers[stranger] = self.strangers.pop(stranger, 0) + 1
        if len(self.strangers) > _MAX_STRANGERS:
            del self.strangers[next(iter(self.strangers))]

    def on_heard(self, adapter: Adapter, heard: Heard) -> None:
        """An advertisement came: count a stranger's, read or connect a worn sensor."""
        now_ns = self._clock.mono_ns()
        sensor = heard.sensor
        wanted = self._is_wanted(sensor)
        if not wanted and _OURS.isdisjoint(heard.services) and self._companies.keys().isdisjoint(heard.companies):
            return  # a phone, a lamp
        self._nearby.hear(sensor, adapter.name, heard.name, heard.rssi_dbm, now_ns)
        if not wanted:
            self.meet(sensor)
            return
        self._choice.hear(sensor, adapter.name, heard.rssi_dbm, now_ns)
        link = self._link(sensor)
        link.heard_ns = now_ns
        if link.holder is not None:
            return  # a connected sensor's advertisements are no readings
        if self._choice.owner(sensor, now_ns) == adapter.name:
            link.rssi_dbm, link.adapter = self._choice.level_dbm(sensor, now_ns), adapter.name
            self._read_advertisement(sensor, link, heard)
        if link.considered_ns is None or now_ns - link.considered_ns >= _CONSIDER_NS:
            self._consider(sensor, link, now_ns)

    def on_frame(self, adapter: Adapter, sensor: SensorId, channel: str, body: bytes, *, notified: bool) -> None:  # noqa: ARG002
        """A connected sensor sent something; what was read on request (battery, model) is no sign of life."""
        now = stamp(self._clock)
        if notified and BY_CHANNEL[channel].name != "battery" and self._is_wanted(sensor):
            self._keep(self._link(sensor).flow.come(channel, now))
        self._take(sensor, channel, body, now)

    def on_connected(self, adapter: Adapter, sensor: SensorId, *, continuous: bool) -> None:
        """A sensor is connected and subscribed."""
        link = self._link(sensor)
        link.connected, link.adapter = True, adapter.name
        link.connections += 1
        if not self._is_wanted(sensor):  # taken off while it was being connected
            adapter.let_go(sensor)
        elif continuous:
            link.flow.watch(self._clock.mono_ns())

    def on_disconnected(self, adapter: Adapter, sensor: SensorId, why: str | None) -> None:
        """A sensor's connection, or the attempt, is over."""
        link = self._link(sensor)
        if link.holder is not adapter:
            return
        if link.connected and why is not None and self._is_wanted(sensor):
            link.flow.lose(why)
        link.connected, link.holder, link.considered_ns = False, None, None

    def on_gone(self, adapter: Adapter) -> None:
        """An adapter went: the others' ears count now."""
        self._choice.forget(adapter.name)

    def _link(self, sensor: SensorId) -> SensorLink:
        link = self.links.get(sensor)
        if link is None:
            flow = Flow(sensor, round(self._settings.silent_s * NS_PER_S))
            link = self.links[sensor] = SensorLink(flow, Advertised(self._companies))
        return link

    def _read_advertisement(self, sensor: SensorId, link: SensorLink, heard: Heard) -> None:
        now = stamp(self._clock)
        for channel, body in link.advertised.read(heard.companies, now.mono_ns):
            self._keep(link.flow.come(channel, now))
            self._take(sensor, channel, body, now)

    def _consider(self, sensor: SensorId, link: SensorLink, now_ns: int) -> None:
        """Connect a sensor over the adapter that suits it best, if it is its turn."""
        up = [adapter for adapter in self.adapters if adapter.is_up]
        if not self._choice.is_settled(sensor, [adapter.name for adapter in up], now_ns):
            return
        link.considered_ns = now_ns
        can_wait = self._can_wait(link)
        if can_wait and sum(adapter.slots.free for adapter in up) <= self._needing(up, now_ns):
            return
        chosen = self._choice.pick(sensor, {a.name: a.offer(sensor, now_ns) for a in up}, now_ns)
        if chosen is not None:
            holder = next(adapter for adapter in up if adapter.name == chosen)
            link.holder, link.adapter = holder, chosen
            if not holder.hold(sensor):
                link.holder = None
        elif not can_wait:
            self._make_room(sensor, up, now_ns)

    def _can_wait(self, link: SensorLink) -> bool:
        """Return whether all that is wanted of a sensor stands in its advertisements."""
        return link.advertised.tells and not self._settings.polar_streams

    def _needing(self, up: Sequence[Adapter], now_ns: int) -> int:
        """Return how many sensors on the air wait for a slot and cannot be read without one."""
        return sum(
            link.holder is None
            and now_ns - link.heard_ns < FRESH_NS
            and not self._can_wait(link)
            and self._is_wanted(sensor)
            and any(adapter.offer(sensor, now_ns).ready for adapter in up)
            for sensor, link in self.links.items()
        )

    def _make_room(self, sensor: SensorId, up: Sequence[Adapter], now_ns: int) -> None:
        """Let go one sensor that can be read from its advertisements, where the other would get its slot."""
        for adapter in up:
            offer = adapter.offer(sensor, now_ns)
            if (
                offer.free
                or not offer.ready
                or offer.failures
                or not self._choice.is_heard(sensor, adapter.name, now_ns)
            ):
                continue
            for other, link in self.links.items():
                if link.holder is adapter and link.connected and self._can_wait(link):
                    link.connected = False  # at once, so that no second one is let go for the same slot
                    adapter.let_go(other)
                    return

    async def _watch(self) -> None:
        """Once a second: connections that went silent, adapters that went deaf."""
        while True:
            await self._clock.sleep(_LOOK_S)
            now_ns = self._clock.mono_ns()
            for sensor, link in self.links.items():
                if link.connected and link.holder is not None and link.flow.is_stalled(now_ns):
                    link.flow.is_silent(now_ns)
                    link.flow.lose(SILENT)
                    link.holder.let_go(sensor, failed=True)
            for adapter in self.adapters:  # also when all that were heard are connected: others may not be heard yet
                adapter.check(now_ns)

    def _keep(self, gap: Gap | None) -> None:
        if gap is not None:
            self._gaps.append(gap)

    def _take(self, sensor: SensorId, channel: str, body: bytes, now: Stamp) -> None:
        frame = Frame(sensor=sensor, channel=channel, body=body, received=now)
        if len(self._arrived) == _MAX_WAITING:
            self.dropped[self._arrived[0].frame.sensor] += 1
            self.dropped_frames += 1
        self._arrived.append(Delivery(frame=frame))
        self._filled.set()
