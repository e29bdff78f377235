"""Reads chunks that earlier versions wrote: `SLC2`, and `SLC1` without clocks.

Layout: magic, u32 header length, header (msgpack of `_Header`), then one zlib stream of the columns: sequence, time,
quality, the device's and the gateway's monotonic clock as differences from time, and the values. A column is
delta-coded over the whole block group and stored byte plane by byte plane.
"""

import struct
import zlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import DecodeError
from shared.ids import AthleteId, SensorId
from shared.quantities import STREAMS
from shared.readings import NO_TIME, Clocks, Readings
from shared.resolution import unscale

WITH_CLOCKS = b"SLC2"
WITHOUT_CLOCKS = b"SLC1"
_HEAD = struct.Struct("<4sI")
_MAX_COLUMNS_BYTES = 64 * 1024 * 1024
_MAX_READINGS = 4_000_000


class _Block(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    sensor: str
    athlete: str | None
    origin: str
    count: int
    boot: str | None = None
    """The gateway's run that the block's monotonic times count in; None without clocks."""
    timed: bool = False
    """Whether the device sent times; without, its column holds zeros that mean nothing."""


class _Group(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    stream: str
    blocks: list[_Block]
    widths: list[int]


class _Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    groups: list[_Group]


def decode_earlier(body: bytes) -> list[Readings]:
    """Return the blocks of a chunk of an earlier version, by stream.

    Raises: DecodeError when the bytes are not a whole, well-formed chunk.
    """
    header, data, fixed = _split(body)
    blocks: list[Readings] = []
    offset = 0
    for group in header.groups:
        stream = STREAMS.get(group.stream)
        if stream is None:
            raise DecodeError(f"unknown stream {group.stream[:40]!r}")
        count = sum(_count(block) for block in group.blocks)
        if len(group.widths) != fixed + len(stream.quantities):
            raise DecodeError("wrong number of columns")
        columns: list[NDArray[np.int64]] = []
        for width in group.widths:
            if width not in (1, 2, 4, 8) or offset + width * count > len(data):
                raise DecodeError("columns do not fit the header")
            columns.append(_unpack(data[offset : offset + width * count], width, count))
            offset += width * count
        blocks += _cut(group, columns[:fixed], columns[fixed:])
    if offset != len(data):
        raise DecodeError("bytes beyond the last column")
    return blocks


def _unpack(body: bytes, width: int, count: int) -> NDArray[np.int64]:
    planes = np.frombuffer(body, np.uint8).reshape(width, count)
    narrow = np.ascontiguousarray(planes.T).view(f"<i{width}").reshape(count)
    return np.cumsum(narrow.astype(np.int64), dtype=np.int64)


def _count(block: _Block) -> int:
    if not 0 < block.count <= _MAX_READINGS:
        raise DecodeError("impossible number of readings")
    return block.count


def _split(body: bytes) -> tuple[_Header, bytes, int]:
    """Return the header, the columns' bytes, and how many columns come before the values."""
    if len(body) < _HEAD.size:
        raise DecodeError("shorter than a chunk header")
    magic, length = _HEAD.unpack_from(body)
    if magic not in (WITH_CLOCKS, WITHOUT_CLOCKS):
        raise DecodeError("not a chunk")
    try:
        header = msgspec.msgpack.decode(body[_HEAD.size : _HEAD.size + length], type=_Header)
        stream = zlib.decompressobj()
        unpacked = stream.decompress(body[_HEAD.size + length :], _MAX_COLUMNS_BYTES)
    except (msgspec.DecodeError, UnicodeDecodeError, zlib.error) as exc:
        raise DecodeError("damaged chunk") from exc
    if not stream.eof or stream.unused_data:
        raise DecodeError("columns are cut short, too long or followed by other bytes")
    return header, unpacked, 5 if magic == WITH_CLOCKS else 3


def _cut(group: _Group, fixed: list[NDArray[np.int64]], scaled: list[NDArray[np.int64]]) -> list[Readings]:
    sequence, time_ns, quality = fixed[:3]
    quantities = STREAMS[group.stream].quantities
    values = np.stack(
        [unscale(column, quantity.resolution) for column, quantity in zip(scaled, quantities, strict=True)], axis=1
    )
    blocks: list[Readings] = []
    start = 0
    for block in group.blocks:
        part = slice(start, start + block.count)
        start += block.count
        blocks.append(
            Readings(
                sensor=SensorId(block.sensor),
                stream=group.stream,
                origin=block.origin,
                sequence=sequence[part],
                time_ns=time_ns[part],
                values=values[part],
                quality=quality[part].astype(np.uint8),
                athlete=None if block.athlete is None else AthleteId(block.athlete),
                clocks=_clocks(block, time_ns[part], [column[part] for column in fixed[3:]]),
            )
        )
    return blocks


def _clocks(block: _Block, time_ns: NDArray[np.int64], behind: list[NDArray[np.int64]]) -> Clocks | None:
    if block.boot is None or not behind:
        return None
    device, mono = behind
    known = (device != NO_TIME) & block.timed
    device_ns = np.where(known, time_ns + np.where(known, device, 0), NO_TIME)
    return Clocks(boot=block.boot, device_ns=device_ns, mono_ns=time_ns + mono)
