"""Movesense sensors: the GATT SensorData Protocol's notifications (movesense.com/docs/esw/gatt_sensordata_protocol).

Packet: [kind][reference][content]; kind 1 answers a command with a 16-bit status, 2 is data, 3 the rest of data that
did not fit. Data begins with the first sample's time, 32 bits of ms since power-on; heart rate has none. The reference
says which resource it is (see `edge.sensors.movesense`).
"""

import math
import struct
from collections.abc import Iterable

from edge.sensors import movesense
from edge.sensors.base import About, Decoded, DeviceClock, Sensor
from edge.sensors.movesense import RESOURCES, Resource
from shared.errors import DecodeError

_ANSWER, _DATA, _REST = 1, 2, 3
_OK = range(200, 300)
_STANDARD_GRAVITY_MPS2 = 9.80665
# The ADC's step: 100 mV in 2^18 (movesense.com, "ECG data" of the API reference).
_ECG_STEP_UV = 100_000 / 2**18
_TIME = struct.Struct("<I")
# Values of each sample by kind; motion stands axis by axis: all accelerations, all turn rates, all fields.
_VECTORS = {"Acc": 1, "IMU6": 2, "IMU9": 3}
_VECTOR_BYTES = 12
# Two full notifications of the largest MTU.
_MOST_BYTES = 1024
_NO_TURN = (math.nan, math.nan, math.nan)


class MovesenseMemory:
    """The first parts of packets whose rest has not come, by reference."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[int, bytes] = {}


class MovesenseSensor(Sensor):
    """Heart rate, accelerations with turn rates, and ECG."""

    name = "movesense"
    channels = (movesense.NOTIFY,)
    services = (movesense.SERVICE,)

    def start(self) -> MovesenseMemory:
        """Return the memory of a sensor that has sent nothing."""
        return MovesenseMemory()

    def decode(self, channel: str, body: bytes, memory: MovesenseMemory) -> tuple[Decoded | About, ...]:  # noqa: ARG002
        """Return the rows of a packet; nothing for the first part of a long one."""
        if len(body) < 2:
            raise DecodeError("packet has no reference", offset=len(body))
        kind, reference, content = body[0], body[1], body[2:]
        resource = RESOURCES.get(reference)
        if resource is None:
            raise DecodeError("reference was not asked for")
        if kind == _ANSWER:
            return _answer(resource, content)
        if len(content) > _MOST_BYTES:
            raise DecodeError("packet is longer than any notification")
        if kind == _DATA and not _is_whole(resource, content):
            # An older part whose rest was lost makes way.
            memory.waiting[reference] = content
            return ()
        if kind == _REST:
            if reference not in memory.waiting:
                raise DecodeError("second part without a first")
            content = memory.waiting[reference] + content
            if len(content) > _MOST_BYTES or not _is_whole(resource, content):
                raise DecodeError("joined parts are no whole samples")
        elif kind != _DATA:
            raise DecodeError("kind of packet is unknown")
        decoded = _read(resource, content)
        memory.waiting.pop(reference, None)
        return decoded


def _answer(resource: Resource, content: bytes) -> tuple[About, ...]:
    if len(content) < 2:
        raise DecodeError("answer has no status")
    status = int.from_bytes(content[:2], "little")
    word = "started" if status in _OK else f"refused: status {status}"
    return (About(facts=((f"movesense {resource.path}", word),)),)


def _sample_bytes(resource: Resource) -> int:
    return 4 if resource.kind == "ECG" else _VECTOR_BYTES * _VECTORS[resource.kind]


def _is_whole(resource: Resource, content: bytes) -> bool:
    """Return whether the content holds whole samples; what is too short for a time is left to be refused."""
    if resource.kind == "HR" or len(content) < _TIME.size:
        return True
    samples, left = divmod(len(content) - _TIME.size, _sample_bytes(resource))
    return not left and samples > 0


def _read(resource: Resource, content: bytes) -> tuple[Decoded, ...]:
    if resource.kind == "HR":
        return _heart_rate(content)
    if len(content) < _TIME.size:
        raise DecodeError("packet has no time", offset=len(content))
    if resource.kind == "ECG":
        values = struct.unpack_from(f"<{len(content) // 4 - 1}i", content, _TIME.size)
        rows = tuple([(value * _ECG_STEP_UV,) for value in values])
        return (_timed("ecg", rows, resource, content),)
    return (_timed("imu", _motion(resource, content), resource, content),)


def _heart_rate(content: bytes) -> tuple[Decoded, ...]:
    """Return the average (float, bpm) and the intervals behind it (16 bits each, ms)."""
    if len(content) < 4 or len(content) % 2:
        raise DecodeError("heart rate is not as long as it must be", offset=len(content))
    average, *intervals = struct.unpack(f"<f{len(content) // 2 - 2}H", content)
    _refuse_strange((average,))
    heart_rate = Decoded(stream="heart_rate", rows=((average, math.nan, math.nan),))
    if not intervals:
        return (heart_rate,)
    return heart_rate, Decoded(stream="rr", rows=tuple([(float(ms),) for ms in intervals]))


def _motion(resource: Resource, content: bytes) -> tuple[tuple[float, ...], ...]:
    values = struct.unpack_from(f"<{len(content) // 4 - 1}f", content, _TIME.size)
    _refuse_strange(values)
    count = len(values) // (3 * _VECTORS[resource.kind])
    vectors = list(zip(values[::3], values[1::3], values[2::3], strict=True))
    turns: Iterable[tuple[float, ...]] = vectors[count : 2 * count] if resource.kind != "Acc" else [_NO_TURN] * count
    return tuple(
        [
            (x / _STANDARD_GRAVITY_MPS2, y / _STANDARD_GRAVITY_MPS2, z / _STANDARD_GRAVITY_MPS2, *turn)
            for (x, y, z), turn in zip(vectors[:count], turns, strict=True)
        ]
    )


def _refuse_strange(values: Iterable[float]) -> None:
    if not all(map(math.isfinite, values)):
        raise DecodeError("value is not a number")


def _timed(stream: str, rows: tuple[tuple[float, ...], ...], resource: Resource, content: bytes) -> Decoded:
    period_ns = round(1e9 / resource.rate_hz)
    first_ns = _TIME.unpack_from(content)[0] * 1_000_000
    return Decoded(
        stream=stream,
        rows=rows,
        device_ns=first_ns + (len(rows) - 1) * period_ns,
        clock=DeviceClock.OWN,
        period_ns=period_ns,
    )
