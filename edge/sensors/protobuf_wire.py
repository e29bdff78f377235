"""Protocol Buffers' wire format, reading only: fields of a message, every length bounded (protobuf.dev, Encoding)."""

import struct
from collections.abc import Iterator
from typing import Final

from shared.errors import DecodeError

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_MAX_FIELDS: Final = 20_000

Value = int | bytes


def fields(body: bytes) -> Iterator[tuple[int, int, Value]]:
    """Yield (field number, wire type, value); fixed values come as their 4 or 8 bytes, little-endian.

    Raises: DecodeError for a cut field, a varint beyond 64 bits, a group (types 3 and 4), or too many fields.
    """
    at, end = 0, len(body)
    for _ in range(_MAX_FIELDS):
        if at == end:
            return
        tag = body[at]
        if tag < 0x80:  # nearly all: a field below 16
            at += 1
        else:
            tag, at = _varint(body, at)
        kind, number = tag & 7, tag >> 3
        if not 0 < number < 2**29:
            raise DecodeError("a protobuf field without a number")
        value: Value
        if kind == VARINT:
            value, at = _varint(body, at)
        else:
            if kind == BYTES:
                length, at = _varint(body, at)
            elif kind in (FIXED64, FIXED32):
                length = 8 if kind == FIXED64 else 4
            else:
                raise DecodeError("a protobuf wire type that we do not read")
            if length > end - at:
                raise DecodeError("a protobuf field longer than its message")
            value = body[at : at + length]
            at += length
        yield number, kind, value
    raise DecodeError("a protobuf message with too many fields")


def as_float(value: bytes) -> float:
    """Return a fixed32 or fixed64 as the number that it holds."""
    number: float = struct.unpack("<f" if len(value) == 4 else "<d", value)[0]
    return number


def _varint(body: bytes, at: int) -> tuple[int, int]:
    if at < len(body) and body[at] < 0x80:
        return body[at], at + 1
    value = shift = 0
    while shift < 70:
        if at >= len(body):
            raise DecodeError("a protobuf number is cut short")
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, at
        shift += 7
    raise DecodeError("a protobuf number beyond 64 bits")
