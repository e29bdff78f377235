"""A strap like Polar's H10: heart rate, and ECG, accelerations and pulse intervals that are started by hand.

It sends nothing of the latter unless its control point was told to start, and stops when told to or when the link
drops. Its clock begins at 2019-01-01 at every power-on, as an H10's does.

Source: Polar BLE SDK, online_measurement.pdf.
"""

import asyncio
import math

from bumble.att import ATT_Error, ErrorCode
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Service

from firmware_sim.devices.heart_strap import HeartStrap
from firmware_sim.devices.peripheral import notifying, uuid_of, writable
from firmware_sim.devices.polar_frames import (
    ACCELERATION,
    ECG,
    PULSE_INTERVALS,
    encode_acceleration,
    encode_ecg,
    encode_pulses,
)

SERVICE = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"

POWER_ON_NS = 599_616_000_000_000_000
"""2019-01-01 in nanoseconds since 2000-01-01."""

_GET_SETTINGS, _START, _STOP = 1, 2, 3
_ANSWER, _FEATURES = 0xF0, 0x0F
_DONE, _INVALID_OPERATION, _NOT_SUPPORTED, _ALREADY, _INVALID_RATE = 0, 1, 3, 6, 8
_RATE, _RESOLUTION, _RANGE = 0, 1, 2
_RATES_HZ = {ECG: (130,), ACCELERATION: (25, 50, 100, 200), PULSE_INTERVALS: ()}
_FEATURE_BITS = 1 << ECG | 1 << ACCELERATION | 1 << PULSE_INTERVALS
_HEAD_BYTES = 10
_BITS = {ECG: 14, ACCELERATION: 16}


class PolarStrap(HeartStrap):
    """One strap; `running` holds the rate of each measurement that was started."""

    model = "Simulated H10"
    period_s = 0.25

    def __init__(self, device: Device, *, address: str, battery_percent: int) -> None:
        self._data = notifying(DATA)
        value: CharacteristicValue[bytes] = CharacteristicValue(read=self._features, write=self._commanded)
        self._control = writable(CONTROL, value, Characteristic.Properties.READ, Characteristic.Properties.INDICATE)
        self.running: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._answers: set[asyncio.Task[None]] = set()
        measurements = Service(uuid_of(SERVICE), [self._control, self._data])
        super().__init__(device, address=address, battery_percent=battery_percent, more_services=[measurements])
        device.on(Device.EVENT_CONNECTION, self._connected)

    async def speak(self, time_s: float) -> bool:
        """Send the heart rate once a second, and what was measured since the last call of what is running."""
        heard = await super().speak(time_s) if time_s % 1.0 < self.period_s else bool(self.subscribers())
        for measurement, rate_hz in list(self.running.items()):
            if measurement == PULSE_INTERVALS:
                await self.send(self._data, encode_pulses([(140, 428, 6, 0x06)]))
                continue
            due = int(time_s * rate_hz)
            first = self._sent.get(measurement, max(0, due - round(self.period_s * rate_hz)))
            await self._send_samples(measurement, rate_hz, first, due)
            self._sent[measurement] = due
        return heard

    async def _send_samples(self, measurement: int, rate_hz: int, first: int, end: int) -> None:
        """Send samples first..end-1 in frames as long as the link takes."""
        room = (self.room(self._data) - _HEAD_BYTES) // (3 if measurement == ECG else 6)
        for start in range(first, end, max(room, 1)):
            stop = min(start + max(room, 1), end)
            time_ns = POWER_ON_NS + (stop - 1) * 1_000_000_000 // rate_hz
            if measurement == ECG:
                body = encode_ecg(time_ns, [_ecg_uv(i / rate_hz) for i in range(start, stop)])
            else:
                body = encode_acceleration(time_ns, [_motion_mg(i / rate_hz) for i in range(start, stop)])
            await self.send(self._data, body)

    def _connected(self, connection: Connection) -> None:
        connection.on(connection.EVENT_DISCONNECTION, self._disconnected)

    def _disconnected(self, _reason: int) -> None:
        self.running.clear()
        self._sent.clear()

    @staticmethod
    def _features(_connection: Connection) -> bytes:
        return bytes([_FEATURES, _FEATURE_BITS, 0])

    def _commanded(self, connection: Connection, body: bytes) -> None:
        """Answer a command by an indication, after the write's own response."""
        if not body:
            raise ATT_Error(ErrorCode.INVALID_ATTRIBUTE_LENGTH)
        task = asyncio.create_task(
            self._device.indicate_subscriber(connection, self._control, self._answer(body)), name="answer"
        )
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def _answer(self, body: bytes) -> bytes:
        """Obey one command and return the answer: operation, measurement, status, no more to come, settings."""
        operation, measurement = body[0], body[1] if len(body) > 1 else 0xFF
        status, settings = _DONE, b""
        if measurement not in _RATES_HZ:
            status = _NOT_SUPPORTED
        elif operation == _GET_SETTINGS:
            settings = _settings(measurement)
        elif operation == _START:
            status = self._begin(measurement, body[2:])
        elif operation == _STOP:
            status = _DONE if self.running.pop(measurement, None) is not None else _ALREADY
            self._sent.pop(measurement, None)
        else:
            status = _INVALID_OPERATION
        return bytes([_ANSWER, operation, measurement, status, 0]) + settings

    def _begin(self, measurement: int, wanted: bytes) -> int:
        if measurement in self.running:
            return _ALREADY
        rate_hz = int.from_bytes(wanted[2:4], "little") if wanted[:2] == bytes([_RATE, 1]) else 0
        if _RATES_HZ[measurement] and rate_hz not in _RATES_HZ[measurement]:
            return _INVALID_RATE
        self.running[measurement] = rate_hz
        return _DONE


def _settings(measurement: int) -> bytes:
    rates = _RATES_HZ[measurement]
    if not rates:
        return b""
    body = bytes([_RATE, len(rates)]) + b"".join(rate.to_bytes(2, "little") for rate in rates)
    body += bytes([_RESOLUTION, 1, _BITS[measurement], 0])
    return body + (bytes([_RANGE, 3, 2, 0, 4, 0, 8, 0]) if measurement == ACCELERATION else b"")


def _ecg_uv(time_s: float) -> int:
    """Return a spike of 1 mV at each beat of 140 a minute, on a slow wave."""
    phase = time_s * 140 / 60 % 1.0
    return round(1000 * math.exp(-((phase - 0.5) ** 2) / 0.0008) + 50 * math.sin(2 * math.pi * time_s / 4))


def _motion_mg(time_s: float) -> tuple[int, int, int]:
    """Return the swing of a chest at 170 steps a minute around 1 g."""
    swing = math.sin(2 * math.pi * time_s * 170 / 60)
    return round(80 * swing), round(-30 * swing), round(1000 + 450 * swing)
