"""A chest strap: Heart Rate, Battery and Device Information services, with its own encoder.

Layouts: Bluetooth SIG Heart Rate Service 1.0 §3.1, GATT Specification Supplement §3.113 (Heart Rate Measurement).
"""

import asyncio
import contextlib
import struct
from collections.abc import Sequence
from typing import Any

from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, Service

HEART_RATE_SERVICE = 0x180D
HEART_RATE_MEASUREMENT = 0x2A37
BODY_SENSOR_LOCATION = 0x2A38
BATTERY_SERVICE = 0x180F
BATTERY_LEVEL = 0x2A19
DEVICE_INFORMATION_SERVICE = 0x180A

RR_PER_NOTIFICATION = 9
"""More do not fit beside flags and a one-byte rate in the 20 bytes of the smallest ATT MTU (23)."""

_UINT16_RATE, _CONTACT, _CONTACT_SUPPORTED, _ENERGY, _RR = 0x01, 0x02, 0x04, 0x08, 0x10
_CHEST = 1
_ADVERTISING_INTERVAL_MS = 100
_DISCONNECT_S = 0.5
_GENERAL_DISCOVERABLE_NO_BR_EDR = 0x06


def encode_heart_rate_measurement(
    bpm: int, *, contact: bool | None = None, energy_kj: int | None = None, rr_1024: Sequence[int] = ()
) -> bytes:
    """Return the 0x2A37 value; `contact` None means not supported, `rr_1024` is in 1/1024 s, oldest first.

    Raises: ValueError when a field does not fit its 16 bits.
    """
    for name, value in (("bpm", bpm), ("energy_kj", energy_kj or 0), *(("rr_1024", rr) for rr in rr_1024)):
        if not 0 <= value <= 0xFFFF:
            raise ValueError(f"{name} {value} does not fit 16 bits")
    flags = _UINT16_RATE if bpm > 0xFF else 0
    if contact is not None:
        flags |= _CONTACT_SUPPORTED | (_CONTACT if contact else 0)
    if energy_kj is not None:
        flags |= _ENERGY
    if rr_1024:
        flags |= _RR
    body = struct.pack("<BH" if bpm > 0xFF else "<BB", flags, bpm)
    if energy_kj is not None:
        body += struct.pack("<H", energy_kj)
    return body + struct.pack(f"<{len(rr_1024)}H", *rr_1024)


def encode_advertisement(name: str) -> bytes:
    """Return the advertising data: flags, 0x180D in the advertisement itself, and as much of the name as fits."""
    fields = [
        (AdvertisingData.Type.FLAGS, bytes([_GENERAL_DISCOVERABLE_NO_BR_EDR])),
        (AdvertisingData.Type.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, struct.pack("<H", HEART_RATE_SERVICE)),
        (AdvertisingData.Type.COMPLETE_LOCAL_NAME, name.encode()[:20]),
    ]
    return b"".join(bytes([len(body) + 1, kind]) + body for kind, body in fields)


class HeartStrap:
    """One strap on the air; it advertises whenever nobody is connected."""

    def __init__(self, device: Device, *, address: str, battery_percent: int) -> None:
        self.address = address
        self._device = device
        self._measurement: Characteristic[Any] = Characteristic(
            UUID.from_16_bits(HEART_RATE_MEASUREMENT),
            Characteristic.Properties.NOTIFY,
            Characteristic.Permissions(0),
            b"",
        )
        location = _readable(BODY_SENSOR_LOCATION, bytes([_CHEST]))
        device.add_service(Service(UUID.from_16_bits(HEART_RATE_SERVICE), [self._measurement, location]))
        battery = _readable(BATTERY_LEVEL, bytes([battery_percent]))
        device.add_service(Service(UUID.from_16_bits(BATTERY_SERVICE), [battery]))
        device.add_service(Service(UUID.from_16_bits(DEVICE_INFORMATION_SERVICE), _device_information(address)))
        device.advertising_data = encode_advertisement(f"Strap {address[-5:].replace(':', '')}")

    async def start(self) -> None:
        """Switch on and advertise; advertising starts again after every disconnection."""
        await self._device.power_on()
        await self._device.start_advertising(
            auto_restart=True,
            advertising_interval_min=_ADVERTISING_INTERVAL_MS,
            advertising_interval_max=_ADVERTISING_INTERVAL_MS,
        )

    def subscribers(self) -> list[Connection]:
        """Return the connections that asked for heart-rate notifications."""
        return [c for c in self._device.connections.values() if self._subscribed(c)]

    async def notify(self, body: bytes) -> bool:
        """Send one heart-rate notification to every subscriber; False when there is none."""
        subscribers = self.subscribers()
        for connection in subscribers:
            await self._device.notify_subscriber(connection, self._measurement, body)
        return bool(subscribers)

    async def disconnect(self) -> None:
        """Drop every link, as a strap does when it leaves the radio's range."""
        for connection in list(self._device.connections.values()):
            # A link that is ending anyway gives an error, or no answer at all.
            with contextlib.suppress(BaseBumbleError, TimeoutError):
                await asyncio.wait_for(connection.disconnect(), _DISCONNECT_S)

    def _subscribed(self, connection: Connection) -> bool:
        configuration = self._device.gatt_server.subscribers.get(connection, {}).get(self._measurement.handle, b"\0\0")
        return bool(configuration[0] & 0x01)


def _readable(uuid: int, value: bytes) -> Characteristic[Any]:
    return Characteristic(
        UUID.from_16_bits(uuid), Characteristic.Properties.READ, Characteristic.Permissions.READABLE, value
    )


def _device_information(address: str) -> list[Characteristic[Any]]:
    """Manufacturer, model, serial, firmware (Device Information Service 1.2 §3)."""
    values = {0x2A29: "Sideline", 0x2A24: "Simulated strap", 0x2A25: address.replace(":", ""), 0x2A26: "1.0.0"}
    return [_readable(uuid, text.encode()) for uuid, text in values.items()]
