"""Reads uploaded files of earlier versions: 2, and 1 without clocks; all of a stream's columns are always there."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shared.errors import DecodeError
from shared.ids import AthleteId, SensorId
from shared.quantities import Stream
from shared.readings import NO_TIME, Clocks, Readings
from shared.resolution import MISSING, unscale

EARLIER_VERSIONS = (1, 2)
"""Version 1 has no clocks: neither the gateway's run, nor the device's and the monotonic time."""
_LABELS = ("sensor", "athlete", "origin")


def stream_schema(stream: Stream, version: int) -> pa.Schema:
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


def earlier_to_readings(table: pa.Table, stream: Stream) -> list[Readings]:
    """Return the blocks of a table with a stream's schema of an earlier version.

    Raises: DecodeError when the schema is not that of a known stream.
    """
    if not any(table.schema.equals(stream_schema(stream, version)) for version in EARLIER_VERSIONS):
        raise DecodeError("not a table of a known stream")
    if any(table[name].null_count for name in ("sensor", "origin", "sequence", "time_ns", "quality")):
        raise DecodeError("empty cells in identifying columns")
    columns = [
        unscale(table[q.name].fill_null(MISSING).to_numpy().astype(np.int64), q.resolution) for q in stream.quantities
    ]
    values = np.stack(columns, axis=1)
    texted = [*_LABELS, *(["boot"] if "boot" in table.column_names else [])]
    labels = [table[name].combine_chunks().dictionary_encode() for name in texted]
    codes = [label.indices.fill_null(-1).to_numpy() for label in labels]
    cuts = run_starts(codes)
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


def run_starts(codes: list[NDArray[np.int32]]) -> list[int]:
    """Return where any of the columns changes, the first row included."""
    if not len(codes[0]):
        return []
    change = np.zeros(len(codes[0]), bool)
    change[0] = True
    for code in codes:
        change[1:] |= np.diff(code) != 0
    return [int(i) for i in np.flatnonzero(change)]
