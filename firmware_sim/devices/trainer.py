"""Fitness machines: bike, treadmill and rower of the Fitness Machine service, with their own encoders.

Layouts: Fitness Machine Service 1.0 §4.4, §4.8, §4.9. Each encoder takes the optional fields by name, in the order in
which they stand on the air; bit 0 of the flags is clear when the first of them is there.
"""

import struct
from collections.abc import Mapping

from bumble.device import Device
from bumble.gatt import Service

from firmware_sim.devices.heart_strap import heart_rate_bpm
from firmware_sim.devices.peripheral import Peripheral, notifying, readable, uuid_of

SERVICE = 0x1826
FEATURE = 0x2ACC
BIKE, TREADMILL, ROWER = 0x2AD2, 0x2ACD, 0x2AD1

FIELDS: dict[int, tuple[tuple[str, str], ...]] = {
    BIKE: (
        ("speed_centikmh", "H"), ("average_speed", "H"), ("half_rpm", "H"), ("average_half_rpm", "H"),
        ("distance_m", "3"), ("resistance", "h"), ("power_w", "h"), ("average_power_w", "h"), ("energy_kcal", "HHB"),
        ("bpm", "B"), ("met_tenths", "B"), ("elapsed_s", "H"), ("remaining_s", "H"),
    ),
    TREADMILL: (
        ("speed_centikmh", "H"), ("average_speed", "H"), ("distance_m", "3"), ("incline_tenths", "hh"),
        ("elevation_dm", "HH"), ("pace", "B"), ("average_pace", "B"), ("energy_kcal", "HHB"), ("bpm", "B"),
        ("met_tenths", "B"), ("elapsed_s", "H"), ("remaining_s", "H"), ("force_and_power", "hh"),
    ),
    ROWER: (
        ("half_strokes_per_min", "BH"), ("average_half_strokes", "B"), ("distance_m", "3"), ("pace_s", "H"),
        ("average_pace_s", "H"), ("power_w", "h"), ("average_power_w", "h"), ("resistance", "h"),
        ("energy_kcal", "HHB"), ("bpm", "B"), ("met_tenths", "B"), ("elapsed_s", "H"), ("remaining_s", "H"),
    ),
}  # fmt: skip
"""By characteristic the optional fields, one for each bit of the flags from bit 0 on, with their widths.

A width of 3 is an unsigned number of 24 bits; fields of several letters take that many values.
"""


def encode_machine(characteristic: int, values: Mapping[str, int | tuple[int, ...]]) -> bytes:
    """Return the value of a machine's characteristic with the named fields.

    Raises: struct.error or OverflowError when a value does not fit its field.
    """
    flags = 0x0001
    tail = b""
    for bit, (name, code) in enumerate(FIELDS[characteristic]):
        if name not in values:
            continue
        flags ^= 1 << bit
        value = values[name]
        numbers = value if isinstance(value, tuple) else (value,)
        tail += numbers[0].to_bytes(3, "little") if code == "3" else struct.pack(f"<{code}", *numbers)
    return struct.pack("<H", flags) + tail


class Trainer(Peripheral):
    """One smart trainer; it splits a measurement over two notifications, as machines do that have much to say."""

    model = "Simulated trainer"

    def __init__(self, device: Device, *, address: str, battery_percent: int) -> None:
        self._measurement = notifying(BIKE)
        characteristics = [self._measurement, readable(FEATURE, struct.pack("<II", 0x00004082, 0))]
        super().__init__(
            device,
            address=address,
            battery_percent=battery_percent,
            service=SERVICE,
            services=[Service(uuid_of(SERVICE), characteristics)],
        )

    async def speak(self, time_s: float) -> bool:
        """Send energy, heart rate and time first (More Data), then speed, cadence and power."""
        elapsed_s = round(time_s) & 0xFFFF
        rest: dict[str, int | tuple[int, ...]] = {
            "energy_kcal": (elapsed_s // 5, 720, 12),
            "bpm": heart_rate_bpm(time_s),
            "elapsed_s": elapsed_s,
        }
        now: dict[str, int | tuple[int, ...]] = {
            "speed_centikmh": 3_150,
            "half_rpm": 176,
            "distance_m": round(8.75 * time_s),
            "power_w": 210,
        }
        await self.send(self._measurement, encode_machine(BIKE, rest))
        return await self.send(self._measurement, encode_machine(BIKE, now))
