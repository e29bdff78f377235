"""A chest strap: the Heart Rate service, with its own encoder.

Layouts: Bluetooth SIG Heart Rate Service 1.0 §3.1, GATT Specification Supplement §3.113 (Heart Rate Measurement).
"""

import struct
from collections.abc import Sequence

from bumble.device import Connection, Device
from bumble.gatt import Service

from firmware_sim.devices.peripheral import Peripheral, notifying, readable, uuid_of

HEART_RATE_SERVICE = 0x180D
HEART_RATE_MEASUREMENT = 0x2A37
BODY_SENSOR_LOCATION = 0x2A38

RR_PER_NOTIFICATION = 9
"""More do not fit beside flags and a one-byte rate in the 20 bytes of the smallest ATT MTU (23)."""

_UINT16_RATE, _CONTACT, _CONTACT_SUPPORTED, _ENERGY, _RR = 0x01, 0x02, 0x04, 0x08, 0x10
_CHEST = 1


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


class HeartStrap(Peripheral):
    """One strap on the air."""

    model = "Simulated strap"

    def __init__(
        self, device: Device, *, address: str, battery_percent: int, more_services: Sequence[Service] = ()
    ) -> None:
        self._measurement = notifying(HEART_RATE_MEASUREMENT)
        location = readable(BODY_SENSOR_LOCATION, bytes([_CHEST]))
        heart_rate = Service(uuid_of(HEART_RATE_SERVICE), [self._measurement, location])
        super().__init__(
            device,
            address=address,
            battery_percent=battery_percent,
            service=HEART_RATE_SERVICE,
            services=[heart_rate, *more_services],
        )

    def subscribers(self) -> list[Connection]:
        """Return the connections that asked for heart-rate notifications."""
        return self.listeners(self._measurement)

    async def notify(self, body: bytes) -> bool:
        """Send one heart-rate notification to every subscriber; False when there is none."""
        return await self.send(self._measurement, body)

    async def speak(self, time_s: float) -> bool:
        """Send a rate that rises and falls, with the beat that fits it."""
        bpm = heart_rate_bpm(time_s)
        return await self.notify(encode_heart_rate_measurement(bpm, contact=True, rr_1024=[round(60 * 1024 / bpm)]))


def heart_rate_bpm(time_s: float) -> int:
    """Return the rate of a simulated heart: 130 to 160 bpm, once up and down in two minutes."""
    turn = time_s % 120.0 / 60.0
    return round(130 + 30 * (turn if turn <= 1 else 2 - turn))
