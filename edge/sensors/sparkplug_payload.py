"""Sparkplug B's payload (Eclipse Sparkplug 3.0.0, §6.4): metrics with alias, datatype and time. Knows no quantities."""

from typing import Final

import msgspec

from edge.sensors.fields import MAX_BODY_BYTES
from edge.sensors.protobuf_wire import BYTES, FIXED32, FIXED64, VARINT, as_float, fields
from shared.errors import DecodeError

_MAX_NAME: Final = 256
_COMPRESSED: Final = "SPBV1.0_COMPRESSED"
# §6.4.16: Int8, Int16 and Int32 are two's complement in 32 bits, Int64 in 64.
_SIGNED_32: Final = (1, 2, 3)
_SIGNED_64: Final = 4
# Field number of a metric -> wire type that it must have (sparkplug_b.proto).
_METRIC_TYPES: Final = {
    1: BYTES, 2: VARINT, 3: VARINT, 4: VARINT, 5: VARINT, 7: VARINT,
    10: VARINT, 11: VARINT, 12: FIXED32, 13: FIXED64, 14: VARINT,
}  # fmt: skip


class Metric(msgspec.Struct, gc=False):
    """One metric as sent; `value` is None where it is null, text, bytes, a table or a template."""

    name: str | None = None
    alias: int | None = None
    time_ms: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_null: bool = False
    whole: int | None = None
    value: float | None = None

    def number(self, datatype: int | None) -> float | None:
        """Return the value as `datatype` reads it: whole numbers carry no sign of their own."""
        if self.is_null:
            return None
        if self.whole is None:
            return self.value
        if datatype in _SIGNED_32 and self.whole >= 2**31:
            return float(self.whole - 2**32)
        if datatype == _SIGNED_64 and self.whole >= 2**63:
            return float(self.whole - 2**64)
        return float(self.whole)


class Payload(msgspec.Struct):
    """One message: its time in ms of UTC, its sequence 0..255 and its metrics."""

    metrics: list[Metric]
    time_ms: int | None = None
    seq: int | None = None


def read_payload(body: bytes) -> Payload:
    """Return a payload.

    Raises: DecodeError for what is no protobuf, has a field of the wrong type, a sequence above 255, or is compressed.
    """
    if len(body) > MAX_BODY_BYTES:
        raise DecodeError("body is longer than any sensor sends")
    payload = Payload(metrics=[])
    for number, kind, value in fields(body):
        if number == 1 and kind == VARINT and isinstance(value, int):
            payload.time_ms = value
        elif number == 2 and kind == BYTES and isinstance(value, bytes):
            payload.metrics.append(_metric(value))
        elif number == 3 and kind == VARINT and isinstance(value, int):
            payload.seq = value
        elif number == 4 and value == _COMPRESSED.encode():
            raise DecodeError("a compressed Sparkplug payload")
        elif number in (1, 2, 3):
            raise DecodeError("a Sparkplug field of the wrong type")
    if payload.seq is not None and payload.seq > 255:
        raise DecodeError("a Sparkplug sequence above 255")
    return payload


def _metric(body: bytes) -> Metric:
    metric = Metric()
    for number, kind, value in fields(body):
        if _METRIC_TYPES.get(number, kind) != kind:
            raise DecodeError("a Sparkplug field of the wrong type")
        if isinstance(value, int):
            _take(metric, number, value)
        elif number == 1:
            metric.name = _text(value)
        elif number in (12, 13):
            metric.value = as_float(value)
    return metric


def _take(metric: Metric, number: int, value: int) -> None:
    """Set the field that a whole number is for; others (a transient's mark, extensions) say nothing here."""
    match number:
        case 2:
            metric.alias = value
        case 3:
            metric.time_ms = value
        case 4:
            metric.datatype = value
        case 5:
            metric.is_historical = bool(value)
        case 7:
            metric.is_null = bool(value)
        case 10 | 11:
            metric.whole = value
        case 14:
            metric.value = float(bool(value))


def _text(value: bytes) -> str:
    if len(value) > _MAX_NAME:
        raise DecodeError("a Sparkplug metric with an endless name")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise DecodeError("a Sparkplug name that is not UTF-8") from exc
