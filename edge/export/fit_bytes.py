"""FIT as bytes: header, definitions, messages, checksum (Garmin FIT SDK, "Flexible and Interoperable Data Transfer").

Little endian, no developer fields, no compressed timestamps. Values come in the unit of the profile and leave as
integers: round((value + offset) * scale); what is missing, or does not fit, leaves as the type's invalid value.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.clock import NS_PER_S

# 1989-12-31T00:00:00Z in Unix seconds: where FIT counts from.
EPOCH_S = 631_065_600
_PROTOCOL, _PROFILE = 0x10, 2132
_HEADER = struct.Struct("<BBHI4s")
_HEADER_BYTES = 14
_DEFINITION = 0x40
_NIBBLES = (0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401, 0xA001, 0x6C00, 0x7800, 0xB401, 0x5000,
            0x9C01, 0x8801, 0x4400)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseType:
    """One of the profile's base types: its number, its struct letter, its invalid value."""

    number: int
    letter: str
    invalid: int

    @property
    def size_bytes(self) -> int:
        """Bytes of one value."""
        return struct.calcsize(self.letter)


ENUM = BaseType(number=0x00, letter="B", invalid=0xFF)
UINT8 = BaseType(number=0x02, letter="B", invalid=0xFF)
UINT16 = BaseType(number=0x84, letter="H", invalid=0xFFFF)
SINT32 = BaseType(number=0x85, letter="i", invalid=0x7FFFFFFF)
UINT32 = BaseType(number=0x86, letter="I", invalid=0xFFFFFFFF)
UINT32Z = BaseType(number=0x8C, letter="I", invalid=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a message; `count` above 1 is an array."""

    name: str
    number: int
    base: BaseType
    scale: float = 1.0
    offset: float = 0.0
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One kind of message as this file writes it: its global number and its fields in order."""

    number: int
    fields: tuple[Field, ...]


class FitFile:
    """Collects messages; each layout is defined once, before its first message."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._locals: list[Layout] = []

    def add(self, layout: Layout, values: Mapping[str, float | Sequence[float]]) -> None:
        """Append a message; fields without a value, or with NaN, are invalid."""
        if layout not in self._locals:
            self._define(layout)
        self._body.append(self._locals.index(layout))
        for field in layout.fields:
            given = values.get(field.name, math.nan)
            numbers = [given] if isinstance(given, int | float) else list(given)
            numbers += [math.nan] * (field.count - len(numbers))
            self._body += struct.pack(f"<{field.count}{field.base.letter}", *(_raw(field, n) for n in numbers))

    def to_bytes(self) -> bytes:
        """Return the whole file."""
        head = _HEADER.pack(_HEADER_BYTES, _PROTOCOL, _PROFILE, len(self._body), b".FIT")
        whole = head + struct.pack("<H", crc16(head)) + bytes(self._body)
        return whole + struct.pack("<H", crc16(whole))

    def _define(self, layout: Layout) -> None:
        self._body.append(_DEFINITION | len(self._locals))
        self._body += struct.pack("<BBHB", 0, 0, layout.number, len(layout.fields))
        for field in layout.fields:
            self._body += bytes((field.number, field.count * field.base.size_bytes, field.base.number))
        self._locals.append(layout)


def fit_time(time_ns: int) -> int:
    """Return UTC nanoseconds as whole seconds of FIT."""
    return time_ns // NS_PER_S - EPOCH_S


def crc16(body: bytes) -> int:
    """Return the checksum of the FIT specification: CRC-16/ARC, a nibble at a time."""
    crc = 0
    for byte in body:
        for nibble in (byte & 0xF, byte >> 4):
            crc = (crc >> 4) ^ _NIBBLES[crc & 0xF] ^ _NIBBLES[nibble]
    return crc


def _raw(field: Field, value: float) -> int:
    if not math.isfinite(value):
        return field.base.invalid
    raw = round((value + field.offset) * field.scale)
    low = -(2**31) if field.base is SINT32 else 0
    high = 2 ** (8 * field.base.size_bytes - (field.base is SINT32)) - 1
    return raw if low <= raw <= high else field.base.invalid
