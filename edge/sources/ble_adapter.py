"""One Bluetooth adapter: opened, scanned and supervised on its own; it holds the connections it is told to.

Scanning takes every advertisement, without a filter by service: some straps advertise no service at all (Polar's heart
rate stands in manufacturer data), and BlueZ's filter would hide them. Duplicates are wanted too: BlueZ would otherwise
report a heart rate once and stay silent until it changes.
"""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from bleak import BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakError

from edge.links import Link
from edge.sensors.commands import Conversation
from edge.settings import AdapterSettings, BleSettings
from edge.sources.ble_choice import Offer
from edge.sources.ble_connection import BATTERY, Connection
from edge.sources.ble_slots import Slots
from edge.sources.ble_watch import ADAPTER_LOST, OUT_OF_RANGE
from edge.supervise import apart, stop_if_cancelled
from shared.clock import NS_PER_S, Clock
from shared.errors import ConfigError
from shared.ids import SensorId, parse_sensor_id
from shared.log import FailureLog, get_logger
from shared.retry import Backoff

_log = get_logger("ble")
_BACKOFF = Backoff(base_s=0.25, cap_s=2.0)
_DEAF_NS = 30 * NS_PER_S
"""An adapter that hears nothing at all for this long is started again: some stop scanning without a word."""
_HEALTHY_NS = 10 * NS_PER_S
"""One that went sooner than this is loose in its socket: it is opened again more slowly each time."""
_ANSWER_S = 5.0
_MAX_DEVICES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One advertisement: strength, name, services (full UUIDs) and manufacturer data by company."""

    sensor: SensorId
    rssi_dbm: int
    name: str | None
    services: tuple[str, ...]
    companies: Mapping[int, bytes]


class Ears(Protocol):
    """Who hears what an adapter hears."""

    def on_heard(self, adapter: "Adapter", heard: Heard) -> None:
        """An advertisement came."""

    def on_frame(self, adapter: "Adapter", sensor: SensorId, channel: str, body: bytes, *, notified: bool) -> None:
        """A connected sensor sent something, or answered a read."""

    def on_connected(self, adapter: "Adapter", sensor: SensorId, *, continuous: bool) -> None:
        """A sensor is connected and subscribed; `continuous` says that it sends all the time."""

    def on_disconnected(self, adapter: "Adapter", sensor: SensorId, why: str | None) -> None:
        """A sensor's connection, or the attempt, is over and its slot free; `why` is None when it was let go."""

    def on_gone(self, adapter: "Adapter") -> None:
        """The adapter is not there any longer."""


@dataclass(frozen=True, slots=True)
class _Radio:
    """An open adapter: bleak's backends (None for the system's own), its name there, and when it is gone."""

    scanner: type[BaseBleakScanner] | None
    client: type[BaseBleakClient] | None
    system_name: str | None
    lost: "asyncio.Future[None]"


@dataclass(slots=True, eq=False)
class _Holding:
    """One connection under way."""

    task: "asyncio.Task[None] | None" = None
    failed: bool = False
    ending: bool = False
    """It is being left: who cancels that leaves the sensor connected and sending."""
    readings: int = 0


class Adapter:
    """One adapter and its connections; `run` keeps it open."""

    def __init__(
        self, given: AdapterSettings, settings: BleSettings, talks: tuple[Conversation, ...], ears: Ears, clock: Clock
    ) -> None:
        self.name = given.adapter
        self.slots = Slots(given.slots or settings.slots, random.Random())
        self.link = Link("adapter", "Bluetooth adapter is not available", _log, clock)
        self._settings = settings
        self._talks = talks
        self._ears = ears
        self._clock = clock
        self._devices: dict[SensorId, BLEDevice] = {}
        self._held: dict[SensorId, _Holding] = {}
        self._told: set[SensorId] = set()
        """Sensors that have said what they are."""
        # A controller makes one connection at a time, and BlueZ aborts the one for the other.
        self._connecting = asyncio.Lock()
        self._deaf = asyncio.Event()
        self._deafness = FailureLog(_log, "adapter hears nothing, scanning anew")
        self._heard_ns = 0
        self._up_ns = 0
        self._radio: _Radio | None = None
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def is_up(self) -> bool:
        """Whether the adapter scans and takes sensors."""
        return self.link.status.up and self._tasks is not None

    def offer(self, sensor: SensorId, now_ns: int) -> Offer:
        """Return what this adapter has for a sensor."""
        return self.slots.offer(sensor, now_ns)

    def hold(self, sensor: SensorId) -> bool:
        """Begin to connect a sensor that this adapter has heard; False if it cannot."""
        device, radio, tasks = self._devices.get(sensor), self._radio, self._tasks
        if device is None or radio is None or tasks is None or not self.slots.take(sensor, self._clock.mono_ns()):
            return False
        holding = self._held[sensor] = _Holding()
        holding.task = tasks.create_task(self._wear(radio, sensor, device, holding), name=f"ble {sensor}")
        # Not in the task's own `finally`: a task that is cancelled before its first step has none.
        holding.task.add_done_callback(lambda task: self._release(sensor, holding, radio, task))
        return True

    def let_go(self, sensor: SensorId, *, failed: bool = False) -> None:
        """End a sensor's connection, with its stop commands; `failed` makes it wait before the next."""
        holding = self._held.get(sensor)
        if holding is not None and holding.task is not None and not holding.ending:
            holding.ending = True
            holding.failed = failed and not holding.readings
            holding.task.cancel()

    def check(self, now_ns: int) -> None:
        """Start scanning again if nothing was heard for too long."""
        if self.is_up and now_ns - self._heard_ns >= _DEAF_NS:
            self._deafness.failed(self.name)
            self._heard_ns = now_ns
            self._deaf.set()

    async def run(self) -> None:
        """Keep the adapter open until cancelled."""
        rng = random.Random()
        attempt = 0
        while True:
            try:
                async with self._open() as radio:
                    await apart(partial(self._serve, radio))
            except* (BleakError, OSError, EOFError, TimeoutError) as group:
                attempt = 0 if self.link.status.up and self._held_long() else attempt + 1
                self.link.failed("; ".join(str(exc) or type(exc).__name__ for exc in group.exceptions))
            stop_if_cancelled()  # an adapter that cannot be closed in peace raises in its place
            await self._clock.sleep(_BACKOFF.delay_s(attempt, rng))

    def _held_long(self) -> bool:
        return self._clock.mono_ns() - self._up_ns >= _HEALTHY_NS

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[_Radio]:
        kind, _, system_name = self.name.partition(":")
        if kind != "system":
            # bumble takes most of a second to load, and a gateway with a system adapter does not need it.
            from edge.sources.ble_bumble import open_radio  # noqa: PLC0415

            async with open_radio(self.name) as opened:
                yield _Radio(opened.scanner, opened.client, None, opened.lost)
        elif sys.platform == "linux":
            from edge.sources.ble_bluez import watched  # noqa: PLC0415  D-Bus is Linux's alone

            async with watched(system_name or None) as (name, lost):
                yield _Radio(None, None, name, lost)
        else:
            yield _Radio(None, None, None, asyncio.get_running_loop().create_future())

    async def _serve(self, radio: _Radio) -> None:
        """Scan and hold connections until the adapter goes."""
        async with asyncio.TaskGroup() as tasks:
            self._radio, self._tasks = radio, tasks
            try:
                while not radio.lost.done():
                    await self._scan(radio)
            finally:
                self._radio = self._tasks = None
                self._devices.clear()
                self._ears.on_gone(self)
            raise BleakError(f"adapter {self.name} has gone")

    async def _scan(self, radio: _Radio) -> None:
        """Scan until the adapter goes, or is to begin anew."""
        self._deaf.clear()
        scanner = self._scanner(radio)
        async with asyncio.timeout(_ANSWER_S):
            await scanner.start()
        # Only now: the system's adapter fails when it is to scan.
        self._heard_ns = self._clock.mono_ns()
        if not self.link.status.up:
            self._up_ns = self._heard_ns
        self.link.answered()
        deaf = asyncio.create_task(self._deaf.wait(), name=f"{self.name} deaf")
        try:
            ends: set[asyncio.Future[Any]] = {radio.lost, deaf}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            deaf.cancel()
            with contextlib.suppress(BleakError, OSError, EOFError, TimeoutError):  # gone, or it will not say
                async with asyncio.timeout(_ANSWER_S):
                    await scanner.stop()

    def _scanner(self, radio: _Radio) -> BleakScanner:
        return BleakScanner(
            self._on_found,
            backend=radio.scanner,
            bluez={"filters": {"DuplicateData": True}} | ({"adapter": radio.system_name} if radio.system_name else {}),  # type: ignore[arg-type]  # a TypedDict of both
        )

    def _on_found(self, device: BLEDevice, found: AdvertisementData) -> None:
        self._heard_ns = self._clock.mono_ns()
        self._deafness.recovered()
        try:
            sensor = parse_sensor_id(device.address.upper())
        except ConfigError:
            return
        self._devices.pop(sensor, None)
        self._devices[sensor] = device  # the latest heard stands last
        if len(self._devices) > _MAX_DEVICES:
            del self._devices[next(iter(self._devices))]
        heard = Heard(
            sensor=sensor,
            rssi_dbm=found.rssi,
            name=found.local_name or device.name,
            services=tuple(found.service_uuids),
            companies=found.manufacturer_data,
        )
        self._ears.on_heard(self, heard)

    async def _wear(self, radio: _Radio, sensor: SensorId, device: BLEDevice, holding: _Holding) -> None:
        """Connect once and pass notifications on until the sensor goes or is let go."""

        def on_frame(channel: str, body: bytes, notified: bool) -> None:  # noqa: FBT001  a callback of this shape
            holding.readings += notified and channel != BATTERY
            self._ears.on_frame(self, sensor, channel, body, notified=notified)

        connection = Connection(
            device,
            radio.client,
            on_frame,
            timeout_s=self._settings.connect_timeout_s,
            acquire_notify=self._settings.acquire_notify,
        )
        try:
            async with self._connecting:
                await connection.connect()
                await connection.subscribe(tell_about=sensor not in self._told)
            self._told.add(sensor)
            await connection.start(self._talks)
            self._ears.on_connected(self, sensor, continuous=connection.is_continuous)
            await connection.gone.wait()
            holding.failed = connection.is_continuous and not holding.readings
        except (BleakError, OSError, EOFError, TimeoutError) as exc:
            holding.failed = not holding.readings
            _log.debug("sensor did not stay connected", sensor=sensor, adapter=self.name, problem=str(exc))
        finally:
            holding.ending = True
            await connection.leave()

    def _release(self, sensor: SensorId, holding: _Holding, radio: _Radio, task: "asyncio.Task[None]") -> None:
        if self._held.get(sensor) is holding:
            del self._held[sensor]
        self.slots.release(sensor, self._clock.mono_ns(), worked=not holding.failed)
        why = ADAPTER_LOST if radio.lost.done() else None if task.cancelled() else OUT_OF_RANGE
        self._ears.on_disconnected(self, sensor, why)
