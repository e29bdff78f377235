"""Readings to Parquet and back: what a gateway uploads, what lands unchanged as the cloud's bronze file.

One file holds one stream. Settings matter: with DELTA_BINARY_PACKED integers, zstd level 3 and no dictionary on numbers
a 60 s file takes 3.1 bytes per position; with the writer's defaults 8.8.
"""

import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.chunk_codec import scale, unscale
from shared.errors import DecodeError
from shared.ids import AthleteId, SensorId
from shared.quantities import STREAMS, Stream
from shared.readings import NO_TIME, Clocks, Readings

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, 2)
"""Version 1 has no clocks: neither the gateway's run, nor the device's and the monotonic time."""
_LABELS = ("sensor", "athlete", "origin")
_MISSING = np.iinfo(np.int32).min


def stream_schema(stream: Stream, version: int = SCHEMA_VERSION) -> pa.Schema:
    """Return the columns of one stream's file: labels, sequence, time, quality, clocks, then scaled int32 values."""
    fields = [pa.field(name, pa.string()) for name in _LABELS]
    fields += [pa.field("sequence", pa.int64()), pa.field("time_ns", pa.int64()), pa.field("quality", pa.int32())]
    if version > 1:
        fields += [pa.field("boot", pa.string()), pa.field("device_ns", pa.int64()), pa.field("mono_ns", pa.int64())]
    fields += [
        pa.field(q.name, pa.int32(), metadata={"resolution": repr(q.resolution), "unit": q.unit})
        for q in stream.quantities
    ]
    return pa.schema(fields, metadata={"sideline.stream": stream.name, "sideline.schema": str(version)})


def encode_parquet(blocks: Sequence[Readings]) -> bytes:
    """Encode blocks of one stream, sorted by sensor, origin and sequence.

    Raises: ValueError when the blocks are none or of several streams (a broken invariant, not bad input).
    """
    names = {block.stream for block in blocks}
    if len(names) != 1:
        raise ValueError(f"one stream per file, got {sorted(names)}")
    stream = STREAMS[names.pop()]
    ordered = sorted(blocks, key=lambda block: (block.sensor, block.origin, int(block.sequence[0])))
    values = np.concatenate([block.values for block in ordered])
    arrays = [_labels(ordered, name) for name in _LABELS]
    arrays += [
        pa.array(np.concatenate([block.sequence for block in ordered])),
        pa.array(np.concatenate([block.time_ns for block in ordered])),
        pa.array(np.concatenate([block.quality for block in ordered]).astype(np.int32)),
        *_clock_arrays(ordered),
    ]
    for i, quantity in enumerate(stream.quantities):
        column = scale(values[:, i], quantity.resolution)
        arrays.append(pa.array(column.astype(np.int32), mask=column == _MISSING))
    table = pa.Table.from_arrays(arrays, schema=stream_schema(stream))
    sink = io.BytesIO()
    texts = (*_LABELS, "boot")
    numbers = [name for name in table.column_names if name not in texts]
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=3,
        use_dictionary=list(texts),
        column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
        write_statistics=False,
    )
    return sink.getvalue()


def decode_parquet(body: bytes) -> list[Readings]:
    """Return one block per (sensor, athlete, origin) run of a file.

    Raises: DecodeError when the bytes are no whole Parquet file of a known stream.
    """
    try:
        return table_to_readings(pq.read_table(pa.BufferReader(body)))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise DecodeError("not a readable Parquet file") from exc


def table_to_readings(table: pa.Table) -> list[Readings]:
    """Return the blocks of a table with a stream's schema.

    Raises: DecodeError when the schema is not that of a known stream.
    """
    metadata = table.schema.metadata or {}
    stream = STREAMS.get(metadata.get(b"sideline.stream", b"").decode("utf-8", "replace"))
    if stream is None or not any(table.schema.equals(stream_schema(stream, v)) for v in READABLE_VERSIONS):
        raise DecodeError("not a table of a known stream")
    if any(table[name].null_count for name in ("sensor", "origin", "sequence", "time_ns", "quality")):
        raise DecodeError("empty cells in identifying columns")
    columns = [
        unscale(table[q.name].fill_null(_MISSING).to_numpy().astype(np.int64), q.resolution) for q in stream.quantities
    ]
    values = np.stack(columns, axis=1)
    texted = [*_LABELS, *(["boot"] if "boot" in table.column_names else [])]
    labels = [table[name].combine_chunks().dictionary_encode() for name in texted]
    codes = [label.indices.fill_null(-1).to_numpy() for label in labels]
    cuts = _run_starts(codes)
    sequence, time_ns = table["sequence"].to_numpy(), table["time_ns"].to_numpy()
    quality = table["quality"].to_numpy().astype(np.uint8)
    texts = [label.dictionary.to_pylist() for label in labels]
    device_ns, mono_ns = (_whole(table, name) for name in ("device_ns", "mono_ns"))
    blocks: list[Readings] = []
    for start, end in zip(cuts, [*cuts[1:], len(table)], strict=False):
        sensor, athlete, origin, *boot = (
            str(text[code[start]]) if code[start] >= 0 else "" for text, code in zip(texts, codes, strict=True)
        )
        blocks.append(
            Readings(
                sensor=SensorId(sensor),
                stream=stream.name,
                origin=origin,
                sequence=sequence[start:end],
                time_ns=time_ns[start:end],
                values=values[start:end],
                quality=quality[start:end],
                athlete=AthleteId(athlete) if athlete else None,
                clocks=Clocks(boot=boot[0], device_ns=device_ns[start:end], mono_ns=mono_ns[start:end])
                if any(boot)
                else None,
            )
        )
    return blocks


def _whole(table: pa.Table, name: str) -> NDArray[np.int64]:
    """Return a column of times with NO_TIME where it is empty, all of it where the file has no such column."""
    if name not in table.column_names:
        return np.full(len(table), NO_TIME, np.int64)
    return np.asarray(table[name].fill_null(NO_TIME).to_numpy(), np.int64)


def _clock_arrays(blocks: list[Readings]) -> list[pa.Array]:
    """Return the gateway's run, the device's time and the monotonic time, null where they are not known."""
    boots = pa.array([block.clocks.boot if block.clocks else None for block in blocks], pa.string())
    counts = np.array([len(block) for block in blocks])
    unknown = [np.full(len(block), NO_TIME, np.int64) for block in blocks]
    device = np.concatenate([b.clocks.device_ns if b.clocks else none for b, none in zip(blocks, unknown, strict=True)])
    mono = np.concatenate([b.clocks.mono_ns if b.clocks else none for b, none in zip(blocks, unknown, strict=True)])
    return [
        boots.take(pa.array(np.repeat(np.arange(len(blocks)), counts))),
        pa.array(device, mask=device == NO_TIME),
        pa.array(mono, mask=mono == NO_TIME),
    ]


def _labels(blocks: Sequence[Readings], name: str) -> pa.Array:
    counts = np.array([len(block) for block in blocks])
    texts = [getattr(block, name) for block in blocks]
    known = sorted({text for text in texts if text is not None})
    codes = {text: code for code, text in enumerate(known)}
    indices = np.repeat(np.array([codes.get(text, -1) for text in texts], np.int32), counts)
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=indices < 0), pa.array(known, pa.string())).cast(
        pa.string()
    )


def _run_starts(codes: list[NDArray[np.int32]]) -> list[int]:
    if not len(codes[0]):
        return []
    change = np.zeros(len(codes[0]), bool)
    change[0] = True
    for code in codes:
        change[1:] |= np.diff(code) != 0
    return [int(i) for i in np.flatnonzero(change)]
