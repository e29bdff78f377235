"""Readings to Parquet and back: what a gateway uploads, what lands unchanged as the cloud's bronze file.

One file holds one stream, sorted by sensor, origin and sequence. What is the same in every row stands in the metadata
instead of in a column; times are in the coarsest unit that loses nothing, the other clocks are differences to them.
Settings matter: with DELTA_BINARY_PACKED integers, zstd level 3 and no dictionary on numbers a file takes about a third
of what the writer's defaults make of it. `tests/bench/bytes.py` measures.
"""

import io
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shared.chunk_columns import unit_of
from shared.clock import NS_PER_MS
from shared.errors import DecodeError
from shared.ids import AthleteId, SensorId
from shared.parquet_versions import EARLIER_VERSIONS, earlier_to_readings, run_starts
from shared.quantities import STREAMS, Stream
from shared.readings import NO_TIME, Clocks, Readings
from shared.resolution import MISSING, NS_PER_US, kept_arrival, kept_device, kept_time, scale, unscale

SCHEMA_VERSION = 3
READABLE_VERSIONS = (*EARLIER_VERSIONS, SCHEMA_VERSION)
UPLOADED_ARRIVAL_NS = 10 * NS_PER_MS
"""Monotonic times of arrival are uploaded in whole ones of these: they only tell when the gateway's clock was set."""
_LABELS = ("sensor", "athlete", "origin", "boot")
_TIMES = ("sequence", "time", "device_behind", "arrival_behind_10ms")
_ALWAYS = ("sequence", "time")
_NEVER_EMPTY = ("sensor", "origin", "sequence", "time", "quality")
_STREAM, _VERSION, _UNIT = "sideline.stream", "sideline.schema", "sideline.time_unit_ns"
_CONSTANTS, _QUANTITIES = "sideline.constants", "sideline.quantities"
_NARROW = 256
Constants = Mapping[str, str | int | None]


def encode_parquet(blocks: Sequence[Readings]) -> bytes:
    """Encode blocks of one stream; values, times and arrivals are kept as finely as `shared/resolution.py` says.

    Columns: sensor, athlete, origin, boot (the gateway's run), sequence, quality, the scaled values, `time` in the
    metadata's unit, `device_behind`: the device's own time less `time` in that unit, empty where it sent none,
    `arrival_behind_10ms`: the monotonic time of arrival less `time`, both cut to 10 ms.
    Raises: ValueError when the blocks are none or of several streams (a broken invariant, not bad input).
    """
    names = {block.stream for block in blocks}
    if len(names) != 1:
        raise ValueError(f"one stream per file, got {sorted(names)}")
    stream = STREAMS[names.pop()]
    ordered = sorted(blocks, key=lambda block: (block.sensor, block.origin, int(block.sequence[0])))
    counts = np.array([len(block) for block in ordered])
    columns: dict[str, pa.Array] = {}
    constants: dict[str, str | int | None] = {}
    for name in _LABELS:
        texts = [_text(block, name) for block in ordered]
        if len(set(texts)) == 1:
            constants[name] = texts[0]
        else:
            columns[name] = pa.array(texts, pa.string()).take(pa.array(np.repeat(np.arange(len(texts)), counts)))
    encodings: dict[str, str] = {}
    unit_ns, numbers = _numbers(stream, ordered)
    for name, (column, missing) in numbers.items():
        if missing is not None and missing.all():
            constants[name] = None
        elif name not in _ALWAYS and (missing is None or not missing.any()) and (column == column[0]).all():
            constants[name] = int(column[0])
        else:
            kind = pa.int64() if name in _TIMES else pa.int32()
            columns[name] = pa.array(column, mask=missing).cast(kind)
            encodings[name] = _encoding(name, column if missing is None else column[~missing])
    return _written(pa.table(columns), encodings, _metadata(stream, unit_ns, constants))


def decode_parquet(body: bytes) -> list[Readings]:
    """Return one block per (sensor, athlete, origin, boot) run of a file.

    Raises: DecodeError when the bytes are no whole Parquet file of a known stream.
    """
    try:
        return table_to_readings(pq.read_table(pa.BufferReader(body)))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as exc:
        raise DecodeError("not a readable Parquet file") from exc


def table_to_readings(table: pa.Table) -> list[Readings]:
    """Return the blocks of a table with a stream's schema, of any version that is readable.

    Raises: DecodeError when the schema is not that of a known stream.
    """
    metadata = {key.decode("utf-8", "replace"): value for key, value in (table.schema.metadata or {}).items()}
    stream = STREAMS.get(metadata.get(_STREAM, b"").decode("utf-8", "replace"))
    if stream is None:
        raise DecodeError("not a table of a known stream")
    if metadata.get(_VERSION) != str(SCHEMA_VERSION).encode():
        return earlier_to_readings(table, stream)
    try:
        constants = msgspec.json.decode(metadata.get(_CONSTANTS, b""), type=dict[str, str | int | None])
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise DecodeError("not a table of a known stream") from exc
    unit_ns = {str(unit).encode(): unit for unit in (1, NS_PER_US, NS_PER_MS)}.get(metadata.get(_UNIT, b""))
    if unit_ns is None:
        raise DecodeError("times in an unknown unit")
    return _cut(stream, _Rows(stream, table, constants), unit_ns)


class _Rows:
    """The rows of a table with what its metadata says of all of them.

    Raises: DecodeError when they are not the columns of a stream.
    """

    def __init__(self, stream: Stream, table: pa.Table, constants: Constants) -> None:
        names = [*_LABELS, *_TIMES, "quality", *(quantity.name for quantity in stream.quantities)]
        if sorted([*table.column_names, *constants]) != sorted(names) or any(name in constants for name in _ALWAYS):
            raise DecodeError("not a table of a known stream")
        for name in names:
            kind = pa.string() if name in _LABELS else pa.int64() if name in _TIMES else pa.int32()
            if name in constants:
                _check_constant(constants[name], kind)
            elif table.schema.field(name).type != kind:
                raise DecodeError("not a table of a known stream")
        for name in _NEVER_EMPTY:
            if constants[name] is None if name in constants else table[name].null_count:
                raise DecodeError("empty cells in identifying columns")
        self._table, self._constants = table, constants
        self.count: int = table.num_rows

    def numbers(self, name: str, empty: int = MISSING) -> NDArray[np.int64]:
        """Return a column of numbers, int64[n], with `empty` in empty cells."""
        if name in self._constants:
            value = self._constants[name]
            return np.full(self.count, empty if value is None else value, np.int64)
        return np.array(self._table[name].fill_null(empty).to_numpy(), np.int64)

    def texts(self, name: str) -> tuple[NDArray[np.int32], list[str | None]]:
        """Return a column of texts as codes, int32[n], into a list of them."""
        if name in self._constants:
            value = self._constants[name]
            return np.zeros(self.count, np.int32), [None if value is None else str(value)]
        label = self._table[name].combine_chunks().dictionary_encode()
        texts = label.dictionary.to_pylist()
        return label.indices.fill_null(len(texts)).to_numpy(), [*texts, None]


def _check_constant(value: str | int | None, kind: pa.DataType) -> None:
    if value is not None and isinstance(value, str) != (kind == pa.string()):
        raise DecodeError("not a table of a known stream")
    if isinstance(value, int) and not -(2 ** (kind.bit_width - 1)) <= value < 2 ** (kind.bit_width - 1):
        raise DecodeError("number beyond its column")


def _cut(stream: Stream, rows: _Rows, unit_ns: int) -> list[Readings]:
    """Return the rows as blocks."""
    labels = [rows.texts(name) for name in _LABELS]
    time_ns = rows.numbers("time") * unit_ns
    behind = rows.numbers("device_behind", NO_TIME)
    device_ns = np.where(behind == NO_TIME, NO_TIME, time_ns + behind * unit_ns)
    mono_ns = (rows.numbers("arrival_behind_10ms", 0) + time_ns // UPLOADED_ARRIVAL_NS) * UPLOADED_ARRIVAL_NS
    sequence, quality = rows.numbers("sequence"), rows.numbers("quality").astype(np.uint8)
    values = np.stack([unscale(rows.numbers(q.name), q.resolution) for q in stream.quantities], axis=1)
    starts = run_starts([codes for codes, _ in labels])
    blocks: list[Readings] = []
    for start, end in zip(starts, [*starts[1:], rows.count], strict=False):
        sensor, athlete, origin, boot = (texts[codes[start]] for codes, texts in labels)
        blocks.append(
            Readings(
                sensor=SensorId(sensor or ""),
                stream=stream.name,
                origin=origin or "",
                sequence=sequence[start:end],
                time_ns=time_ns[start:end],
                values=values[start:end],
                quality=quality[start:end],
                athlete=None if athlete is None else AthleteId(athlete),
                clocks=None
                if boot is None
                else Clocks(boot=boot, device_ns=device_ns[start:end], mono_ns=mono_ns[start:end]),
            )
        )
    return blocks


def _text(block: Readings, name: str) -> str | None:
    text: str | None = getattr(block, name) if name != "boot" else block.clocks.boot if block.clocks else None
    return text


def _numbers(
    stream: Stream, blocks: list[Readings]
) -> tuple[int, dict[str, tuple[NDArray[np.int64], NDArray[np.bool_] | None]]]:
    """Return the unit of times, and all columns of numbers with a mask of their empty cells, None without any."""
    clockless = np.repeat([block.clocks is None for block in blocks], [len(block) for block in blocks])
    time_ns = np.concatenate([block.time_ns for block in blocks])
    device_ns = np.concatenate([block.clocks.device_ns if block.clocks else block.time_ns for block in blocks])
    mono_ns = np.concatenate([block.clocks.mono_ns if block.clocks else block.time_ns for block in blocks])
    time_ns, device_ns, mono_ns = kept_time(time_ns, device_ns), kept_device(device_ns), kept_arrival(mono_ns)
    device_ns[clockless] = NO_TIME
    untimed = device_ns == NO_TIME
    behind_ns = np.where(untimed, 0, device_ns - time_ns)
    unit_ns = min(unit_of(time_ns), unit_of(behind_ns))
    values = np.concatenate([block.values for block in blocks])
    scaled = [scale(values[:, i], quantity.resolution) for i, quantity in enumerate(stream.quantities)]
    return unit_ns, {
        "sequence": (np.concatenate([block.sequence for block in blocks]), None),
        "time": (time_ns // unit_ns, None),
        "device_behind": (behind_ns // unit_ns, untimed),
        "arrival_behind_10ms": (mono_ns // UPLOADED_ARRIVAL_NS - time_ns // UPLOADED_ARRIVAL_NS, clockless),
        "quality": (np.concatenate([block.quality for block in blocks]).astype(np.int64), None),
        **{q.name: (column, column == MISSING) for q, column in zip(stream.quantities, scaled, strict=True)},
    }


def _metadata(stream: Stream, unit_ns: int, constants: Constants) -> dict[str, str | bytes]:
    quantities = {quantity.name: [quantity.unit, quantity.resolution] for quantity in stream.quantities}
    return {
        _STREAM: stream.name,
        _VERSION: str(SCHEMA_VERSION),
        _UNIT: str(unit_ns),
        _CONSTANTS: msgspec.json.encode(constants),
        _QUANTITIES: msgspec.json.encode(quantities),
    }


def _written(table: pa.Table, encodings: dict[str, str], metadata: dict[str, str | bytes]) -> bytes:
    texts = [name for name in table.column_names if name in _LABELS]
    sink = io.BytesIO()
    # Arrow's own copy of the schema would be two thirds of a heart rate's file.
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=texts,
        column_encoding=encodings,
        write_statistics=False,
        store_schema=False,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata(metadata)
    return sink.getvalue()


def _encoding(name: str, numbers: NDArray[np.int64]) -> str:
    """Return the encoding that takes the fewest bytes: what fits a byte is noise rather than a path."""
    narrow = name not in _ALWAYS and int(numbers.max()) - int(numbers.min()) < _NARROW
    return "BYTE_STREAM_SPLIT" if narrow else "DELTA_BINARY_PACKED"
