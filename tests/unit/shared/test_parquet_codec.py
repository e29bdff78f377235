"""The upload's codec: exact round trips, and damage that is never anything but a DecodeError."""

import base64
import io
import json
import random
import zlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.clock import NS_PER_MS, NS_PER_S
from shared.errors import DecodeError
from shared.ids import SensorId
from shared.parquet_codec import decode_parquet, encode_parquet, table_to_readings
from shared.parquet_versions import stream_schema
from shared.quantities import STREAMS
from shared.readings import NO_TIME, Clocks, Readings, select
from shared.resolution import kept_device, kept_time
from tests.bench.squad_load import SquadLoad
from tests.factories import heart_rates, positions, readings

_SEED = 20_260
START = 1_790_000_000 * NS_PER_S


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


WITHOUT_CLOCKS = _unpacked(
    "eNqVVkts41QUffZ4krZTDZ2KZyVSFxGi1gzQ2kmnMBmVxbPTOOm0zWcm3wWV45gkbX51nCZBAhWEEEiIJWIxYsUCIZDYsGA1W5asQGI3"
    "G1YsWLIAifeeP/m1tFhV7PPuOfeee99z0jTKhiEHX4HSPmQhWAXg7g/iPyH4LgCJOwAARXoohRlgfnYLArgKX34Nk1egD/rWgENdTALA"
    "YsAxDAdw9DYMTaXyRwG4geOaFL5uihehMJViKQOAD8crnY61IV0vC4AhGCGkpSnSyvsu6ZzlWPpIuA/g3jx37fkk9/z8i2cfPv/u1/D5"
    "17/86Hd0V9VgOFqBcl+C9+e5dz6Z5P7JsNdPzLqJeXh3nnur5HAB5mIaF/x2GwR8Pb1utDS4CuDyOouh0e51zHWwT3R0ya9Z9aZhGZNr"
    "vo7ZqDXa7hKHlxZ6xmnfaOuGDf1Wo2UctXsAsgSd9rVmwxrZ6Hbd0EzryNQs46jSbTkUvdO2NN2y0aLRNsza6OjkGPBccC34VABrcDm4"
    "DXwrQdckXOY5/j3+c0Z4IizcIw1jLWl/Bd92+FjQFxRwtwBMat1uqLjCf8QIvzHCl8y8fPlCudM4Vdf5Txnhd1b4ip1XB6bUXHDdtxQc"
    "j4jK43xR+P5Gcg1rlojm3gUKd4pU8BbfFT7mLhGwjsAZtFfhrysEM3tBdQm+LPx884pCznZ5hb7x/bdgvKNUssMfCh/4pyVEAfi/b/Kc"
    "sMD/5AfBncALvUbVaDbaxmbPMg2tFVga+wWTUXqKA0wYBJZRNpsqPHRW/lgUyfV6LYYQyiD7eoTQfSTXUByhGlJqdE2Wp+IDct/14qqL"
    "EVlCKIY8LKa3RHE4xjRLjD6myYceaZ6UC8NupZXr65HDTrkQriPlyaui+KBEC1NRhzzhWHxUjUdHpWK2eaF+KzvCHAuhE1JEJ146KIlQ"
    "IqPgBYl6I/hgIFOcsZmOqVPxTBRpyTrBMm1KoSZqyL0UElLz/XJxr23ko6bm5rRN2n73qf/M2D+Jy+bjmoMT+b5WtMcZTr9x2Xwe0f5a"
    "+XcqkWG4qjbPKlifInx73LSyjj1TnEnmCK56m4Bynmmkk/rHlci2VCocSnN+Y8fitF9af+jhCb+FtPi//OL5pYgfPM2kZ+exc5eTSKVm"
    "SiR+4CTNkXX72lXitP7AG3Ji3FSKfGhqvq63s2/rrbhUzkcbuiq51IHnPxWb6Y+Ukil3tj+FBjPknpxu0qYeZLzzOCoXD88qibykFaJ9"
    "jHvkVZroL+dgfJ4onjjPyGtFL+brFbUpGRlFn9bLu9fR4zlbuO++PogdeHq687I0oz+Z0Sft9yc/rBby/VIkN9H/zH7RkDJw88nZC/2o"
    "5KOytdctR5p4HkqN8CNp93zmMh7J+ypx3jI1LmnqsFlVc2jknK/4/LlwRW59/aL6uB/8PRIduZKJ+JsgEOpqJv6RsTb0bndDM83OIHRm"
    "mL1Gpx2KbG9Km+HgU/yTfdkf4BcASOP/AP8FFlg3GQ=="
)
"""A file that version 0.1.0 wrote (schema 1): two heart rates."""
WITH_CLOCKS = _unpacked(
    "eNqVV81rK1UUv0nHpF/UvsebIYEugtihT20zSRpeW/oWd/Jd+5HktflaWGcmY5I2ybSTSdIGlPoQUREXLsSVILgQQXAjqAj+A2/hSkHe"
    "5oG4FJduBO+985mktXEomTn3nN85v985Z9I2C/MhmqJforld2k2DuwCsfBv8J0C/CUD6DgAgxm1xIRdQP5qjAX2XfvEVFLxIe2jPEjBC"
    "ZzIAuJFBuVwUQN4FOjCUyrsJwBTyC1xo0hT3aHYoxWwOAA/yi4qirXKTZQF0gA7joNmhoMW3zaArN+Umjzh2g94Zj1165oy9uvr0p3ee"
    "ff1r6OrLX773GrjbargoUgHcqioyqSqGXhmvOFfWg6bciKlrAYWt0FvjYfc+dwpiHjuEvECvj8ffed8p5C+Xe3LVuuzb+FIAxeLm+J9G"
    "gc/TkepyS6B9gJ5fdiNTbncUdRnsYhw58gpavSlrsvPMo6iNWqNtHlHoaLojn3fltiTrpldrtOTjdgfQbmydd4VmQ7vU0RTuvhM7U5V7"
    "DUkPJ+CW0lYs8EJdFlTtWBU0+Vg8axkZJaWtCZKmWzNyW1Zrl8enJ4Ch/Ev+JyxYouf9UeBZ9Jua6HmGYt5iPnGxh+z0fdwfhMXdWkS3"
    "bSbu9/hZ1BwAnFhTPAGLzLsu9jcX+5lrHD5/LdzoE0HXmQ9d7B9u9gv3ONo3hKb8y55Zv91RAk8yJfabqcwSwsxizP1rEGbTCeA15ox9"
    "j7oB4DYAxlysCn/fBDAVkdnZej72sD8/N6Eee8oEv83ss089w+XICjsFGYtAAPvM6+xX3v8WNLIrBJdmKuwH07c0wlgnqxG/3wKwN84S"
    "8+PMMAQjAPOnl6HYaebxLPBv+57vNKpys9GW1zqaKgst36zNFzi95KX0ucLANw/z+YPilnHy3VwQXxxMQAhzUL9ehXAd8jWYhLAGYzVy"
    "xvND/j6+Jyx/yrQhPoIwDi17IxsJBi9sm2SJZ/BTFn9I4eZppXhxJraOulJ4X6kUQ3XIn7wcDG6USWECUvAT8iUvq8nNy3Ip37wWH8lf"
    "ohhN58dz+HYA99BzHzGK72FuLYhqp3IxiEUSbcje6+MyHOZ2apM8D/aCQUKhjm2eiIwRUjVoXjHsShW6ldJOWy5sqoKZUyet8989xHpy"
    "th7s59VHNcNOF7pCSW9vKPvgmn4ljL4jva3CQAxfhKqpZk9EeBX3V28/qSwhzsTOZY6wXbWGAo8s0lDC9U/EcJQrF/e5Mb7xk+AwX1L/"
    "wrIdfIvZ4P/iG8MjQXxQNzMWnUfGnc/AFCFTxv49I+kRPtevRCxJ6vetJqdtUQf4Q0gV6lI7/4bUSnKVwmZDSnFmaN/ifxAf0YdL8SR2"
    "VF+MOHP4nhkWqYfu5az9vKyU9ntiusAJxc0uakLN2B9DXyxj7xM5dew3tKSICCuGNrtSH+bwqwmtycXWR/DSCH4Hf1RShbBQ3G+WwtEB"
    "tvNZYx8g6Rx8gPeL7McRYZ6y9UArX2qnJ0b0swjZx0PcL9L/hL3/iZF9uqgWkx2hlI/CnYERb0wuMREe9S2k896z8YRFegRPXjonHufj"
    "B5VSMlQpRk8qOfMl6+O5pY39t/Ptxs18yev54NHwPanVbAvFdbTJOD5YNubB8/mb54e+mxQxVeAquXgGx5P9xftew/6+3mwLZNbvX1d/"
    "gLQMxEjGhDj8Dx8CX+BMUNEvdG1VOjtbFVRV6Qd6stppKO1AOLrGrYX8T9BfRLf+gB9mAMiifyH+BQZlpVM="
)
"""One that version 0.2.0 wrote (schema 2): two heart rates, the second with its device's time."""


@pytest.fixture(scope="module")
def squad() -> SquadLoad:
    """Return a minute of 22 athletes."""
    return SquadLoad(athletes=22, seconds=60, seed=_SEED)


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
    said = json.loads(schema.metadata[b"sideline.quantities"])
    assert said == {quantity.name: [quantity.unit, quantity.resolution] for quantity in quantities}


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


@pytest.mark.parametrize("version", [1, 2])
def test_parquet_when_an_identifying_cell_of_an_earlier_version_is_empty_then_it_is_a_decode_error(
    version: int,
) -> None:
    """Rule: a reading without identity cannot be told from another."""
    schema = stream_schema(STREAMS["rr"], version)
    row = {"sensor": ["s"], "athlete": ["a"], "origin": ["o"], "sequence": [None], "time_ns": [1], "quality": [0]}
    row |= {"boot": ["b"], "device_ns": [1], "mono_ns": [1]} if version > 1 else {}
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pydict({**row, "rr_ms": [800]}, schema=schema), sink)
    with pytest.raises(DecodeError, match="empty cells"):
        decode_parquet(sink.getvalue())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sensor": None}, "empty cells"),
        ({"quality": None}, "empty cells"),
        ({"quality": "x"}, "known stream"),
        ({"boot": 3}, "known stream"),
        ({"contact": 2**40}, "beyond its column"),
        ({"sequence": 1}, "known stream"),
        ({"more": 1}, "known stream"),
    ],
)
def test_parquet_when_its_constants_are_not_a_streams_then_it_is_a_decode_error(
    change: dict[str, object], problem: str
) -> None:
    """Rule: what stands in the metadata is believed no more than a column."""
    table = pq.read_table(io.BytesIO(encode_parquet([heart_rates([60, 61])])))
    said = {key.decode(): value for key, value in table.schema.metadata.items()}
    assert table_to_readings(table.replace_schema_metadata(said))
    said["sideline.constants"] = json.dumps(json.loads(said["sideline.constants"]) | change).encode()
    with pytest.raises(DecodeError, match=problem):
        table_to_readings(table.replace_schema_metadata(said))


def test_parquet_when_a_column_says_the_same_everywhere_then_it_is_not_written() -> None:
    """Rule: what every row has in common stands once, and what is not known takes no column."""
    names = pq.read_schema(io.BytesIO(encode_parquet([heart_rates([60, 61])]))).names
    assert names == ["sequence", "time", "heart_rate_bpm"]


@pytest.mark.parametrize(("step_ns", "unit"), [(NS_PER_S, b"1000000"), (1_000, b"1000")])
def test_parquet_when_times_are_coarse_then_they_are_in_the_coarsest_unit_that_loses_nothing(
    step_ns: int, unit: bytes
) -> None:
    """Rule: a clock that ticks in milliseconds is written in milliseconds, and the file says so."""
    body = encode_parquet([heart_rates([60, 61, 62], times_ns=START + np.arange(3) * step_ns)])
    assert pq.read_schema(io.BytesIO(body)).metadata[b"sideline.time_unit_ns"] == unit
    assert decode_parquet(body)[0].time_ns.tolist() == [START, START + step_ns, START + 2 * step_ns]


TIMES = st.integers(-(2**63), 2**63 - 1) | st.integers(START, START + 10**12)


@given(
    st.lists(
        st.tuples(TIMES, st.sampled_from(["same", "none"]) | TIMES, st.integers(0, 2**63 - 1)), min_size=1, max_size=6
    ),
    st.sampled_from([None, "", "boot-1"]),
)
def test_parquet_when_clocks_say_anything_then_they_come_back_as_they_are_kept(
    times: list[tuple[int, str | int, int]], boot: str | None
) -> None:
    """Rule: times as the journal keeps them, arrivals to 10 ms, and a device's own time still equals the reading's."""
    time_ns = np.array([time for time, _, _ in times])
    device_ns = np.array([{"same": t, "none": NO_TIME}[d] if isinstance(d, str) else d for t, d, _ in times])
    block = heart_rates([60] * len(times), times_ns=time_ns)
    if boot is not None:
        block = replace(block, clocks=Clocks(boot=boot, device_ns=device_ns, mono_ns=np.array([m for *_, m in times])))
    (found,) = decode_parquet(encode_parquet([block]))
    if boot is None:
        assert found.clocks is None
        assert found.time_ns.tolist() == kept_time(time_ns, np.zeros_like(time_ns)).tolist()
        return
    assert found.clocks is not None
    assert found.clocks.boot == boot
    assert found.time_ns.tolist() == kept_time(time_ns, device_ns).tolist()
    assert found.clocks.device_ns.tolist() == kept_device(device_ns).tolist()
    unit_ns = 10 * NS_PER_MS
    assert found.clocks.mono_ns.tolist() == [mono_ns // unit_ns * unit_ns for *_, mono_ns in times]


def test_parquet_when_readings_have_clocks_then_they_come_back_and_a_missing_one_stays_missing() -> None:
    """Rule: device time, monotonic time and the gateway's run travel with each reading that has them."""
    mono_ns = np.array([11, 12, 13]) * 10 * NS_PER_MS
    clocks = Clocks(boot="boot-3", device_ns=np.array([5_000, NO_TIME, 7_000]), mono_ns=mono_ns)
    timed, untimed = replace(heart_rates([60, 61, 62]), clocks=clocks), heart_rates([70], sensor=SensorId("other"))
    first, second = decode_parquet(encode_parquet([timed, untimed]))
    assert first.clocks is not None
    assert second.clocks is None
    assert first.clocks.boot == "boot-3"
    assert first.clocks.device_ns.tolist() == [5_000, NO_TIME, 7_000]
    assert first.clocks.mono_ns.tolist() == mono_ns.tolist()


def test_parquet_when_an_earlier_version_wrote_it_then_it_is_read_without_clocks() -> None:
    """Rule: gateways of two versions may send to one cloud."""
    (block,) = decode_parquet(WITHOUT_CLOCKS)
    assert (block.values[:, 0].tolist(), block.athlete, block.clocks) == ([120, 121], "a01", None)


def test_parquet_when_the_version_before_wrote_it_then_it_is_read_with_clocks_as_exact_as_they_were() -> None:
    """Rule: what a gateway of the version before has waiting is still taken."""
    (block,) = decode_parquet(WITH_CLOCKS)
    assert block.clocks is not None
    assert (block.clocks.boot, block.values[:, 0].tolist()) == ("boot-3", [120, 121])
    assert block.clocks.device_ns.tolist() == [NO_TIME, 7]
    assert block.clocks.mono_ns.tolist() == [11, 1_000_000_012]


@pytest.mark.parametrize(("stream", "most"), [("position", 3.6), ("imu", 8.0), ("heart_rate", 4.0)])
def test_parquet_when_a_squad_trains_for_a_minute_then_a_reading_takes_as_few_bytes_as_promised(
    squad: SquadLoad, stream: str, most: float
) -> None:
    """Rule: a writer's setting that doubles the upload does not go unnoticed."""
    blocks = squad.blocks(stream)
    assert len(encode_parquet(blocks)) / sum(map(len, blocks)) < most
