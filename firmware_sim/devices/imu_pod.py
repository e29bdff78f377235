"""A home-made motion pod: our raw IMU profile, version 1, with its own encoder (`docs/imu-profile.md`)."""

import math
import struct
from collections.abc import Sequence

from bumble.device import Device
from bumble.gatt import Service

from firmware_sim.devices.peripheral import Peripheral, notifying, uuid_of

SERVICE = "1d5a0001-6c3e-4f4b-9a57-2f8e51de11e0"
SAMPLES = "1d5a0002-6c3e-4f4b-9a57-2f8e51de11e0"

MISSING = -32_768
"""What stands for an axis that was not measured."""

_VERSION = 1
_HEAD_BYTES = 17
_RATE_HZ = 100


def encode_samples(*, boot: int, first: int, last_us: int, rate_hz: float, samples: Sequence[Sequence[int]]) -> bytes:
    """Return one frame; a sample is three values (mg) or six (mg, then 0.1 °/s), all alike.

    Raises: struct.error or OverflowError when a value does not fit its field.
    """
    turning = len(samples[0]) == 6
    head = bytes([_VERSION, int(turning)])
    head += boot.to_bytes(2, "little") + first.to_bytes(4, "little") + last_us.to_bytes(6, "little")
    head += round(10 * rate_hz).to_bytes(2, "little") + bytes([len(samples)])
    return head + b"".join(struct.pack("<6h" if turning else "<3h", *sample) for sample in samples)


class ImuPod(Peripheral):
    """One pod at 100 Hz with accelerometer and gyroscope, on an athlete who runs."""

    model = "Simulated IMU pod"
    period_s = 0.1

    def __init__(self, device: Device, *, address: str, battery_percent: int) -> None:
        self._samples = notifying(SAMPLES)
        # A pod counts its power-ons in flash; a simulated one has been on as often as its address says.
        self.boot = int(address[-5:].replace(":", ""), 16)
        self._sent: int | None = None
        super().__init__(
            device,
            address=address,
            battery_percent=battery_percent,
            service=SERVICE,
            services=[Service(uuid_of(SERVICE), [self._samples])],
        )

    async def speak(self, time_s: float) -> bool:
        """Send the samples since the last call, in frames as long as the link takes."""
        due = int(time_s * _RATE_HZ)
        room = (self.room(self._samples) - _HEAD_BYTES) // 12
        if room <= 0:
            self._sent = due
            return False
        first = due if self._sent is None else self._sent
        for start in range(first, due, room):
            chosen = range(start, min(start + room, due))
            body = encode_samples(
                boot=self.boot,
                first=start,
                last_us=(chosen[-1] * 1_000_000) // _RATE_HZ,
                rate_hz=_RATE_HZ,
                samples=[_motion(i / _RATE_HZ) for i in chosen],
            )
            await self.send(self._samples, body)
        self._sent = due
        return True


def _motion(time_s: float) -> tuple[int, ...]:
    """Return a shin at 170 steps a minute: mg, then tenths of a degree per second."""
    swing = math.sin(2 * math.pi * time_s * 85 / 60)
    step = max(0.0, math.sin(2 * math.pi * time_s * 170 / 60)) ** 6
    return (
        round(300 * swing), round(120 * swing), round(1000 + 2500 * step),
        round(1500 * swing), round(400 * step), round(-200 * swing),
    )  # fmt: skip
