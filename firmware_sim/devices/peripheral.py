"""What every simulated Bluetooth sensor is: a GATT peripheral with battery and device information that advertises."""

import asyncio
import contextlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service

BATTERY_SERVICE = 0x180F
BATTERY_LEVEL = 0x2A19
DEVICE_INFORMATION_SERVICE = 0x180A
SENSOR_LOCATION = 0x2A5D

_ADVERTISING_INTERVAL_MS = 100
_DISCONNECT_S = 0.5
_GENERAL_DISCOVERABLE_NO_BR_EDR = 0x06
# What fits beside flags and one 16-bit service in the 31 bytes of an advertisement.
_NAME_BYTES = 20
# A notification's opcode and handle take three bytes of the ATT MTU.
_NOTIFICATION_HEAD = 3


def uuid_of(number: int | str) -> UUID:
    """Return a UUID given as 16 bits or as text."""
    return UUID.from_16_bits(number) if isinstance(number, int) else UUID(number)


def readable(number: int | str, value: bytes) -> Characteristic[bytes]:
    """Return a characteristic with a fixed value."""
    return Characteristic(uuid_of(number), Characteristic.Properties.READ, Characteristic.Permissions.READABLE, value)


def notifying(number: int | str) -> Characteristic[bytes]:
    """Return a characteristic that only notifies."""
    return Characteristic(uuid_of(number), Characteristic.Properties.NOTIFY, Characteristic.Permissions(0), b"")


def writable(
    number: int | str, value: CharacteristicValue[bytes], *more: Characteristic.Properties
) -> Characteristic[bytes]:
    """Return a characteristic that hands what is written to `value`; `more` are its other properties."""
    properties = Characteristic.Properties.WRITE
    for property_ in more:
        properties |= property_
    return Characteristic(
        uuid_of(number), properties, Characteristic.Permissions.READABLE | Characteristic.Permissions.WRITEABLE, value
    )


def encode_advertisement(name: str, service: int | str) -> bytes:
    """Return the advertising data: flags, the service in the advertisement itself, as much of the name as fits."""
    if isinstance(service, int):
        kind = AdvertisingData.Type.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS
        listed, room = struct.pack("<H", service), _NAME_BYTES
    else:
        kind = AdvertisingData.Type.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS
        listed, room = bytes(UUID(service)), 8
    fields = [
        (AdvertisingData.Type.FLAGS, bytes([_GENERAL_DISCOVERABLE_NO_BR_EDR])),
        (kind, listed),
        (AdvertisingData.Type.COMPLETE_LOCAL_NAME, name.encode()[:room]),
    ]
    return b"".join(bytes([len(body) + 1, kind]) + body for kind, body in fields)


class Peripheral(ABC):
    """One sensor on the air; it advertises whenever nobody is connected.

    A new device gives its services, and in `speak` what it says every `period_s`.
    """

    model: ClassVar[str] = "Simulated sensor"
    period_s: ClassVar[float] = 1.0

    def __init__(
        self, device: Device, *, address: str, battery_percent: int, service: int | str, services: Sequence[Service]
    ) -> None:
        """`service` is the one that it advertises; battery and device information come on top of `services`."""
        self.address = address
        self._device = device
        battery = readable(BATTERY_LEVEL, bytes([battery_percent]))
        for offered in (
            *services,
            Service(uuid_of(BATTERY_SERVICE), [battery]),
            Service(uuid_of(DEVICE_INFORMATION_SERVICE), _device_information(self.model, address)),
        ):
            device.add_service(offered)
        device.advertising_data = encode_advertisement(f"Sim {address[-5:].replace(':', '')}", service)

    async def start(self) -> None:
        """Switch on and advertise; advertising starts again after every disconnection."""
        await self._device.power_on()
        await self._device.start_advertising(
            auto_restart=True,
            advertising_interval_min=_ADVERTISING_INTERVAL_MS,
            advertising_interval_max=_ADVERTISING_INTERVAL_MS,
        )

    @abstractmethod
    async def speak(self, time_s: float) -> bool:
        """Send what the sensor has to say at `time_s` since it was switched on; False when nobody listens."""

    def listeners(self, characteristic: Characteristic[Any]) -> list[Connection]:
        """Return the connections that asked for a characteristic's notifications."""
        subscribers = self._device.gatt_server.subscribers
        return [
            connection
            for connection in self._device.connections.values()
            if subscribers.get(connection, {}).get(characteristic.handle, b"\0\0")[0] & 0x01
        ]

    async def send(self, characteristic: Characteristic[Any], body: bytes) -> bool:
        """Send one notification to everybody who asked; False when there is nobody."""
        listeners = self.listeners(characteristic)
        for connection in listeners:
            await self._device.notify_subscriber(connection, characteristic, body)
        return bool(listeners)

    def room(self, characteristic: Characteristic[Any]) -> int:
        """Return how many bytes fit one notification to everybody who asked; 0 when there is nobody."""
        return min((c.att_mtu - _NOTIFICATION_HEAD for c in self.listeners(characteristic)), default=0)

    async def disconnect(self) -> None:
        """Drop every link, as a sensor does when it leaves the radio's range."""
        for connection in list(self._device.connections.values()):
            # A link that is ending anyway gives an error, or no answer at all.
            with contextlib.suppress(BaseBumbleError, TimeoutError):
                await asyncio.wait_for(connection.disconnect(), _DISCONNECT_S)


def _device_information(model: str, address: str) -> list[Characteristic[Any]]:
    """Manufacturer, model, serial, hardware, firmware, software (Device Information Service 1.2 §3)."""
    values = {
        0x2A29: "Sideline",
        0x2A24: model,
        0x2A25: address.replace(":", ""),
        0x2A27: "A",
        0x2A26: "1.0.0",
        0x2A28: "1.0.0",
    }
    return [readable(uuid, text.encode()) for uuid, text in values.items()]
