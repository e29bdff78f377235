"""A foot pod: the Running Speed and Cadence service, with its own encoder.

Layout: Running Speed and Cadence Service 1.0 §3.1: flags, speed in 1/256 m/s, steps a minute, stride in cm, distance
in dm.
"""

import struct

from bumble.device import Device
from bumble.gatt import Service

from firmware_sim.devices.peripheral import SENSOR_LOCATION, Peripheral, notifying, readable, uuid_of

SERVICE = 0x1814
MEASUREMENT = 0x2A53
FEATURE = 0x2A54

_STRIDE, _DISTANCE, _RUNNING = 0x01, 0x02, 0x04
_IN_SHOE = 2


def encode_running(
    *,
    speed_256: int,
    steps_per_min: int,
    stride_cm: int | None = None,
    distance_dm: int | None = None,
    running: bool = False,
) -> bytes:
    """Return the 0x2A53 value; what is None is left out.

    Raises: struct.error when a value does not fit its field.
    """
    flags = _RUNNING if running else 0
    tail = b""
    if stride_cm is not None:
        flags |= _STRIDE
        tail += struct.pack("<H", stride_cm)
    if distance_dm is not None:
        flags |= _DISTANCE
        tail += struct.pack("<I", distance_dm)
    return struct.pack("<BHB", flags, speed_256, steps_per_min) + tail


class RunningPod(Peripheral):
    """One pod in a shoe: a minute of walking, a minute of running, and so on."""

    model = "Simulated foot pod"

    def __init__(self, device: Device, *, address: str, battery_percent: int) -> None:
        self._measurement = notifying(MEASUREMENT)
        self._distance_m = 0.0
        characteristics = [
            self._measurement,
            readable(FEATURE, struct.pack("<H", _STRIDE | _DISTANCE | _RUNNING)),
            readable(SENSOR_LOCATION, bytes([_IN_SHOE])),
        ]
        super().__init__(
            device,
            address=address,
            battery_percent=battery_percent,
            service=SERVICE,
            services=[Service(uuid_of(SERVICE), characteristics)],
        )

    async def speak(self, time_s: float) -> bool:
        """Send speed, steps, stride and the distance so far."""
        running = time_s % 120.0 >= 60.0
        speed_mps, steps_per_min = (3.5, 172) if running else (1.5, 112)
        self._distance_m += speed_mps * self.period_s
        body = encode_running(
            speed_256=round(speed_mps * 256),
            steps_per_min=steps_per_min,
            stride_cm=round(speed_mps / steps_per_min * 120 * 100),
            distance_dm=round(self._distance_m * 10),
            running=running,
        )
        return await self.send(self._measurement, body)
