"""Advertising reports as an adapter sends them over HCI, read without a library's pains. Pure.

A squad's straps advertise some hundred times a second, most of it repetition; a general HCI parser takes half a
millisecond for each. Bluetooth Core 5.4, Vol 4 Part E §7.7.65.2 (LE Advertising Report) and §7.7.65.13 (LE Extended
Advertising Report); data formats: Core Specification Supplement, Part A §1.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

_EVENT, _LE_META, _LEGACY, _EXTENDED = 0x04, 0x3E, 0x02, 0x0D
_LEGACY_HEAD = struct.Struct("<BB6sB")
_EXTENDED_HEAD = struct.Struct("<HB6sBBBbbHB6sB")
_LEGACY_RESPONSE, _EXTENDED_RESPONSE = 0x04, 0x08
_BASE_UUID = "-0000-1000-8000-00805f9b34fb"
_SERVICES_16, _SERVICES_32, _SERVICES_128 = (0x02, 0x03), (0x04, 0x05), (0x06, 0x07)
_NAMES, _TX_POWER, _COMPANY = (0x08, 0x09), 0x0A, 0xFF
_NOT_MEASURED_DBM = 127


@dataclass(frozen=True, slots=True)
class Report:
    """One advertisement, or the answer to a scan request that adds to it; `address` counts from its last byte."""

    address: bytes
    address_type: int
    rssi_dbm: int
    body: bytes
    is_response: bool


@dataclass(slots=True)
class Fields:
    """What an advertisement says."""

    name: str | None = None
    services: list[str] = field(default_factory=list)
    companies: dict[int, bytes] = field(default_factory=dict)
    tx_power_dbm: int | None = None


def is_reports(packet: bytes) -> bool:
    """Return whether an HCI packet holds advertising reports."""
    return len(packet) > 4 and packet[0] == _EVENT and packet[1] == _LE_META and packet[3] in (_LEGACY, _EXTENDED)


def read_reports(packet: bytes) -> Iterator[Report]:
    """Yield the reports of a packet; what is cut short ends it."""
    count, offset = packet[4], 5
    head, extended = (_LEGACY_HEAD, False) if packet[3] == _LEGACY else (_EXTENDED_HEAD, True)
    for _ in range(count):
        if offset + head.size > len(packet):
            return
        given = head.unpack_from(packet, offset)
        kind, address_type, address, size = given[0], given[1], given[2], given[-1]
        end = offset + head.size + size
        # The strength stands behind the body of an old report, and in the head of an extended one.
        if end + (not extended) > len(packet):
            return
        rssi_dbm = given[7] if extended else struct.unpack_from("<b", packet, end)[0]
        yield Report(
            address=address,
            address_type=address_type,
            rssi_dbm=-127 if rssi_dbm == _NOT_MEASURED_DBM else rssi_dbm,
            body=packet[offset + head.size : end],
            is_response=bool(kind & _EXTENDED_RESPONSE) if extended else kind == _LEGACY_RESPONSE,
        )
        offset = end + (not extended)


@lru_cache(maxsize=1024)
def read_fields(body: bytes) -> Fields:
    """Return what advertising data says; a field that is cut short ends it. Not to be changed by the caller."""
    found = Fields()
    offset = 0
    while offset + 1 < len(body):
        size = body[offset]
        kind, value = body[offset + 1], body[offset + 2 : offset + 1 + size]
        if size == 0 or offset + 1 + size > len(body):
            break
        offset += 1 + size
        if kind in _SERVICES_16:
            found.services += [f"0000{part[::-1].hex()}{_BASE_UUID}" for part in _parts(value, 2)]
        elif kind in _SERVICES_32:
            found.services += [f"{part[::-1].hex()}{_BASE_UUID}" for part in _parts(value, 4)]
        elif kind in _SERVICES_128:
            found.services += [_dashed(part[::-1].hex()) for part in _parts(value, 16)]
        elif kind in _NAMES:
            found.name = value.decode("utf-8", "replace")
        elif kind == _TX_POWER and len(value) == 1:
            found.tx_power_dbm = struct.unpack("<b", value)[0]
        elif kind == _COMPANY and len(value) >= 2:
            found.companies[int.from_bytes(value[:2], "little")] = value[2:]
    return found


def _parts(value: bytes, size: int) -> list[bytes]:
    return [value[i : i + size] for i in range(0, len(value) - size + 1, size)]


def _dashed(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
