"""What Polar's control point says: features when read, answers to commands, and streams that it ended itself.

Answer: [0xF0][operation][measurement][status][more][settings], settings as [kind][count][values]. Source: Polar BLE
SDK, online_measurement.pdf.
"""

import math
import struct
from dataclasses import dataclass

from edge.sensors import polar
from shared.errors import DecodeError

_FEATURES, _ANSWER, _ENDED = 0x0F, 0xF0, 0x01
_GET_SETTINGS, _START, _STOP = 1, 2, 3
_WORDS = {_START: "started", _STOP: "stopped"}
_STATUS = (
    "done", "invalid operation", "invalid measurement", "not supported", "invalid length", "invalid parameter",
    "already so", "invalid resolution", "invalid sample rate", "invalid range", "invalid MTU", "invalid channels",
    "invalid state", "charging", "disk full",
)  # fmt: skip
_ALREADY = 6
# Kind of setting: its name, and the bytes of one value.
_SETTINGS = {
    0: ("rate", 2),
    1: ("resolution", 2),
    2: ("range", 2),
    3: ("milliunit range", 4),
    4: ("channels", 1),
    5: ("factor", 4),
}
_FACTOR = 5
_STREAMS = {number: name for name, number in polar.MEASUREMENTS.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """Facts for people; the measurements whose stream begins or ends; the factor of the accelerations, where given."""

    facts: tuple[tuple[str, str], ...]
    changed: tuple[int, ...] = ()
    factor: float | None = None


def answer(body: bytes) -> Answer | None:
    """Return what the control point said, None where there is nothing to tell.

    Raises: DecodeError when the bytes are no answer.
    """
    if not body:
        raise DecodeError("empty answer")
    if body[0] == _FEATURES:
        bits = int.from_bytes(body[1:3], "little")
        names = [name for number, name in _STREAMS.items() if bits >> number & 1]
        return Answer((("polar_streams", ", ".join(names) or "none"),))
    if body[0] == _ENDED and len(body) > 1:
        return Answer(tuple((_named(kind), "ended by the device") for kind in body[1:]), tuple(body[1:]))
    if body[0] != _ANSWER:
        raise DecodeError("not an answer of the control point")
    if len(body) < 4:
        raise DecodeError("answer is cut short", offset=len(body))
    operation, measurement, status = body[1:4]
    if status not in (0, _ALREADY):
        return Answer(((_named(measurement), f"refused: {_word(status)}"),))
    settings = _settings(body[5:])
    if operation == _GET_SETTINGS:
        said = ", ".join(f"{name} {' '.join(map(str, values))}" for name, values in settings.items())
        return Answer(((f"{_named(measurement)}_settings", said or "none"),))
    if operation not in _WORDS:
        return None
    factors = settings.get(_SETTINGS[_FACTOR][0], ())
    factor = factors[0] if factors and measurement == polar.ACCELERATION else None
    return Answer(((_named(measurement), _WORDS[operation]),), (measurement,), factor)


def _named(measurement: int) -> str:
    return f"polar_{_STREAMS.get(measurement & 0x3F, measurement & 0x3F)}"


def _word(status: int) -> str:
    return _STATUS[status] if status < len(_STATUS) else f"status {status}"


def _settings(content: bytes) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    offset = 0
    while offset < len(content):
        if offset + 2 > len(content) or content[offset] not in _SETTINGS:
            raise DecodeError("setting is unknown", offset=offset)
        kind, count = content[offset], content[offset + 1]
        name, width = _SETTINGS[kind]
        offset += 2
        end = offset + width * count
        if end > len(content):
            raise DecodeError("setting is cut short", offset=offset)
        values = content[offset:end]
        if kind == _FACTOR:
            found[name] = _factors(values)
        else:
            found[name] = tuple(
                int.from_bytes(values[at : at + width], "little") for at in range(0, len(values), width)
            )
        offset = end
    return found


def _factors(values: bytes) -> tuple[float, ...]:
    factors = struct.unpack(f"<{len(values) // 4}f", values)
    if not all(math.isfinite(factor) and 0 < factor < 1 for factor in factors):
        raise DecodeError("factor is no factor")
    return factors
