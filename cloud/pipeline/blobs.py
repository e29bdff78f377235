"""The pipeline's elements: Arrow tables as bytes, so that a shuffle moves few large values, not many small ones."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from cloud.pipeline.tables import TABLES, readings_table
from shared.ids import AthleteId, SensorId
from shared.quantities import STREAMS
from shared.readings import NO_TIME, Readings

ARRIVAL = "arrival"
"""Which batch came first: of two equal readings the first to arrive stays."""


def pack(table: pa.Table) -> bytes:
    """Return a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def unpack(blob: bytes) -> pa.Table:
    """Return the table of an Arrow IPC stream."""
    with pa.ipc.open_stream(blob) as reader:
        return reader.read_all()


def unpack_all(blobs: Iterable[bytes]) -> pa.Table:
    """Return several tables of one schema as one."""
    return pa.concat_tables([unpack(blob) for blob in blobs]).combine_chunks()


def arrived(block: Readings, *, gateway: str, epoch: str, batch_seq: int, arrival: int) -> pa.Table:
    """Return a block as rows of its readings table, without a session yet and with the order of arrival."""
    count = len(block)
    columns = {
        "gateway": pa.repeat(gateway, count),
        "epoch": pa.repeat(epoch, count),
        "batch_seq": pa.repeat(pa.scalar(batch_seq, pa.int64()), count),
        "sensor": pa.repeat(str(block.sensor), count),
        "athlete": pa.repeat(pa.scalar(block.athlete, pa.string()), count),
        "origin": pa.repeat(block.origin, count),
        "sequence": pa.array(block.sequence, pa.int64()),
        "time_ns": pa.array(block.time_ns, pa.int64()),
        "quality": pa.array(block.quality.astype(np.int16)),
    }
    for i, quantity in enumerate(STREAMS[block.stream].quantities):
        columns[quantity.name] = pa.array(np.ascontiguousarray(block.values[:, i]), pa.float64())
    clocks = block.clocks
    columns["boot"] = pa.repeat(pa.scalar(clocks.boot if clocks else None, pa.string()), count)
    for name, times in (("device_ns", clocks and clocks.device_ns), ("mono_ns", clocks and clocks.mono_ns)):
        known = np.full(count, NO_TIME, np.int64) if times is None else times
        columns[name] = pa.array(known, mask=known == NO_TIME)
    columns[ARRIVAL] = pa.repeat(pa.scalar(arrival, pa.int64()), count)
    return pa.table(columns)


def with_session(table: pa.Table, stream: str, sessions: pa.Array) -> pa.Table:
    """Return arrived rows as the readings table keeps them."""
    schema = TABLES[readings_table(stream)].schema
    return table.append_column("session", sessions).select(schema.names).cast(schema)


def to_readings(table: pa.Table, stream: str) -> list[Readings]:
    """Return rows of a readings table as one block per (sensor, origin, athlete), in time order."""
    blocks: list[Readings] = []
    names = [quantity.name for quantity in STREAMS[stream].quantities]
    codes, keys = _group_codes(table)
    values = np.stack([table[name].to_numpy(zero_copy_only=False) for name in names], axis=1)
    sequence, time_ns = table["sequence"].to_numpy(), table["time_ns"].to_numpy()
    quality = table["quality"].to_numpy().astype(np.uint8)
    order = np.lexsort((sequence, time_ns, codes))
    cuts = np.flatnonzero(np.diff(codes[order])) + 1
    for chosen in np.split(order, cuts):
        sensor, origin, athlete = keys[int(codes[chosen[0]])]
        blocks.append(
            Readings(
                sensor=SensorId(sensor),
                stream=stream,
                origin=origin,
                sequence=sequence[chosen],
                time_ns=time_ns[chosen],
                values=values[chosen],
                quality=quality[chosen],
                athlete=AthleteId(athlete),
            )
        )
    return blocks


def _group_codes(table: pa.Table) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], list[tuple[str, str, str]]]:
    labels = list(zip(*(table[name].to_pylist() for name in ("sensor", "origin", "athlete")), strict=True))
    known = {key: code for code, key in enumerate(sorted(set(labels)))}
    return np.array([known[label] for label in labels], np.int64), list(known)
