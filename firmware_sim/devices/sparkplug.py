"""A Sparkplug B edge node with devices; writes protobuf from sparkplug_b.proto by hand (Sparkplug 3.0.0 §6.4)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

INT32, INT64, FLOAT, DOUBLE, BOOLEAN = 3, 4, 9, 10, 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric: by name at birth, by alias afterwards. `t_ms` is UTC."""

    name: str | None
    value: float | None
    datatype: int | None = DOUBLE
    alias: int | None = None
    t_ms: int | None = None
    historical: bool = False


def encode_payload(metrics: Sequence[Metric], *, t_ms: int, seq: int | None) -> bytes:
    """Return a payload; a death has no sequence."""
    body = _number(1, t_ms)
    for metric in metrics:
        body += _bytes(2, _metric(metric))
    return body if seq is None else body + _number(3, seq)


@dataclass(slots=True, kw_only=True)
class Node:
    """One edge node: counts 0..255 over all its messages; devices are born with aliases."""

    group: str
    node: str
    bd_seq: int = 0
    seq: int = 0
    aliases: dict[str, int] = field(default_factory=dict)

    def topic(self, kind: str, device: str | None = None) -> str:
        """Return a topic of this node, or of one of its devices."""
        tail = "" if device is None else f"/{device}"
        return f"spBv1.0/{self.group}/{kind}/{self.node}{tail}"

    def birth(self, names: Sequence[str], *, t_ms: int) -> bytes:
        """Return the node's birth, which starts the sequence at 0; its metrics have no values yet."""
        self.seq = 0
        first = Metric(name="bdSeq", value=self.bd_seq, datatype=INT64)
        return self._next([first, *(self._named(name, None, t_ms) for name in names)], t_ms)

    def device_birth(self, device: str, values: dict[str, float], *, t_ms: int) -> bytes:
        """Return a device's birth with its values at that time."""
        named = [self._named(f"{device}/{name}", value, t_ms, name) for name, value in values.items()]
        return self._next(named, t_ms)

    def device_values(self, device: str, values: dict[str, float], *, t_ms: int, historical: bool = False) -> bytes:
        """Return a device's values by alias."""
        return self._next(
            [
                Metric(
                    name=None,
                    alias=self.aliases[f"{device}/{name}"],
                    value=value,
                    datatype=None,
                    t_ms=t_ms,
                    historical=historical,
                )
                for name, value in values.items()
            ],
            t_ms,
        )

    def values(self, values: dict[str, float], *, t_ms: int) -> bytes:
        """Return the node's own metrics by alias; `tag-1/x_m` speaks of a device."""
        return self._next(
            [Metric(name=None, alias=self.aliases[name], value=value, datatype=None) for name, value in values.items()],
            t_ms,
        )

    def death(self, *, t_ms: int) -> bytes:
        """Return the node's will."""
        return encode_payload([Metric(name="bdSeq", value=self.bd_seq, datatype=INT64)], t_ms=t_ms, seq=None)

    def _named(self, key: str, value: float | None, t_ms: int, name: str | None = None) -> Metric:
        alias = self.aliases.setdefault(key, len(self.aliases) + 1)
        return Metric(name=name or key, alias=alias, value=value, t_ms=t_ms)

    def _next(self, metrics: Sequence[Metric], t_ms: int) -> bytes:
        body = encode_payload(metrics, t_ms=t_ms, seq=self.seq)
        self.seq = (self.seq + 1) % 256
        return body


def _metric(metric: Metric) -> bytes:
    body = b"" if metric.name is None else _bytes(1, metric.name.encode("utf-8"))
    if metric.alias is not None:
        body += _number(2, metric.alias)
    if metric.t_ms is not None:
        body += _number(3, metric.t_ms)
    if metric.datatype is not None:
        body += _number(4, metric.datatype)
    if metric.historical:
        body += _number(5, 1)
    if metric.value is None:
        return body + _number(7, 1)
    if metric.datatype == INT32:
        return body + _number(10, int(metric.value) & 0xFFFFFFFF)
    if metric.datatype == INT64:
        return body + _number(11, int(metric.value) & 0xFFFFFFFFFFFFFFFF)
    if metric.datatype == FLOAT:
        return body + _tag(12, 5) + struct.pack("<f", metric.value)
    if metric.datatype == BOOLEAN:
        return body + _number(14, int(metric.value))
    return body + _tag(13, 1) + struct.pack("<d", metric.value)


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _number(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
