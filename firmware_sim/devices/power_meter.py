"""A power meter: the Cycling Power service, with its own encoder of every optional field.

Layout: Cycling Power Service 1.1 §3.2: flags, power in W, then as the flags say. The wheel's time is in 1/2048 s, the
crank's in 1/1024 s.
"""

import struct
from dataclasses import dataclass

from bumble.device import Device
from bumble.gatt import Service

from firmware_sim.devices.cycling_sensor import Turning
from firmware_sim.devices.peripheral import SENSOR_LOCATION, Peripheral, notifying, readable, uuid_of

SERVICE = 0x1818
MEASUREMENT = 0x2A63
FEATURE = 0x2A65

_LEFT_CRANK = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CyclingPower:
    """The fields of one measurement in their own units; None leaves a field out."""

    power_w: int
    balance_half_percent: int | None = None
    balance_is_left: bool = False
    torque_32nds_nm: int | None = None
    torque_at_crank: bool = False
    wheel: tuple[int, int] | None = None
    crank: tuple[int, int] | None = None
    force_n: tuple[int, int] | None = None
    torque_extremes: tuple[int, int] | None = None
    angles_deg: tuple[int, int] | None = None
    top_dead_spot_deg: int | None = None
    bottom_dead_spot_deg: int | None = None
    energy_kj: int | None = None
    offset_needed: bool = False


def encode_power(given: CyclingPower) -> bytes:
    """Return the 0x2A63 value.

    Raises: struct.error when a value does not fit its field.
    """
    largest, smallest = given.angles_deg or (0, 0)
    angles = (largest | smallest << 12).to_bytes(3, "little")
    optional: list[tuple[int, bytes | None]] = [
        (0, _packed("<B", given.balance_half_percent)),
        (2, _packed("<H", given.torque_32nds_nm)),
        (4, None if given.wheel is None else struct.pack("<IH", *given.wheel)),
        (5, None if given.crank is None else struct.pack("<HH", *given.crank)),
        (6, None if given.force_n is None else struct.pack("<hh", *given.force_n)),
        (7, None if given.torque_extremes is None else struct.pack("<hh", *given.torque_extremes)),
        (8, None if given.angles_deg is None else angles),
        (9, _packed("<H", given.top_dead_spot_deg)),
        (10, _packed("<H", given.bottom_dead_spot_deg)),
        (11, _packed("<H", given.energy_kj)),
    ]
    flags = (given.balance_is_left << 1) | (given.torque_at_crank << 3) | (given.offset_needed << 12)
    tail = b""
    for bit, field in optional:
        if field is not None:
            flags |= 1 << bit
            tail += field
    return struct.pack("<Hh", flags, given.power_w) + tail


class PowerMeter(Peripheral):
    """One meter on a left crank: 45 s at about 220 W, 15 s of rolling at none."""

    model = "Simulated power meter"

    def __init__(self, device: Device, *, address: str, battery_percent: int) -> None:
        self._measurement = notifying(MEASUREMENT)
        self._crank = Turning(width=2**16, count=2**16 - 20)
        characteristics = [
            self._measurement,
            readable(FEATURE, struct.pack("<I", 0x00000009)),  # balance and crank turns
            readable(SENSOR_LOCATION, bytes([_LEFT_CRANK])),
        ]
        super().__init__(
            device,
            address=address,
            battery_percent=battery_percent,
            service=SERVICE,
            services=[Service(uuid_of(SERVICE), characteristics)],
        )

    async def speak(self, time_s: float) -> bool:
        """Send power, the left leg's share and the crank's counter."""
        pedalling = time_s % 60.0 < 45.0
        if pedalling:
            self._crank.turn(90.0, time_s - self.period_s, time_s)
        body = encode_power(
            CyclingPower(
                power_w=220 + round(time_s) % 7 if pedalling else 0,
                balance_half_percent=98,
                balance_is_left=True,
                crank=(self._crank.count, self._crank.ticks),
            )
        )
        return await self.send(self._measurement, body)


def _packed(code: str, value: int | None) -> bytes | None:
    return None if value is None else struct.pack(code, value)
