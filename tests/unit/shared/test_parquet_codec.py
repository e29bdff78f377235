"""The upload's codec: exact round trips, and damage that is never anything but a DecodeError."""

import base64
import io
import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DecodeError
from shared.ids import SensorId
from shared.parquet_codec import decode_parquet, encode_parquet, stream_schema
from shared.quantities import STREAMS
from shared.readings import NO_TIME, Clocks, Readings, select
from tests.factories import heart_rates, positions, readings

_SEED = 20_260
WITHOUT_CLOCKS = base64.b64decode(
    "UEFSMRUEFSoVMEwVAhUAEgAAKLUv/SAVfQAASBEAAABDMDowMQEAco4LFQAVEhUkLBUEFRAVBhUGHAAAACi1L/0gCUkAAAIAAAAE"
    "AQEEABUEFQ4VIEwVAhUAEgAAKLUv/SAHOQAAAwAAAGEwMRUAFRIVJCwVBBUQFQYVBhwAAAAotS/9IAlJAAACAAAABAEBBAAVBBUU"
    "FSZMFQIVABIAACi1L/0gClEAAAYAAABib290LTAVABUSFSQsFQQVEBUGFQYcAAAAKLUv/SAJSQAAAgAAAAQBAQQAFQAVIBUyLBUE"
    "FQoVBhUGHAAAACi1L/0gEIEAAAIAAAAEAYACBAIAAgAAAAAVABU4FUosFQQVChUGFQYcAAAAKLUv/SAc4QAAAgAAAAQBgAIEAoCA"
    "mL+E4a3XMYCo1rkHAAAAABUAFSAVMiwVBBUKFQYVBhwAAAAotS/9IBCBAAACAAAABAGAAQQCAAAAAAAAFQAVIhU0LBUEFQoVBhUG"
    "HAAAACi1L/0gEYkAAAIAAAAEAYABBALwAQIAAAAAFQAVIBUyLBUEFQoVBhUGHAAAACi1L/0gEIEAAAIAAAAEAYABBAICAAAAAAAV"
    "ABUWFSgsFQQVChUGFQYcAAAAKLUv/SALWQAAAgAAAAQAgAEEAAAVBBmsNQAYBnNjaGVtYRUSABUMJQIYBnNlbnNvciUATBwAAAAV"
    "DCUCGAdhdGhsZXRlJQBMHAAAABUMJQIYBm9yaWdpbiUATBwAAAAVBCUCGAhzZXF1ZW5jZQAVBCUCGAd0aW1lX25zABUCJQIYB3F1"
    "YWxpdHkAFQIlAhgOaGVhcnRfcmF0ZV9icG0AFQIlAhgHY29udGFjdAAVAiUCGAllbmVyZ3lfa2oAFgQZHBmcJgAcFQwZNQAGEBkY"
    "BnNlbnNvchUMFgQWfhaWASZUJggpLBUEFQAVAgAVABUQFQIAPBZEGQYZJgAEAAAAJgAcFQwZNQAGEBkYB2F0aGxldGUVDBYEFmIW"
    "hgEm2gEmngEpLBUEFQAVAgAVABUQFQIAPBYMGQYZJgAEAAAAJgAcFQwZNQAGEBkYBm9yaWdpbhUMFgQWaBaMASbmAiakAiksFQQV"
    "ABUCABUAFRAVAgA8FhgZBhkmAAQAAAAmABwVBBklBgoZGAhzZXF1ZW5jZRUMFgQWRhZYJrADSRwVABUKFQIAPCkGGSYABAAAACYA"
    "HBUEGSUGChkYB3RpbWVfbnMVDBYEFl4WcCaIBEkcFQAVChUCADwpBhkmAAQAAAAmABwVAhklBgoZGAdxdWFsaXR5FQwWBBZGFlgm"
    "+ARJHBUAFQoVAgA8KQYZJgAEAAAAJgAcFQIZJQYKGRgOaGVhcnRfcmF0ZV9icG0VDBYEFkgWWibQBUkcFQAVChUCADwpBhkmAAQA"
    "AAAmABwVAhklBgoZGAdjb250YWN0FQwWBBZGFlgmqgZJHBUAFQoVAgA8KQYZJgAEAAAAJgAcFQIZJQYKGRgJZW5lcmd5X2tqFQwW"
    "BBY8Fk4mggdJHBUAFQoVAgA8KQYZJgQAAAAAFvwFFgQmCBbIBwAZPBgPc2lkZWxpbmUuc3RyZWFtGApoZWFydF9yYXRlABgPc2lk"
    "ZWxpbmUuc2NoZW1hGAExABgMQVJST1c6c2NoZW1hGOwJLy8vLy82Z0RBQUFRQUFBQUFBQUtBQTRBQmdBRkFBZ0FDZ0FBQUFBQkJB"
    "QVFBQUFBQUFBS0FBd0FBQUFFQUFnQUNnQUFBR3dBQUFBRUFBQUFBZ0FBQURBQUFBQUVBQUFBL1AzLy94QUFBQUFFQUFBQUFRQUFB"
    "REVBQUFBUEFBQUFjMmxrWld4cGJtVXVjMk5vWlcxaEFDVCsvLzhZQUFBQUJBQUFBQW9BQUFCb1pXRnlkRjl5WVhSbEFBQVBBQUFB"
    "YzJsa1pXeHBibVV1YzNSeVpXRnRBQWtBQUFEY0FnQUFvQUlBQUhRQ0FBQTBBZ0FBQUFJQUFNd0JBQUEwQVFBQWtBQUFBQVFBQUFE"
    "cS92Ly9BQUFCQWhRQUFBQndBQUFBQ0FBQUFCZ0FBQUFBQUFBQUNRQUFBR1Z1WlhKbmVWOXJhZ0FBQUFJQUFBQW9BQUFBQkFBQUFM"
    "VCsvLzhRQUFBQUJBQUFBQUlBQUFCclNnQUFCQUFBQUhWdWFYUUFBQUFBMVA3Ly94QUFBQUFFQUFBQUFRQUFBREVBQUFBS0FBQUFj"
    "bVZ6YjJ4MWRHbHZiZ0FBT1A3Ly93QUFBQUVnQUFBQWN2Ly8vd0FBQVFJVUFBQUFkQUFBQUFnQUFBQVVBQUFBQUFBQUFBY0FBQUJq"
    "YjI1MFlXTjBBQUlBQUFBb0FBQUFCQUFBQURqLy8vOFFBQUFBQkFBQUFBRUFBQUF4QUFBQUJBQUFBSFZ1YVhRQUFBQUFXUC8vL3hB"
    "QUFBQUVBQUFBQVFBQUFERUFBQUFLQUFBQWNtVnpiMngxZEdsdmJnQUFDQUFPQUFnQUJ3QUlBQUFBQUFBQUFTQUFBQUFBQUJJQUdB"
    "QUlBQVlBQndBTUFBQUFFQUFVQUJJQUFBQUFBQUVDRkFBQUFId0FBQUFJQUFBQUhBQUFBQUFBQUFBT0FBQUFhR1ZoY25SZmNtRjBa"
    "VjlpY0cwQUFBSUFBQUF3QUFBQUJBQUFBT0QvLy84UUFBQUFCQUFBQUFNQUFBQmljRzBBQkFBQUFIVnVhWFFBQUFBQUNBQU1BQVFB"
    "Q0FBSUFBQUFFQUFBQUFRQUFBQUJBQUFBTVFBQUFBb0FBQUJ5WlhOdmJIVjBhVzl1QUFCcy8vLy9BQUFBQVNBQUFBQVUvLy8vQUFB"
    "QkFoQUFBQUFZQUFBQUJBQUFBQUFBQUFBSEFBQUFjWFZoYkdsMGVRQ2MvLy8vQUFBQUFTQUFBQUJFLy8vL0FBQUJBaEFBQUFBWUFB"
    "QUFCQUFBQUFBQUFBQUhBQUFBZEdsdFpWOXVjd0RNLy8vL0FBQUFBVUFBQUFCMC8vLy9BQUFCQWhBQUFBQWtBQUFBQkFBQUFBQUFB"
    "QUFJQUFBQWMyVnhkV1Z1WTJVQUFBQUFDQUFNQUFnQUJ3QUlBQUFBQUFBQUFVQUFBQUN3Ly8vL0FBQUJCUkFBQUFBWUFBQUFCQUFB"
    "QUFBQUFBQUdBQUFBYjNKcFoybHVBQUNnLy8vLzJQLy8vd0FBQVFVUUFBQUFHQUFBQUFRQUFBQUFBQUFBQndBQUFHRjBhR3hsZEdV"
    "QXlQLy8veEFBRkFBSUFBWUFCd0FNQUFBQUVBQVFBQUFBQUFBQkJSQUFBQUFjQUFBQUJBQUFBQUFBQUFBR0FBQUFjMlZ1YzI5eUFB"
    "QUVBQVFBQkFBQUFBQUFBQUE9ABggcGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNS4wLjEZnBwAABwAABwAABwAABwAABwAABwA"
    "ABwAABwAAAAWCAAAUEFSMQ=="
)
"""A file that version 0.1.0 wrote: two heart rates."""


def rows(blocks: list[Readings]) -> set[tuple[object, ...]]:
    """Return every reading as a tuple, with missing values as None."""
    return {
        (
            block.stream,
            block.sensor,
            block.athlete,
            block.origin,
            int(block.sequence[i]),
            int(block.time_ns[i]),
            int(block.quality[i]),
            *(None if np.isnan(value) else float(value) for value in block.values[i]),
        )
        for block in blocks
        for i in range(len(block))
    }


@given(
    st.lists(
        st.tuples(st.sampled_from(["s1", "s2"]), st.sampled_from(["a1", None]), st.sampled_from(["b0", "b1"])),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    st.lists(st.tuples(st.integers(0, 65535), st.sampled_from([0.0, 1.0, np.nan])), min_size=1, max_size=6),
)
def test_parquet_when_encoded_and_decoded_then_every_reading_is_there_once(
    labels: list[tuple[str, str | None, str]], values: list[tuple[int, float]]
) -> None:
    """Rule: decode(encode(blocks)) holds the same readings, whatever their order."""
    given_blocks = [
        readings(
            "heart_rate",
            [(bpm, contact, np.nan) for bpm, contact in values],
            sensor=SensorId(sensor),
            athlete=athlete,  # type: ignore[arg-type]  # drawn as plain text
            origin=origin,
            quality=[i % 16 for i in range(len(values))],
        )
        for sensor, athlete, origin in labels
    ]
    assert rows(decode_parquet(encode_parquet(given_blocks))) == rows(given_blocks)


@pytest.mark.parametrize("stream", sorted(STREAMS))
def test_parquet_when_written_for_a_stream_then_any_reader_finds_its_units(stream: str) -> None:
    """Rule: a file names its stream, and each column its unit and resolution."""
    quantities = STREAMS[stream].quantities
    body = encode_parquet([readings(stream, [[1.0] * len(quantities)])])
    schema = pq.read_schema(io.BytesIO(body))
    assert schema.metadata[b"sideline.stream"].decode() == stream
    for quantity in quantities:
        assert schema.field(quantity.name).metadata[b"unit"].decode() == quantity.unit


def test_parquet_when_blocks_are_of_two_streams_then_it_is_a_broken_invariant() -> None:
    """Rule: one file, one stream."""
    with pytest.raises(ValueError, match="one stream"):
        encode_parquet([heart_rates([60]), positions([[1, 2]])])


def test_parquet_when_the_same_readings_come_in_other_order_then_the_bytes_are_the_same() -> None:
    """Rule: blocks are sorted by sensor, origin and sequence before they are written."""
    block = heart_rates(range(60, 80))
    parts = [select(block, np.arange(start, start + 5)) for start in range(0, 20, 5)]
    assert encode_parquet(parts) == encode_parquet(parts[::-1])


def sample() -> bytes:
    """Return a file of two sensors."""
    steps = np.arange(50)
    path = np.column_stack((steps * 0.5, steps * 0.25))
    return encode_parquet([positions(path), positions(path, sensor=SensorId("tag-02"), athlete=None)])


def test_parquet_when_cut_short_anywhere_then_it_is_a_decode_error() -> None:
    """Rule: no proper beginning of a file is a file."""
    body = sample()
    for end in range(0, len(body), 3):
        with pytest.raises(DecodeError):
            decode_parquet(body[:end])


def test_parquet_when_bits_flip_then_nothing_but_a_decode_error_is_raised() -> None:
    """Rule: a damaged file is refused or read; whether it is the right one the digest beside it says."""
    rng = random.Random(_SEED)
    print("seed", _SEED)
    body = sample()
    refused = 0
    for _ in range(1500):
        damaged = bytearray(body)
        damaged[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        try:
            decode_parquet(bytes(damaged))
        except DecodeError:
            refused += 1
    assert refused > 300


def test_parquet_when_a_table_is_of_no_stream_of_ours_then_it_is_a_decode_error() -> None:
    """Rule: a readable Parquet file with other columns is refused too."""
    for table in (pa.table({"x": [1]}), pa.table({"x": [1]}).replace_schema_metadata({"sideline.stream": "rr"})):
        sink = io.BytesIO()
        pq.write_table(table, sink)
        with pytest.raises(DecodeError, match="known stream"):
            decode_parquet(sink.getvalue())


def test_parquet_when_an_identifying_cell_is_empty_then_it_is_a_decode_error() -> None:
    """Rule: a reading without identity cannot be told from another."""
    schema = stream_schema(STREAMS["rr"])
    row = {"sensor": ["s"], "athlete": ["a"], "origin": ["o"], "sequence": [None], "time_ns": [1], "quality": [0]}
    row |= {"boot": ["b"], "device_ns": [1], "mono_ns": [1]}
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pydict({**row, "rr_ms": [800]}, schema=schema), sink)
    with pytest.raises(DecodeError, match="empty cells"):
        decode_parquet(sink.getvalue())


def test_parquet_when_readings_have_clocks_then_they_come_back_and_a_missing_one_stays_missing() -> None:
    """Rule: device time, monotonic time and the gateway's run travel with each reading that has them."""
    clocks = Clocks(boot="boot-3", device_ns=np.array([5, NO_TIME, 7]), mono_ns=np.array([11, 12, 13]))
    timed, untimed = replace(heart_rates([60, 61, 62]), clocks=clocks), heart_rates([70], sensor=SensorId("other"))
    first, second = decode_parquet(encode_parquet([timed, untimed]))
    assert first.clocks is not None
    assert second.clocks is None
    assert first.clocks.boot == "boot-3"
    assert first.clocks.device_ns.tolist() == [5, NO_TIME, 7]
    assert first.clocks.mono_ns.tolist() == [11, 12, 13]


def test_parquet_when_an_earlier_version_wrote_it_then_it_is_read_without_clocks() -> None:
    """Rule: gateways of two versions may send to one cloud."""
    (block,) = decode_parquet(WITHOUT_CLOCKS)
    assert (block.values[:, 0].tolist(), block.athlete, block.clocks) == ([120, 121], "a01", None)
