"""A sensor that nobody connects: Polar's heart rate in the advertisement's manufacturer data, company 0x006B.

Layout: Polar BLE SDK, BlePolarHrAdvertisement: flags with a counter of three bits, kHz code, fast and slow average.
"""

import struct

from bumble.core import AdvertisingData
from bumble.device import AdvertisingType, Device

from firmware_sim.devices.heart_strap import heart_rate_bpm

COMPANY = 0x006B

_ADVERTISING_INTERVAL_MS = 100
_FLAGS = bytes([0x06])


def encode_beacon(
    *, counter: int, bpm: int, slow_bpm: int | None = None, contact: bool = True, battery_low: bool = False
) -> bytes:
    """Return the manufacturer data behind the company; without `slow_bpm` in the short form of old sensors.

    Raises: OverflowError or ValueError when a value does not fit its byte.
    """
    flags = int(battery_low) | int(contact) << 1 | counter % 8 << 2 | 1 << 5
    return bytes([flags, 0, bpm]) if slow_bpm is None else bytes([flags, 0, bpm, slow_bpm])


class PolarBeacon:
    """One strap that only advertises; a new rate is a new advertisement with the next counter."""

    model = "Simulated Polar advertiser"
    period_s = 1.0

    def __init__(self, device: Device, *, address: str, battery_percent: int) -> None:
        self.address = address
        self._device = device
        self._battery_low = battery_percent < 20
        self._counter = 0

    async def start(self) -> None:
        """Switch on; it says nothing before its first reading."""
        await self._device.power_on()

    async def speak(self, time_s: float) -> bool:
        """Advertise a rate that rises and falls; nobody knows who listens."""
        await self.advertise(heart_rate_bpm(time_s))
        return True

    async def advertise(self, bpm: int) -> None:
        """Advertise this rate from now on."""
        self._counter += 1
        body = encode_beacon(counter=self._counter, bpm=bpm, slow_bpm=bpm, battery_low=self._battery_low)
        fields = [
            (AdvertisingData.Type.FLAGS, _FLAGS),
            (AdvertisingData.Type.MANUFACTURER_SPECIFIC_DATA, struct.pack("<H", COMPANY) + body),
        ]
        if self._device.is_advertising:
            await self._device.stop_advertising()
        await self._device.start_advertising(
            advertising_type=AdvertisingType.UNDIRECTED,
            advertising_data=b"".join(bytes([len(field) + 1, kind]) + field for kind, field in fields),
            advertising_interval_min=_ADVERTISING_INTERVAL_MS,
            advertising_interval_max=_ADVERTISING_INTERVAL_MS,
        )

    async def disconnect(self) -> None:
        """Do nothing: nobody is connected."""
