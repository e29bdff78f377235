"""Readings to bytes and back for the gateway's journal: cheap for one commit, compact for what commits are merged into.

A tail (`SLT3`) is what one commit stores and lives for seconds: u32 header length, header (msgpack of `_Tail`), then
plain columns over all blocks. A chunk (`SLC3`) is one zlib stream: u32 header length, header (msgpack of `_Chunk`),
then packed columns by stream (`shared/chunk_columns.py`). Both say the same when they are read.
"""

import hashlib
import struct
import zlib
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise
from operator import attrgetter
from typing import Any, TypeVar, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.chunk_columns import Packing, Runs, pack, size, unit_of, unpack
from shared.chunk_versions import WITH_CLOCKS, WITHOUT_CLOCKS, decode_earlier
from shared.errors import DecodeError
from shared.ids import AthleteId, SensorId
from shared.quantities import STREAMS, Stream
from shared.readings import NO_TIME, Clocks, Readings
from shared.resolution import ARRIVAL_UNIT_NS, kept_arrival, kept_device, kept_time, scale, unscale

DIGEST_BYTES = 16
_TAIL = b"SLT3"
_CHUNK = b"SLC3"
_LENGTH = struct.Struct("<I")
_LEVEL = 1
# A chunk holds some seconds of a squad; anything larger than this is not ours.
_MAX_UNPACKED_BYTES = 64 * 1024 * 1024
_MAX_READINGS = 4_000_000
# Sequence, time, whether the device said a time, its difference to time, arrival, quality; the values follow.
_FIXED = 6
_TIMES, _ARRIVAL = (1, 3), 4
_Numbers = NDArray[np.int64]
_Header = TypeVar("_Header", "_Tail", "_Chunk")


class _Labels(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Whose blocks they are, one entry a block; a block without clocks has no boot."""

    sensors: list[str]
    athletes: list[str | None]
    origins: list[str]
    boots: list[str | None]
    counts: list[int]


class _Tail(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    streams: list[str]
    labels: _Labels


class _Group(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    stream: str
    labels: _Labels
    packings: list[Packing]


class _Chunk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    groups: list[_Group]


def digest(body: bytes) -> bytes:
    """Return the 16-byte BLAKE2b digest that is stored beside a chunk."""
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()


def encode_tail(blocks: Sequence[Readings]) -> bytes:
    """Encode what one commit stores, as fast as can be; blocks without readings are left out."""
    ordered = sorted((block for block in blocks if len(block.sequence)), key=attrgetter("stream"))
    clocks = [block.clocks for block in ordered if block.clocks is not None]
    labels = _labels(ordered, [len(block.sequence) for block in ordered])
    header = msgspec.msgpack.encode(_Tail([block.stream for block in ordered], labels))
    return b"".join(
        (
            _TAIL,
            _LENGTH.pack(len(header)),
            header,
            _joined([block.sequence for block in ordered]),
            _joined([block.time_ns for block in ordered]),
            _joined([known.device_ns for known in clocks]),
            _joined([known.mono_ns for known in clocks]),
            _joined([block.values for block in ordered]),
            _joined([block.quality for block in ordered]),
        )
    )


def encode_chunk(blocks: Sequence[Readings]) -> bytes:
    """Encode blocks compactly; those of one stream, sensor, origin, athlete and run of the gateway become one block.

    Values are kept in steps of their quantity's resolution (NaN stays missing), times as `shared/resolution.py` says.
    """
    by_stream: dict[str, list[Readings]] = defaultdict(list)
    for block in blocks:
        if len(block.sequence):
            by_stream[block.stream].append(block)
    groups: list[_Group] = []
    bodies: list[bytes] = []
    for stream in sorted(by_stream):
        group, columns = _merged(STREAMS[stream], by_stream[stream])
        groups.append(group)
        bodies += columns
    header = msgspec.msgpack.encode(_Chunk(groups))
    return _CHUNK + zlib.compress(b"".join((_LENGTH.pack(len(header)), header, *bodies)), _LEVEL)


def decode_chunk(body: bytes) -> list[Readings]:
    """Return the blocks of a tail or a chunk by stream: a tail's in the order given, a chunk's by sensor and origin.

    Raises: DecodeError when the bytes are not whole and well-formed.
    """
    try:
        if body[:4] == _CHUNK:
            return _decode_chunk(body)
        if body[:4] == _TAIL:
            return _decode_tail(body)
    except (msgspec.DecodeError, UnicodeDecodeError, zlib.error, struct.error) as exc:
        raise DecodeError("damaged chunk") from exc
    if body[:4] in (WITH_CLOCKS, WITHOUT_CLOCKS):
        return decode_earlier(body)
    raise DecodeError("not a chunk")


def _labels(blocks: Sequence[Readings], counts: list[int]) -> _Labels:
    return _Labels(
        [block.sensor for block in blocks],
        [block.athlete for block in blocks],
        [block.origin for block in blocks],
        [block.clocks.boot if block.clocks is not None else None for block in blocks],
        counts,
    )


def _joined(columns: list[NDArray[Any]]) -> bytes:
    try:
        return b"".join(cast("list[bytes]", columns))  # anything with bytes of its own can be joined
    except TypeError:  # a view that skips rows has none
        return b"".join([column.tobytes() for column in columns])


def _merged(stream: Stream, blocks: list[Readings]) -> tuple[_Group, list[bytes]]:
    """Return the blocks of one stream as runs of one sensor, origin, athlete and boot each, and their columns."""
    keys = [
        (block.sensor, block.origin, block.athlete, None if (clocks := block.clocks) is None else clocks.boot)
        for block in blocks
    ]
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys), key=_in_order))}
    lengths = [len(block.sequence) for block in blocks]
    row_ranks = np.repeat(np.array([ranks[key] for key in keys], np.int32), lengths)
    order = np.argsort(row_ranks, kind="stable")
    counts = np.bincount(row_ranks).tolist()
    runs = Runs.of(counts)
    packings: list[Packing] = []
    bodies: list[bytes] = []
    for column in _columns(stream, blocks, order):
        packing, parts = pack(column, runs, _unit(len(packings), column))
        packings.append(packing)
        bodies += parts
    sensors, origins, athletes, boots = (list(column) for column in zip(*ranks, strict=True))
    labels = _Labels(sensors, athletes, origins, boots, counts)
    return _Group(stream.name, labels, packings), bodies


def _in_order(key: tuple[str | None, ...]) -> list[tuple[bool, str]]:
    """Return what sorts texts of which some may be missing."""
    return [(text is not None, text or "") for text in key]


def _columns(stream: Stream, blocks: list[Readings], order: NDArray[np.intp]) -> list[_Numbers]:
    """Return what is kept of the blocks' rows, in this order."""
    time_ns = _column([block.time_ns for block in blocks])[order]
    device_ns = _column([_zeros(block) if block.clocks is None else block.clocks.device_ns for block in blocks])[order]
    mono_ns = _column([_zeros(block) if block.clocks is None else block.clocks.mono_ns for block in blocks])[order]
    time_ns, device_ns, mono_ns = kept_time(time_ns, device_ns), kept_device(device_ns), kept_arrival(mono_ns)
    timed = device_ns != NO_TIME
    values = np.frombuffer(_joined([block.values for block in blocks]), np.float64).reshape(len(order), -1)[order]
    quality = np.frombuffer(_joined([block.quality for block in blocks]), np.uint8)[order]
    return [
        _column([block.sequence for block in blocks])[order],
        time_ns,
        timed.astype(np.int64),
        np.where(timed, device_ns - time_ns, 0),
        mono_ns,
        quality.astype(np.int64),
        *(scale(values[:, i], quantity.resolution) for i, quantity in enumerate(stream.quantities)),
    ]


def _unit(number: int, column: _Numbers) -> int:
    """Return the unit that one of `_columns` is packed in."""
    if number == _ARRIVAL:
        return ARRIVAL_UNIT_NS
    return unit_of(column) if number in _TIMES else 1


def _column(parts: list[_Numbers]) -> _Numbers:
    return np.frombuffer(_joined(parts), np.int64)


def _zeros(block: Readings) -> _Numbers:
    return np.zeros(len(block.sequence), np.int64)


def _decode_chunk(body: bytes) -> list[Readings]:
    stream = zlib.decompressobj()
    unpacked = memoryview(stream.decompress(body[4:], _MAX_UNPACKED_BYTES))
    if not stream.eof or stream.unused_data:
        raise DecodeError("columns are cut short, too long or followed by other bytes")
    header, offset = _header(unpacked, _Chunk)
    if sum(_rows(group.labels, len(group.labels.counts)) for group in header.groups) > _MAX_READINGS:
        raise DecodeError("impossible number of readings")
    blocks: list[Readings] = []
    for group in header.groups:
        known = _stream(group.stream)
        if len(group.packings) != _FIXED + len(known.quantities):
            raise DecodeError("wrong number of columns")
        runs = Runs.of(group.labels.counts)
        columns: list[_Numbers] = []
        for packing in group.packings:
            end = offset + size(packing, runs)
            if end > len(unpacked):
                raise DecodeError("columns do not fit the header")
            columns.append(unpack(unpacked[offset:end], packing, runs))
            offset = end
        sequence, time_ns, timed, behind, mono_ns, quality, *scaled = columns
        values = [unscale(column, q.resolution) for column, q in zip(scaled, known.quantities, strict=True)]
        device_ns = np.where(timed != 0, time_ns + behind, NO_TIME)
        table = [sequence, time_ns, device_ns, mono_ns, quality.astype(np.uint8)]
        blocks += _cut(group.stream, group.labels, slice(None), table, values)
    if offset != len(unpacked):
        raise DecodeError("bytes beyond the last column")
    return blocks


def _decode_tail(body: bytes) -> list[Readings]:
    view = memoryview(body)[4:]
    header, offset = _header(view, _Tail)
    labels = header.labels
    rows = _rows(labels, len(header.streams))
    if rows > _MAX_READINGS:
        raise DecodeError("impossible number of readings")
    widths = [len(_stream(name).quantities) for name in header.streams]
    clocked = np.repeat(np.array([boot is not None for boot in labels.boots], bool), np.array(labels.counts, int))
    lengths = [rows, rows, int(clocked.sum()), int(clocked.sum()), int(np.dot(widths, labels.counts))]
    if len(view) != offset + 8 * sum(lengths) + rows:
        raise DecodeError("columns do not fit the header")
    words = np.frombuffer(view[offset : len(view) - rows], np.int64)
    sequence, time_ns, known_device, known_mono, flat = np.split(words, list(accumulate(lengths[:-1])))
    device_ns, mono_ns = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    device_ns[clocked], mono_ns[clocked] = known_device, known_mono
    quality = np.frombuffer(view[len(view) - rows :], np.uint8)
    table = (sequence, kept_time(time_ns, device_ns), kept_device(device_ns), kept_arrival(mono_ns), quality)
    blocks: list[Readings] = []
    first = start = taken = 0
    for name, members in groupby(header.streams):
        last = first + len(list(members))
        end = start + sum(labels.counts[first:last])
        size_of = widths[first] * (end - start)
        values = flat[taken : taken + size_of].view(np.float64).reshape(end - start, -1)
        columns = [
            unscale(scale(values[:, i], quantity.resolution), quantity.resolution)
            for i, quantity in enumerate(STREAMS[name].quantities)
        ]
        blocks += _cut(name, labels, slice(first, last), [column[start:end] for column in table], columns)
        first, start, taken = last, end, taken + size_of
    return blocks


def _header(view: memoryview, kind: type[_Header]) -> tuple[_Header, int]:
    """Return the header that a length stands before, and where it ends."""
    (length,) = _LENGTH.unpack_from(view)
    end = _LENGTH.size + length
    return msgspec.msgpack.decode(view[_LENGTH.size : end], type=kind), end


def _stream(name: str) -> Stream:
    stream = STREAMS.get(name)
    if stream is None:
        raise DecodeError(f"unknown stream {name[:40]!r}")
    return stream


def _rows(labels: _Labels, blocks: int) -> int:
    """Return how many rows so many blocks have in all."""
    columns = (labels.sensors, labels.athletes, labels.origins, labels.boots, labels.counts)
    if any(len(column) != blocks for column in columns):
        raise DecodeError("labels do not fit the blocks")
    if any(not 0 < count <= _MAX_READINGS for count in labels.counts):
        raise DecodeError("impossible number of readings")
    return sum(labels.counts)


def _cut(
    stream: str, labels: _Labels, part: slice, table: list[NDArray[Any]], values: list[NDArray[np.float64]]
) -> list[Readings]:
    """Return rows of one stream as the blocks that `part` of the labels names."""
    sequence, time_ns, device_ns, mono_ns, quality = table
    rows = np.stack(values, axis=1)
    bounds = pairwise(accumulate(labels.counts[part], initial=0))
    members = zip(
        labels.sensors[part], labels.athletes[part], labels.origins[part], labels.boots[part], bounds, strict=True
    )
    return [
        Readings(
            sensor=SensorId(sensor),
            stream=stream,
            origin=origin,
            sequence=sequence[start:end],
            time_ns=time_ns[start:end],
            values=rows[start:end],
            quality=quality[start:end],
            athlete=None if athlete is None else AthleteId(athlete),
            clocks=None
            if boot is None
            else Clocks(boot=boot, device_ns=device_ns[start:end], mono_ns=mono_ns[start:end]),
        )
        for sensor, athlete, origin, boot, (start, end) in members
    ]
