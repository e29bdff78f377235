"""A cadence and wheel sensor: the Cycling Speed and Cadence service, with its own encoder and counters.

Layout: Cycling Speed and Cadence Service 1.0 §3.1: flags, wheel turns and time, crank turns and time (1/1024 s).
"""

import struct
from dataclasses import dataclass

from bumble.device import Device
from bumble.gatt import Service

from firmware_sim.devices.peripheral import SENSOR_LOCATION, Peripheral, notifying, readable, uuid_of

SERVICE = 0x1816
MEASUREMENT = 0x2A5B
FEATURE = 0x2A5C

_WHEEL, _CRANK = 0x01, 0x02
_TICKS_PER_S = 1024
_REAR_WHEEL = 12


@dataclass(slots=True, kw_only=True)
class Turning:
    """A crank or wheel: whole turns since power-on and the moment of the last, both of which roll over.

    `count` and `ticks` are what a sensor sends; `width` is the number of values of the count.
    """

    width: int
    ticks_per_s: int = _TICKS_PER_S
    turned: float = 0.0
    count: int = 0
    ticks: int = 0

    def turn(self, rpm: float, from_s: float, to_s: float) -> None:
        """Turn on at `rpm`; the time stays that of the last whole turn."""
        before = self.turned
        self.turned += rpm / 60.0 * (to_s - from_s)
        whole = int(self.turned) - int(before)
        if whole:
            last_s = from_s + (int(self.turned) - before) / (rpm / 60.0)
            self.count = (self.count + whole) % self.width
            self.ticks = round(last_s * self.ticks_per_s) % 0x10000


def encode_cycling(*, wheel: tuple[int, int] | None = None, crank: tuple[int, int] | None = None) -> bytes:
    """Return the 0x2A5B value; each is (turns, time of the last), and left out where None.

    Raises: struct.error when a value does not fit its field.
    """
    flags = (_WHEEL if wheel is not None else 0) | (_CRANK if crank is not None else 0)
    body = struct.pack("<B", flags)
    if wheel is not None:
        body += struct.pack("<IH", *wheel)
    if crank is not None:
        body += struct.pack("<HH", *crank)
    return body


class CyclingSensor(Peripheral):
    """One sensor on a frame: 45 s of pedalling, 15 s of standing still."""

    model = "Simulated cadence sensor"

    def __init__(self, device: Device, *, address: str, battery_percent: int) -> None:
        self._measurement = notifying(MEASUREMENT)
        # Close before their rolling over, so that a short run shows it.
        self._wheel = Turning(width=2**32, count=2**32 - 20)
        self._crank = Turning(width=2**16, count=2**16 - 20)
        characteristics = [
            self._measurement,
            readable(FEATURE, struct.pack("<H", _WHEEL | _CRANK)),
            readable(SENSOR_LOCATION, bytes([_REAR_WHEEL])),
        ]
        super().__init__(
            device,
            address=address,
            battery_percent=battery_percent,
            service=SERVICE,
            services=[Service(uuid_of(SERVICE), characteristics)],
        )

    async def speak(self, time_s: float) -> bool:
        """Send both counters."""
        if time_s % 60.0 < 45.0:
            self._wheel.turn(240.0, time_s - self.period_s, time_s)
            self._crank.turn(85.0, time_s - self.period_s, time_s)
        body = encode_cycling(
            wheel=(self._wheel.count, self._wheel.ticks), crank=(self._crank.count, self._crank.ticks)
        )
        return await self.send(self._measurement, body)
