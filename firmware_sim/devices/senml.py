"""A device that speaks SenML (RFC 8428) in JSON or CBOR; the CBOR writer is its own (RFC 8949, definite lengths)."""

import json
import struct
from collections.abc import Mapping, Sequence

Record = Mapping[str, str | float]
"""One record by JSON labels."""

# RFC 8428 table 4.
_LABELS = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
    "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}  # fmt: skip


def topic(kind: str, sensor: str) -> str:
    """Return where a device's packs go; `kind` is `json` or `cbor`."""
    return f"senml/{kind}/{sensor}"


def pack(device: str, t_s: float, values: Sequence[tuple[str, str, float]]) -> list[Record]:
    """Return one pack: what a device measured at one time, as (name, SenML unit, value)."""
    records: list[dict[str, str | float]] = [{"n": name, "u": unit, "v": value} for name, unit, value in values]
    return [{"bn": f"urn:dev:mac:{device}:", "bt": t_s, **records[0]}, *records[1:]]


def encode_json(records: Sequence[Record]) -> bytes:
    """Return a pack in JSON."""
    return json.dumps([dict(record) for record in records], separators=(",", ":")).encode("ascii")


def encode_cbor(records: Sequence[Record]) -> bytes:
    """Return a pack in CBOR with integer labels."""
    body = _head(4, len(records))
    for record in records:
        body += _head(5, len(record))
        for label, value in record.items():
            body += _item(_LABELS[label]) + _item(value)
    return body


def _item(value: str | float) -> bytes:
    if isinstance(value, str):
        text = value.encode("utf-8")
        return _head(3, len(text)) + text
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    return b"\xfb" + struct.pack(">d", value)


def _head(major: int, count: int) -> bytes:
    """Return a major type with its count in the shortest form."""
    first = major << 5
    if count < 24:
        return bytes((first | count,))
    for code, letter, bound in ((24, "B", 2**8), (25, "H", 2**16), (26, "I", 2**32), (27, "Q", 2**64)):
        if count < bound:
            return bytes((first | code,)) + struct.pack(f">{letter}", count)
    raise ValueError(f"{count} does not fit 64 bits")
