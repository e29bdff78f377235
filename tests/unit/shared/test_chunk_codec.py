"""The journal's codec: what goes in comes out as it is kept; damage is an error of ours or noticed by the digest."""

import base64
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.chunk_codec import decode_chunk, digest, encode_chunk, encode_tail
from shared.errors import DecodeError
from shared.ids import AthleteId, SensorId
from shared.quantities import STREAMS
from shared.readings import NO_TIME, Clocks, Readings, select
from shared.resolution import kept_arrival, kept_device, kept_time
from tests.factories import START_NS, heart_rates, positions, readings

WITHOUT_CLOCKS = base64.b64decode(
    "U0xDMVoAAACRkpOqaGVhcnRfcmF0ZZGUsUMwOjAwOjAwOjAwOjAwOjAxo2EwMaZib290LTAClgEIAQEBBJOocG9zaXRpb26RlKZ0"
    "YWctMDHAqDBiYWRjYWZlAZYBCAECAgF4AWNgZGBgOPV5lrJ1C0M0w3UGCSC3ghEkCAINIOKzckv0dQmGO6ynOFIA5eQKeg=="
)
"""A chunk that version 0.1.0 wrote: two heart rates of a strap, one position of a tag."""
WITH_CLOCKS = base64.b64decode(
    "U0xDMmkAAACRkpOqaGVhcnRfcmF0ZZGWsUMwOjAwOjAwOjAwOjAwOjAxo2EwMaZib290LTACpmJvb3QtM8OYAQgBCAgBAQSTqHBvc2l0"
    "aW9ukZamdGFnLTAxo2EwMaZib290LTABwMKYAQgBAQECAgF4AWNgZGBgOPV5lrJ1C0M0w3UGCSCXgZ3BjKGIYQFDNcMSBo2GdG6gGl6G"
    "OxAuw3OGCkaQJhBoABGflVuir4P03WE9xZECAKmGERo="
)
"""One that version 0.2.0 wrote: two heart rates, the second with its device's time, and a position without clocks."""
INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def blocks(draw: st.DrawFn) -> Readings:
    """Return any block: values are whole multiples of their resolution, or missing."""
    stream = draw(st.sampled_from(sorted(STREAMS)))
    count = draw(st.integers(1, 12))
    quantities = STREAMS[stream].quantities
    steps = st.one_of(st.none(), st.integers(-(2**31) + 2, 2**31 - 2))
    rows = draw(st.lists(st.tuples(*[steps for _ in quantities]), min_size=count, max_size=count))
    values = [
        [np.nan if step is None else _multiple(step, q.resolution) for step, q in zip(row, quantities, strict=True)]
        for row in rows
    ]
    whole = st.lists(INT64, min_size=count, max_size=count)
    block = readings(
        stream,
        values,
        sensor=SensorId(draw(st.text(min_size=1, max_size=8))),
        athlete=draw(st.one_of(st.none(), st.text(min_size=1, max_size=8).map(AthleteId))),
        origin=draw(st.text(max_size=8)),
        times_ns=draw(whole),
        sequence=draw(whole),
        quality=draw(st.lists(st.integers(0, 255), min_size=count, max_size=count)),
    )
    if not draw(st.booleans()):
        return block
    times = st.lists(st.one_of(st.just(NO_TIME), INT64), min_size=count, max_size=count)
    clocks = Clocks(boot=draw(st.text(max_size=8)), device_ns=np.array(draw(times)), mono_ns=np.array(draw(whole)))
    return replace(block, clocks=clocks)


def _multiple(step: int, resolution: float) -> float:
    inverse = round(1 / resolution)
    return step / inverse if resolution < 1 and abs(1 / resolution - inverse) < 1e-9 else step * resolution


def kept(block: Readings) -> Readings:
    """Return a block with its times as they are kept."""
    clocks = block.clocks
    if clocks is None:
        return replace(block, time_ns=kept_time(block.time_ns, np.zeros(len(block), np.int64)))
    return replace(
        block,
        time_ns=kept_time(block.time_ns, clocks.device_ns),
        clocks=Clocks(boot=clocks.boot, device_ns=kept_device(clocks.device_ns), mono_ns=kept_arrival(clocks.mono_ns)),
    )


def told(block: Readings) -> list[tuple[object, ...]]:
    """Return a block's rows with all that is known of each."""
    clocks = block.clocks
    rows = zip(block.sequence.tolist(), block.time_ns.tolist(), block.quality.tolist(), strict=True)
    return [
        (
            block.stream,
            (block.sensor, block.origin, block.athlete),
            row,
            repr(block.values[i].tolist()),
            None if clocks is None else (clocks.boot, int(clocks.device_ns[i]), int(clocks.mono_ns[i])),
        )
        for i, row in enumerate(rows)
    ]


def by_source(blocks: Sequence[Readings]) -> dict[object, list[tuple[object, ...]]]:
    """Return rows by stream, sensor, origin, athlete and run, in the order in which they come."""
    found: dict[object, list[tuple[object, ...]]] = defaultdict(list)
    for block in blocks:
        boot = None if block.clocks is None else block.clocks.boot
        found[block.stream, block.sensor, block.origin, block.athlete, boot] += told(block)
    return found


@given(st.lists(blocks(), max_size=5))
def test_chunk_when_encoded_and_decoded_then_nothing_kept_has_changed(given_blocks: list[Readings]) -> None:
    """Rule: decode(encode(blocks)) has every reading, in order within its source, with NaN kept missing."""
    decoded = decode_chunk(encode_chunk(given_blocks))
    expected = by_source([kept(block) for block in given_blocks])
    assert by_source(decoded) == expected
    assert len(decoded) == len(expected)


@given(st.lists(blocks(), max_size=5))
def test_tail_when_encoded_and_decoded_then_its_blocks_are_the_same_as_they_are_kept(
    given_blocks: list[Readings],
) -> None:
    """Rule: decode(encode_tail(blocks)) are the blocks by stream; merging them gives what merging the given gives."""
    decoded = decode_chunk(encode_tail(given_blocks))
    ordered = sorted(given_blocks, key=lambda block: block.stream)
    assert [told(block) for block in decoded] == [told(kept(block)) for block in ordered]
    assert encode_chunk(decoded) == encode_chunk(given_blocks)


@pytest.mark.parametrize("encode", [encode_tail, encode_chunk])
def test_chunk_when_blocks_are_views_or_empty_then_their_rows_are_what_is_stored(
    encode: Callable[[Sequence[Readings]], bytes],
) -> None:
    """Rule: every other row of a block can be stored, and a block without rows is left out."""
    whole = heart_rates([60, 61, 62, 63])
    (block,) = decode_chunk(encode([select(whole, slice(0, 4, 2)), select(whole, slice(0, 0))]))
    assert told(block) == told(select(whole, np.array([0, 2])))


def test_chunk_when_many_commits_of_one_sensor_are_merged_then_they_are_one_block_in_order() -> None:
    """Rule: blocks of the same source become one, and another athlete's rows another."""
    parts = [heart_rates([60 + i], first=i, times_ns=[START_NS + i]) for i in range(10)]
    changed = replace(parts[5], athlete=AthleteId("a02"))
    mine, other = decode_chunk(encode_chunk([*parts[:5], changed, *parts[6:]]))
    assert mine.sequence.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert (other.athlete, other.values[0, 0]) == ("a02", 65.0)


def sample(encode: Callable[[Sequence[Readings]], bytes] = encode_chunk) -> bytes:
    """Return a chunk of two streams."""
    steps = np.arange(40)
    path = positions(np.column_stack((steps * 0.123, 30 - steps * 0.05)))
    return encode([heart_rates([120, 121, 125]), path, heart_rates([90, 91], sensor=SensorId("other"))])


@pytest.mark.parametrize("encode", [encode_tail, encode_chunk])
def test_chunk_when_cut_short_anywhere_then_it_is_a_decode_error(
    encode: Callable[[Sequence[Readings]], bytes],
) -> None:
    """Rule: no proper beginning of a chunk is a chunk."""
    body = sample(encode)
    for end in range(len(body)):
        with pytest.raises(DecodeError):
            decode_chunk(body[:end])


@pytest.mark.parametrize("encode", [encode_tail, encode_chunk])
def test_chunk_when_bytes_follow_it_then_it_is_a_decode_error(encode: Callable[[Sequence[Readings]], bytes]) -> None:
    """Rule: a chunk ends where its columns end."""
    with pytest.raises(DecodeError):
        decode_chunk(sample(encode) + b"\0")


def test_tail_when_any_bit_flips_then_nothing_but_a_decode_error_is_raised_and_the_digest_tells() -> None:
    """Rule: a tail does not know its own damage; the digest beside it does, and reading it does no harm."""
    body = sample(encode_tail)
    clean = digest(body)
    refused = 0
    for bit in range(len(body) * 8):
        damaged = bytearray(body)
        damaged[bit // 8] ^= 1 << bit % 8
        assert digest(bytes(damaged)) != clean
        try:
            decode_chunk(bytes(damaged))
        except DecodeError:
            refused += 1
    assert refused > 100


def test_chunk_when_any_bit_flips_then_it_is_a_decode_error_or_the_numbers_are_unharmed() -> None:
    """Rule: damage raises DecodeError or leaves everything as it was."""
    body = sample()
    clean, numbers = digest(body), _numbers(decode_chunk(body))
    unharmed = 0
    for bit in range(len(body) * 8):
        damaged = bytearray(body)
        damaged[bit // 8] ^= 1 << bit % 8
        assert digest(bytes(damaged)) != clean
        try:
            decoded = decode_chunk(bytes(damaged))
        except DecodeError:
            continue
        unharmed += 1
        assert _numbers(decoded) == numbers
    # A few bits of a compressed stream mean nothing: padding, and codes that no symbol uses.
    assert unharmed < 8 * len(body) / 20


def _numbers(decoded: list[Readings]) -> list[tuple[list[int], list[int], str]]:
    return [(b.sequence.tolist(), b.time_ns.tolist(), repr(b.values.tolist())) for b in decoded]


@given(st.binary(max_size=200))
def test_chunk_when_bytes_are_random_then_it_is_a_decode_error(body: bytes) -> None:
    """Rule: what we did not write is refused."""
    for magic in (b"SLC1", b"SLC2", b"SLC3", b"SLT3", b""):
        with pytest.raises(DecodeError):
            decode_chunk(magic + body)


@pytest.mark.parametrize("body", [sample(encode_tail), WITH_CLOCKS])
def test_chunk_when_its_header_promises_more_than_it_holds_then_it_is_a_decode_error(body: bytes) -> None:
    """Rule: no length in a chunk is believed before it is checked."""
    for count in (0, 2**31 - 1, 2**63):
        head = body[:4] + (count & 0xFFFFFFFF).to_bytes(4, "little")
        with pytest.raises(DecodeError):
            decode_chunk(head + body[8:])


def test_chunk_when_values_are_finer_than_their_resolution_then_they_are_rounded_to_it() -> None:
    """Rule: a stored value differs from the measured one by at most half a resolution step."""
    fine = positions([[1.23449, 2.34561]], times_ns=[START_NS])
    (decoded,) = decode_chunk(encode_chunk([fine]))
    assert decoded.values[0].tolist() == [1.234, 2.346, 1.0]


@pytest.mark.parametrize("encode", [encode_tail, encode_chunk])
def test_chunk_when_times_are_finer_than_is_kept_then_they_are_cut_and_a_devices_own_stay_equal(
    encode: Callable[[Sequence[Readings]], bytes],
) -> None:
    """Rule: a device's times are kept to the microsecond and arrivals to the millisecond; equal ones stay equal."""
    times = np.array([START_NS + 1_001, START_NS + 1_002_003, START_NS + 2_003_999])
    device = np.array([START_NS + 1_001, 17_017, NO_TIME])
    clocks = Clocks(boot="boot-3", device_ns=device, mono_ns=np.array([999_999, 1_000_000, 5_999_999]))
    (block,) = decode_chunk(encode([replace(heart_rates([60, 61, 62], times_ns=times), clocks=clocks)]))
    assert (block.time_ns - START_NS).tolist() == [1_000, 1_002_000, 2_000_000]
    assert block.clocks is not None
    assert block.clocks.device_ns.tolist() == [START_NS + 1_000, 17_000, NO_TIME]
    assert block.clocks.mono_ns.tolist() == [0, 1_000_000, 5_000_000]


def test_chunk_when_a_value_is_beyond_32_bits_then_it_is_missing_and_its_neighbours_stay() -> None:
    """Rule: an absurd value never wraps around into a plausible one."""
    absurd = readings("rr", [[800.0], [1e15], [-np.inf], [810.546875]])
    (decoded,) = decode_chunk(encode_chunk([absurd]))
    assert np.isnan(decoded.values[1:3]).all()
    assert decoded.values[[0, 3], 0] == pytest.approx([800.0, 810.546875], abs=0.5)


def test_chunk_when_an_earlier_version_wrote_it_then_it_is_read_without_clocks() -> None:
    """Rule: a database outlives the version that filled it."""
    heart_rate, position = decode_chunk(WITHOUT_CLOCKS)
    assert (heart_rate.values[:, 0].tolist(), heart_rate.athlete, heart_rate.clocks) == ([120, 121], "a01", None)
    assert (position.values.tolist(), position.origin, position.clocks) == ([[1.5, 2.25, 1.0]], "0badcafe", None)
    assert position.time_ns.tolist() == [START_NS]


def test_chunk_when_the_version_before_wrote_it_then_it_is_read_with_clocks_as_exact_as_they_were() -> None:
    """Rule: a database outlives the version that filled it."""
    heart_rate, position = decode_chunk(WITH_CLOCKS)
    assert heart_rate.clocks is not None
    assert heart_rate.clocks.device_ns.tolist() == [NO_TIME, 7]
    assert heart_rate.clocks.mono_ns.tolist() == [11, 1_000_000_012]
    assert (heart_rate.values[:, 0].tolist(), position.values.tolist()) == ([120, 121], [[1.5, 2.25, 1.0]])
