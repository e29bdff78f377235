"""Tallies of readings: what they must not depend on, and what they must show."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.chunk_codec import decode_chunk, encode_chunk
from shared.ids import SensorId
from shared.parquet_codec import decode_parquet, encode_parquet
from shared.quantities import RR_INTERVAL, STREAMS
from shared.readings import NO_TIME, Clocks, Readings, select
from shared.resolution import scale
from shared.tally import NOTHING, NS_PER_HOUR, Tallies, Tally, signed, tallies
from tests.factories import START_NS, positions, readings

VALUES = st.sampled_from([float("nan"), float("inf"), -float("inf")]) | st.floats(-1e12, 1e12)
PLAIN = st.floats(-1000, 1000)


@st.composite
def clocks(draw: st.DrawFn, block: Readings) -> Clocks:
    """Draw clocks whose device said the time itself, another one or none."""
    said = draw(st.lists(st.sampled_from(["same", "other", "none"]), min_size=len(block), max_size=len(block)))
    device_ns = np.select([np.array(said) == "same", np.array(said) == "other"], [block.time_ns, 12_345], NO_TIME)
    return Clocks(boot="run-1", device_ns=device_ns, mono_ns=np.arange(len(block)) * 1_000_001)


@st.composite
def blocks(draw: st.DrawFn, stream: str | None = None) -> list[Readings]:
    """Draw some blocks of one stream: any floats, times over some hours, sequences of a day's size."""
    name = stream or draw(st.sampled_from(sorted(STREAMS)))
    columns = len(STREAMS[name].quantities)
    made = []
    for n in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 6))
        row = st.lists(PLAIN | VALUES, min_size=columns, max_size=columns)
        times = st.integers(START_NS, START_NS + 3 * NS_PER_HOUR)
        block = readings(
            name,
            draw(st.lists(row, min_size=count, max_size=count)),
            times_ns=draw(st.lists(times, min_size=count, max_size=count)),
            sensor=draw(st.sampled_from([SensorId("s-1"), SensorId("s-2")])),
            origin=f"boot-{n}",
            sequence=sorted(draw(st.lists(st.integers(0, 10**7), min_size=count, max_size=count, unique=True))),
            quality=draw(st.lists(st.integers(0, 255), min_size=count, max_size=count)),
        )
        made.append(replace(block, clocks=draw(st.none() | clocks(block))))
    return made


@given(blocks())
@settings(deadline=None)
def test_tallies_when_readings_went_through_the_codecs_then_they_are_the_same(made: list[Readings]) -> None:
    """Rule: the gateway's blocks, its journal's and the cloud's Parquet give equal tallies."""
    expected = tallies(made)
    assert tallies(decode_parquet(encode_parquet(made))) == expected
    assert tallies(decode_chunk(encode_chunk(made))) == expected


@given(blocks("position"), st.randoms(use_true_random=False), st.integers(0, 6))
@settings(deadline=None)
def test_tallies_when_order_and_batches_differ_then_they_are_the_same(
    made: list[Readings], rng: Random, cut: int
) -> None:
    """Rule: a tally is a sum over readings: neither order nor blocks nor batches matter."""
    expected = tallies(made)
    pieces = [select(b, part) for b in made for part in (slice(0, cut), slice(cut, None)) if len(select(b, part))]
    rng.shuffle(pieces)
    half = len(pieces) // 2
    assert tallies(pieces) == expected
    assert added(tallies(pieces[:half]), tallies(pieces[half:])) == expected


@given(blocks("rr"), st.data())
@settings(deadline=None)
def test_tallies_when_one_reading_is_lost_doubled_or_changed_then_they_differ(
    made: list[Readings], data: st.DataObject
) -> None:
    """Rule: every change of what is uploaded of one reading shows in the tallies."""
    expected = tallies(made)
    at = data.draw(st.integers(0, len(made) - 1))
    block = made[at]
    row = data.draw(st.integers(0, len(block) - 1))
    one = np.arange(len(block)) == row
    step = RR_INTERVAL.resolution
    other = np.where(scale(block.values, step) == 7, 8 * step, 7 * step)
    changed = [
        select(block, ~one),
        replace(block, sequence=block.sequence + one * 10**9),
        replace(block, time_ns=block.time_ns + one * 1_000_000),
        replace(block, quality=(block.quality ^ one).astype(np.uint8)),
        replace(block, values=np.where(one[:, None], other, block.values)),
        replace(block, sensor=SensorId(f"{block.sensor}0")),
        replace(block, origin=f"{block.origin}0"),
    ]
    for variant in changed:
        assert tallies([*made[:at], variant, *made[at + 1 :]]) != expected
    assert tallies([*made, select(block, one)]) != expected


def test_tallies_when_readings_span_hours_then_each_hour_has_its_own() -> None:
    """Rule: the hour is that of UTC; the one on the border belongs to the hour that begins."""
    border = (START_NS // NS_PER_HOUR + 1) * NS_PER_HOUR
    block = positions([[1.0, 2.0]] * 3, times_ns=[border, border - 1, border + NS_PER_HOUR])
    hour = border // NS_PER_HOUR
    found = tallies([block])
    assert {key: tally.count for key, tally in found.items()} == {
        ("position", hour - 1): 1,
        ("position", hour): 1,
        ("position", hour + 1): 1,
    }


def test_tallies_when_there_is_nothing_then_nothing() -> None:
    """Rule: no readings, no tallies; an empty block adds none."""
    assert tallies([]) == {}
    assert tallies([select(positions([[1.0, 2.0]]), slice(0, 0))]) == {}


def test_tallies_when_computed_by_another_version_then_the_numbers_are_these() -> None:
    """Rule: a gateway and a cloud of different versions agree, so these numbers never change."""
    found = tallies([positions([[1.5, -2.25], [float("nan"), 30.001]], quality=[0, 5])])
    assert found == {("position", START_NS // NS_PER_HOUR): Tally(2, -4799688823039302382)}


@pytest.mark.parametrize(("number", "expected"), [(2**63, -(2**63)), (2**64 + 5, 5), (-1, -1), (2**63 - 1, 2**63 - 1)])
def test_signed_when_beyond_64_bits_then_it_wraps(number: int, expected: int) -> None:
    """Rule: sums are modulo 2^64, as SQLite's and JSON's signed integers."""
    assert signed(number) == expected


def added(*parts: Tallies) -> Tallies:
    """Return the sum of tallies."""
    keys = {key for part in parts for key in part}
    sums: Tallies = {}
    for key in keys:
        total = NOTHING
        for part in parts:
            total += part.get(key, NOTHING)
        sums[key] = total
    return sums
