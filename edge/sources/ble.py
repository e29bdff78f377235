"""Frames from Bluetooth sensors: scan, connect, subscribe, notice a drop, connect again with a fresh client.

The one file that drives bleak. The same code runs on the operating system's adapter and, through a backend, on an
adapter reached over HCI. Bluetooth has no acknowledgement that could wait for a commit: what is sent while the link is
down is gone, and the drop is counted.
"""

import asyncio
import contextlib
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakError
from bleak.uuids import normalize_uuid_str

from edge.links import Link, LinkStatus
from edge.sensors.registry import BY_CHANNEL, SCAN_SERVICES
from edge.settings import BleSettings
from edge.sources.base import Delivery
from edge.sources.ble_slots import Slots
from shared.clock import Clock, stamp
from shared.errors import ConfigError
from shared.ids import SensorId, parse_sensor_id
from shared.log import get_logger
from shared.readings import Frame
from shared.retry import Backoff

_log = get_logger("ble")
_BACKOFF = Backoff(base_s=0.25, cap_s=2.0)
# Neighbours, and phones that change their address every few minutes: what was not heard for longest goes.
_MAX_STRANGERS = 64
# A radio cannot be asked to wait: beyond this many frames (some minutes of a squad's straps) the oldest go.
_MAX_WAITING = 20_000
_BATTERY_UUID = normalize_uuid_str("2a19")
_CHANNELS = {normalize_uuid_str(channel): channel for channel in BY_CHANNEL if len(channel) in (4, 36)}


@dataclass(slots=True)
class SensorLink:
    """What the radio knows of one sensor."""

    connected: bool = False
    connections: int = 0
    rssi_dbm: int | None = None


@dataclass(frozen=True, slots=True)
class _Radio:
    """An open adapter: bleak's backends (None for the system's own) and a future that is done when it is gone."""

    scanner: type[BaseBleakScanner] | None
    client: type[BaseBleakClient] | None
    lost: "asyncio.Future[None]"


@dataclass(frozen=True, slots=True)
class _Air:
    """One run of the adapter and the connections that end with it."""

    radio: _Radio
    tasks: asyncio.TaskGroup


class BleSource:
    """Sensors on the air; only those that `is_wanted` are connected."""

    name = "ble"

    def __init__(self, settings: BleSettings, is_wanted: Callable[[SensorId], bool], clock: Clock) -> None:
        self._settings = settings
        self._is_wanted = is_wanted
        self._clock = clock
        self._slots = Slots(settings.slots, random.Random())
        self._arrived: deque[Delivery] = deque(maxlen=_MAX_WAITING)
        self._filled = asyncio.Event()
        self._link = Link("adapter", "Bluetooth adapter is not available", _log, clock)
        self.links: dict[SensorId, SensorLink] = {}
        self.dropped: Counter[SensorId] = Counter()
        """Frames given up because the store could not keep up; whoever stores gaps takes them from here."""
        self.strangers: Counter[str] = Counter()
        """Advertisements by address of sensors on the air that nobody on the roster wears, the latest heard last."""

    @property
    def status(self) -> LinkStatus:
        """The adapter's state."""
        return self._link.status

    async def run(self) -> None:
        """Keep the adapter open and the wanted sensors connected until cancelled."""
        rng = random.Random()
        attempt = 0
        while True:
            try:
                async with self._open() as radio:
                    await self._listen(radio)
            except* (BleakError, OSError, TimeoutError) as group:
                attempt = 0 if self._link.status.up else attempt + 1
                self._link.failed("; ".join(str(exc) or type(exc).__name__ for exc in group.exceptions))
            await self._clock.sleep(_BACKOFF.delay_s(attempt, rng))

    async def receive(self) -> list[Delivery]:
        """Wait for notifications and return all that have come."""
        await self._filled.wait()
        arrived = list(self._arrived)
        self._arrived.clear()
        self._filled.clear()
        return arrived

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: Bluetooth notifications are not acknowledged by the application."""

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[_Radio]:
        if self._settings.adapter == "system":
            yield _Radio(None, None, asyncio.get_running_loop().create_future())
            return
        # bumble takes most of a second to load, and a gateway with a system adapter does not need it.
        from edge.sources.ble_bumble import open_radio  # noqa: PLC0415

        async with open_radio(self._settings.adapter) as radio:
            yield _Radio(radio.scanner, radio.client, radio.lost)

    async def _listen(self, radio: _Radio) -> None:
        """Scan and connect until the adapter goes."""
        services = [normalize_uuid_str(service) for service in SCAN_SERVICES]
        async with asyncio.TaskGroup() as tasks:
            air = _Air(radio, tasks)

            def on_found(device: BLEDevice, found: AdvertisementData) -> None:
                self._on_found(air, device, found)

            async with BleakScanner(on_found, service_uuids=services, backend=radio.scanner):
                # Only now: the system's adapter is opened by the scanner, and fails there.
                self._link.answered()
                await radio.lost
            raise BleakError(f"adapter {self._settings.adapter} has gone")

    def _on_found(self, air: _Air, device: BLEDevice, found: AdvertisementData) -> None:
        try:
            sensor = parse_sensor_id(device.address.upper())
        except ConfigError:
            return
        if not self._is_wanted(sensor):
            self.meet(sensor)
            return
        link = self.links.setdefault(sensor, SensorLink())
        link.rssi_dbm = found.rssi
        if self._slots.take(sensor, self._clock.mono_ns()):
            air.tasks.create_task(self._wear(air.radio, sensor, device, link), name=f"ble {sensor}")

    def meet(self, stranger: str) -> None:
        """Count a stranger's advertisement; the latest heard stands last."""
        self.strangers[stranger] = self.strangers.pop(stranger, 0) + 1
        if len(self.strangers) > _MAX_STRANGERS:
            del self.strangers[next(iter(self.strangers))]

    async def _wear(self, radio: _Radio, sensor: SensorId, device: BLEDevice, link: SensorLink) -> None:
        """Connect once and pass notifications on until the sensor goes."""
        gone = asyncio.Event()
        worked = False
        client = BleakClient(
            device,
            disconnected_callback=lambda _client: gone.set(),
            timeout=self._settings.connect_timeout_s,
            backend=radio.client,
        )
        try:
            async with client:
                await self._subscribe(client, sensor)
                link.connected, worked = True, True
                link.connections += 1
                await gone.wait()
        except (BleakError, OSError, TimeoutError) as exc:
            _log.debug("sensor did not stay connected", sensor=sensor, problem=str(exc))
        finally:
            link.connected = False
            self._slots.release(sensor, self._clock.mono_ns(), worked=worked)

    async def _subscribe(self, client: BleakClient, sensor: SensorId) -> None:
        for service in client.services:
            for characteristic in service.characteristics:
                channel = _CHANNELS.get(characteristic.uuid)
                if channel is None:
                    continue
                if "notify" in characteristic.properties:
                    await client.start_notify(characteristic, self._listener(sensor, channel))
                if characteristic.uuid == _BATTERY_UUID and "read" in characteristic.properties:
                    self._take(sensor, channel, bytes(await client.read_gatt_char(characteristic)))

    def _listener(self, sensor: SensorId, channel: str) -> Callable[[BleakGATTCharacteristic, bytearray], None]:
        def on_notification(_characteristic: BleakGATTCharacteristic, body: bytearray) -> None:
            self._take(sensor, channel, bytes(body))

        return on_notification

    def _take(self, sensor: SensorId, channel: str, body: bytes) -> None:
        frame = Frame(sensor=sensor, channel=channel, body=body, received=stamp(self._clock))
        if len(self._arrived) == _MAX_WAITING:
            self.dropped[self._arrived[0].frame.sensor] += 1
        self._arrived.append(Delivery(frame=frame))
        self._filled.set()
