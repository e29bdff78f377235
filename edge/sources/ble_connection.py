"""One connection of one sensor: connect, subscribe, ask for its streams, leave it as it was found.

Made anew for every connection: a client that lost its link may hold what no longer holds.
"""

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from bleak.uuids import normalize_uuid_str

from edge.sensors.base import Command
from edge.sensors.commands import Conversation
from edge.sensors.imu_pod import SAMPLES
from edge.sensors.registry import BY_CHANNEL
from shared.log import get_logger

_log = get_logger("ble")
_CHANNEL = re.compile(r"[0-9a-f]{4}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHANNELS = {normalize_uuid_str(channel): channel for channel in BY_CHANNEL if _CHANNEL.fullmatch(channel)}
BATTERY = "2a19"
_HEARD_BY = frozenset(("notify", "indicate"))
# Wheel, crank and foot pods fall silent at rest; a strap and a motion pod never do.
_CONTINUOUS = ("2a37", SAMPLES)
_COMMAND_S = 5.0
_STOP_S = 1.0
"""A squad's straps are let go side by side within this time, also at shutdown; what is not stopped then drains."""
_DISCONNECT_S = 2.0
_LOST = (BleakError, OSError, EOFError, TimeoutError)


class Connection:
    """One client, from `connect` to `leave`; `on_frame(channel, body, notified)` hears what it sends."""

    def __init__(
        self,
        device: BLEDevice,
        backend: type[BaseBleakClient] | None,
        on_frame: Callable[[str, bytes, bool], None],
        *,
        timeout_s: float,
        acquire_notify: bool,
    ) -> None:
        self.gone = asyncio.Event()
        self.is_continuous = False
        """Whether the sensor sends all the time, so that silence is a fault."""
        self._name = device.address
        self._on_frame = on_frame
        self._acquire = acquire_notify
        self._timeout_s = timeout_s
        self._stop: list[Command] = []
        self._client = BleakClient(
            device, disconnected_callback=lambda _client: self.gone.set(), timeout=timeout_s, backend=backend
        )

    async def connect(self) -> None:
        """Connect and read which services there are.

        Raises: BleakError, OSError, TimeoutError.
        """
        try:
            await self._client.connect()
        except (AssertionError, EOFError, KeyError) as exc:  # bleak, when the device goes while it lists the services
            raise BleakError(f"lost while connecting: {exc!r}") from exc

    async def subscribe(self, *, tell_about: bool) -> None:
        """Ask for every known notification, and read the battery; `tell_about` also what the device says of itself.

        Raises: BleakError when there is nothing to listen to, TimeoutError when it does not answer.
        """
        heard = 0
        async with asyncio.timeout(self._timeout_s):  # meanwhile the adapter connects nobody else
            for service in self._client.services:
                for characteristic in service.characteristics:
                    heard += await self._take(characteristic, tell_about=tell_about)
        if not heard:
            raise BleakError("no notifications to be had")

    async def start(self, conversations: Sequence[Conversation]) -> None:
        """Write the start commands whose service the device has; one that is refused leaves the rest as it is."""
        services = {service.uuid for service in self._client.services}
        for conversation in conversations:
            if not services.intersection(conversation.services):
                continue
            self._stop += conversation.stop
            for characteristic in dict.fromkeys(command.characteristic for command in conversation.start):
                await self._await_answers(characteristic)
            for command in conversation.start:
                if await self._write(command):
                    self.is_continuous = True

    async def leave(self) -> None:
        """Stop what was started and disconnect, in bounded time; a link that has gone needs neither."""
        try:
            with contextlib.suppress(*_LOST):
                async with asyncio.timeout(_STOP_S):
                    for command in self._stop:
                        if self._client.is_connected:
                            await self._write(command)
        finally:  # also when the gateway stops while a sensor is being let go
            with contextlib.suppress(*_LOST):
                async with asyncio.timeout(_DISCONNECT_S):
                    await self._client.disconnect()

    async def _take(self, characteristic: BleakGATTCharacteristic, *, tell_about: bool) -> bool:
        """Listen to or read a characteristic that is known; return whether readings are to be heard on it now."""
        channel = _CHANNELS.get(characteristic.uuid)
        if channel is None:
            return False
        notifies = bool(_HEARD_BY.intersection(characteristic.properties))
        heard = notifies and await self._listen(characteristic, channel)
        if "read" in characteristic.properties and (channel == BATTERY or (tell_about and not notifies)):
            await self._read(characteristic, channel)
        return heard

    async def _listen(self, characteristic: BleakGATTCharacteristic, channel: str) -> bool:
        """Return whether readings are to be heard on this characteristic now."""

        def on_notification(_characteristic: BleakGATTCharacteristic, body: bytearray) -> None:
            self._on_frame(channel, bytes(body), True)

        try:
            await self._client.start_notify(
                characteristic, on_notification, bluez={"use_start_notify": not self._acquire}
            )
        except BleakError as exc:
            _log.debug("notifications refused", sensor=self._name, channel=channel, problem=str(exc))
            return False
        self.is_continuous |= channel in _CONTINUOUS
        return channel != BATTERY

    async def _read(self, characteristic: BleakGATTCharacteristic, channel: str) -> None:
        try:
            body = await self._client.read_gatt_char(characteristic)
        except BleakError as exc:
            _log.debug("reading refused", sensor=self._name, channel=channel, problem=str(exc))
        else:
            self._on_frame(channel, bytes(body), False)

    async def _await_answers(self, characteristic: str) -> None:
        """Turn on the indications or notifications by which a control point answers, unless that is done."""
        known = self._client.services.get_characteristic(characteristic)
        if known is None or known.uuid in _CHANNELS or not _HEARD_BY.intersection(known.properties):
            return
        with contextlib.suppress(BleakError, TimeoutError):
            async with asyncio.timeout(_COMMAND_S):
                await self._client.start_notify(known, lambda _characteristic, _body: None)

    async def _write(self, command: Command) -> bool:
        try:
            async with asyncio.timeout(_COMMAND_S):
                await self._client.write_gatt_char(command.characteristic, command.body)
        except (BleakError, TimeoutError) as exc:
            _log.warning("command refused", sensor=self._name, characteristic=command.characteristic, problem=str(exc))
            return False
        return True
