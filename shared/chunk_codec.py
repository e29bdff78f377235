"""Readings to bytes and back for the gateway's journal: delta-coded, byte-shuffled columns, compressed, with a digest.

Layout: magic `SLC2`, u32 header length, header (msgpack of `_Header`), then one zlib stream of the columns: sequence,
time, quality, the device's and the gateway's monotonic clock as differences from time (`SLC1` has neither), and the
values. A column is int64, delta-coded over the whole block group, narrowed to the smallest signed width that holds it
and stored byte plane by byte plane, because the high bytes of small deltas are all alike (the "shuffle" filter of HDF5
and Blosc).
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import DecodeError
from shared.ids import AthleteId, SensorId
from shared.quantities import STREAMS
from shared.readings import NO_TIME, Clocks, Readings

DIGEST_BYTES = 16
_MAGIC = b"SLC2"
_MAGIC_WITHOUT_CLOCKS = b"SLC1"
_HEAD = struct.Struct("<4sI")
# A commit holds at most some seconds of a squad; anything larger than this is not ours.
_MAX_COLUMNS_BYTES = 64 * 1024 * 1024
_MAX_READINGS = 4_000_000
_MISSING = np.iinfo(np.int32).min


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


def digest(body: bytes) -> bytes:
    """Return the 16-byte BLAKE2b digest that is stored beside a chunk."""
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()


def encode_chunk(blocks: Sequence[Readings]) -> bytes:
    """Encode blocks of readings; values are rounded to their quantity's resolution, NaN stays missing."""
    groups: list[_Group] = []
    planes: list[bytes] = []
    by_stream = attrgetter("stream")
    for stream, members in groupby(sorted(blocks, key=by_stream), key=by_stream):
        parts = list(members)
        widths: list[int] = []
        for column in _columns(stream, parts):
            width, body = _pack(column)
            widths.append(width)
            planes.append(body)
        heads = [_head(part) for part in parts]
        groups.append(_Group(stream, heads, widths))
    header = msgspec.msgpack.encode(_Header(groups))
    return _HEAD.pack(_MAGIC, len(header)) + header + zlib.compress(b"".join(planes), 1)


def decode_chunk(body: bytes) -> list[Readings]:
    """Return the blocks of a chunk in the encoder's order (by stream).

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


def scale(values: NDArray[np.float64], resolution: float) -> NDArray[np.int64]:
    """Return values as whole multiples of `resolution`, int64; what is NaN or beyond int32 becomes the missing mark."""
    scaled = np.round(values / resolution)
    fits = np.abs(scaled) < 2**31 - 1
    return np.where(fits, np.where(fits, scaled, 0), _MISSING).astype(np.int64)


def unscale(column: NDArray[np.int64], resolution: float) -> NDArray[np.float64]:
    """Return the values of a scaled column, NaN for the missing mark."""
    # Dividing by the inverse keeps decimal resolutions exact: 1234 * 0.001 is not 1.234, 1234 / 1000 is.
    inverse = 1 / resolution
    values = column / round(inverse) if resolution < 1 and abs(inverse - round(inverse)) < 1e-9 else column * resolution
    return np.where(column == _MISSING, np.nan, values)


def _head(part: Readings) -> _Block:
    clocks = part.clocks
    timed = clocks is not None and bool((clocks.device_ns != NO_TIME).any())
    return _Block(part.sensor, part.athlete, part.origin, len(part), clocks.boot if clocks else None, timed)


def _behind(part: Readings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the device's and the monotonic clock less the block's time; a missing device time stays NO_TIME."""
    clocks = part.clocks
    if clocks is None:
        nothing = np.zeros(len(part), np.int64)
        return nothing, nothing
    missing = clocks.device_ns == NO_TIME
    device = np.where(missing, NO_TIME, clocks.device_ns - part.time_ns)
    return np.zeros_like(device) if missing.all() else device, clocks.mono_ns - part.time_ns


def _columns(stream: str, parts: list[Readings]) -> list[NDArray[np.int64]]:
    values = np.concatenate([part.values for part in parts])
    behind = [_behind(part) for part in parts]
    return [
        np.concatenate([part.sequence for part in parts]),
        np.concatenate([part.time_ns for part in parts]),
        np.concatenate([part.quality for part in parts]).astype(np.int64),
        np.concatenate([device for device, _ in behind]),
        np.concatenate([mono for _, mono in behind]),
        *(scale(values[:, i], quantity.resolution) for i, quantity in enumerate(STREAMS[stream].quantities)),
    ]


def _pack(column: NDArray[np.int64]) -> tuple[int, bytes]:
    delta = np.diff(column, prepend=np.int64(0))
    largest = max(int(delta.max()), -int(delta.min()) - 1) if len(delta) else 0
    width = 1 if largest < 2**7 else 2 if largest < 2**15 else 4 if largest < 2**31 else 8
    narrow = delta.astype(f"<i{width}")
    return width, narrow.view(np.uint8).reshape(-1, width).T.tobytes()


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
    if magic not in (_MAGIC, _MAGIC_WITHOUT_CLOCKS):
        raise DecodeError("not a chunk")
    try:
        header = msgspec.msgpack.decode(body[_HEAD.size : _HEAD.size + length], type=_Header)
        stream = zlib.decompressobj()
        unpacked = stream.decompress(body[_HEAD.size + length :], _MAX_COLUMNS_BYTES)
    except (msgspec.DecodeError, UnicodeDecodeError, zlib.error) as exc:
        raise DecodeError("damaged chunk") from exc
    if not stream.eof or stream.unused_data:
        raise DecodeError("columns are cut short, too long or followed by other bytes")
    return header, unpacked, 5 if magic == _MAGIC else 3


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
