"""A Movesense-like sensor: subscriptions by resource path, data with the reference that its client chose.

Layout: movesense.com/docs/esw/gatt_sensordata_protocol. Data: kind 2, reference, time of the first sample (32 bits,
ms since power-on), samples; what does not fit a notification follows as kind 3. Heart rate has no time.
"""

import asyncio
import math
import re
import struct
from collections.abc import Sequence

from bumble.device import Connection, Device
from bumble.gatt import CharacteristicValue, Service

from firmware_sim.devices.heart_strap import heart_rate_bpm
from firmware_sim.devices.peripheral import Peripheral, notifying, uuid_of, writable

SERVICE = "34802252-7185-4d5d-b431-630e7050e8f0"
WRITE = "34800001-7185-4d5d-b431-630e7050e8f0"
NOTIFY = "34800002-7185-4d5d-b431-630e7050e8f0"

_HELLO, _SUBSCRIBE, _UNSUBSCRIBE = 0, 1, 2
_ANSWER, _DATA, _REST = 1, 2, 3
_OK, _NOT_FOUND = 200, 404
_PATH = re.compile(r"/?Meas/(?:(HR)|(ECG|Acc|IMU6|IMU9)/(\d{2,3}))")
_VECTORS = {"Acc": 1, "IMU6": 2, "IMU9": 3}

Vector = tuple[float, float, float]


def encode_ecg(reference: int, time_ms: int, samples: Sequence[int]) -> bytes:
    """Return an ECG packet: 32 bits a sample, in steps of the converter."""
    return struct.pack(f"<BBI{len(samples)}i", _DATA, reference, time_ms, *samples)


def encode_motion(reference: int, time_ms: int, *vectors: Sequence[Vector]) -> bytes:
    """Return a motion packet: all accelerations (m/s²), then all turn rates (°/s), then all fields (µT)."""
    values = [value for group in vectors for vector in group for value in vector]
    return struct.pack(f"<BBI{len(values)}f", _DATA, reference, time_ms, *values)


def encode_heart_rate(reference: int, average_bpm: float, rr_ms: Sequence[int]) -> bytes:
    """Return a heart-rate packet."""
    return struct.pack(f"<BBf{len(rr_ms)}H", _DATA, reference, average_bpm, *rr_ms)


def split(packet: bytes, room: int) -> list[bytes]:
    """Return a packet as notifications of at most `room` bytes: the first as it is, the rest as kind 3."""
    if len(packet) <= room:
        return [packet]
    return [packet[:room], bytes([_REST, packet[1]]) + packet[room:]]


class Movesense(Peripheral):
    """One sensor; `subscribed` holds (kind, rate) by the client's reference, and ends with the link."""

    model = "Simulated Movesense"
    period_s = 0.1

    def __init__(self, device: Device, *, address: str, battery_percent: int) -> None:
        self._data = notifying(NOTIFY)
        write: CharacteristicValue[bytes] = CharacteristicValue(write=self._commanded)
        self.subscribed: dict[int, tuple[str, int]] = {}
        self._sent: dict[int, int] = {}
        self._answers: set[asyncio.Task[bool]] = set()
        super().__init__(
            device,
            address=address,
            battery_percent=battery_percent,
            service=SERVICE,
            services=[Service(uuid_of(SERVICE), [writable(WRITE, write), self._data])],
        )
        device.on(Device.EVENT_CONNECTION, self._connected)

    async def speak(self, time_s: float) -> bool:
        """Send what was measured since the last call of every subscription."""
        for reference, (kind, rate_hz) in list(self.subscribed.items()):
            if kind == "HR":
                if time_s % 1.0 < self.period_s:
                    bpm = heart_rate_bpm(time_s)
                    await self.send(self._data, encode_heart_rate(reference, bpm, [round(60_000 / bpm)]))
                continue
            due = int(time_s * rate_hz)
            first = self._sent.get(reference, max(0, due - round(self.period_s * rate_hz)))
            if first < due:
                packet = _packet(reference, kind, rate_hz, range(first, due))
                for part in split(packet, self.room(self._data)):
                    await self.send(self._data, part)
            self._sent[reference] = due
        return bool(self.listeners(self._data))

    def _connected(self, connection: Connection) -> None:
        connection.on(connection.EVENT_DISCONNECTION, self._disconnected)

    def _disconnected(self, _reason: int) -> None:
        self.subscribed.clear()
        self._sent.clear()

    def _commanded(self, _connection: Connection, body: bytes) -> None:
        """Obey one command and answer it by a notification."""
        if len(body) < 2:
            return
        command, reference, path = body[0], body[1], body[2:].decode("ascii", "replace")
        status = _OK
        if command == _SUBSCRIBE:
            found = _PATH.fullmatch(path)
            if found is None:
                status = _NOT_FOUND
            else:
                self.subscribed[reference] = (found[1] or found[2], int(found[3] or 0))
        elif command == _UNSUBSCRIBE:
            status = _OK if self.subscribed.pop(reference, None) else _NOT_FOUND
            self._sent.pop(reference, None)
        elif command != _HELLO:
            status = _NOT_FOUND
        task = asyncio.create_task(
            self.send(self._data, struct.pack("<BBH", _ANSWER, reference, status)), name="answer"
        )
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)


def _packet(reference: int, kind: str, rate_hz: int, samples: range) -> bytes:
    time_ms = samples.start * 1000 // rate_hz
    times_s = [i / rate_hz for i in samples]
    if kind == "ECG":
        return encode_ecg(reference, time_ms, [round(2600 * math.sin(14 * t) ** 9) for t in times_s])
    swing = [math.sin(2 * math.pi * t * 170 / 60) for t in times_s]
    groups: list[list[Vector]] = [
        [(0.8 * s, -0.3 * s, 9.81 + 4.5 * s) for s in swing],
        [(40 * s, -15 * s, 5 * s) for s in swing],
        [(20.0, -5.0, 43.0) for _ in swing],
    ]
    return encode_motion(reference, time_ms, *groups[: _VECTORS[kind]])
