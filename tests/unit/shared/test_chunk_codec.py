"""The journal's codec: what goes in comes out; damage is an error of ours or noticed by the digest."""

import base64
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.chunk_codec import decode_chunk, digest, encode_chunk
from shared.errors import DecodeError
from shared.ids import AthleteId, SensorId
from shared.quantities import STREAMS
from shared.readings import NO_TIME, Clocks, Readings
from tests.factories import START_NS, heart_rates, positions, readings

WITHOUT_CLOCKS = base64.b64decode(
    "U0xDMVoAAACRkpOqaGVhcnRfcmF0ZZGUsUMwOjAwOjAwOjAwOjAwOjAxo2EwMaZib290LTAClgEIAQEBBJOocG9zaXRpb26RlKZ0"
    "YWctMDHAqDBiYWRjYWZlAZYBCAECAgF4AWNgZGBgOPV5lrJ1C0M0w3UGCSC3ghEkCAINIOKzckv0dQmGO6ynOFIA5eQKeg=="
)
"""A chunk that version 0.1.0 wrote: two heart rates of a strap, one position of a tag."""
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


def same(first: Readings, second: Readings) -> bool:
    """Return whether two blocks say the same."""
    return (
        (first.sensor, first.stream, first.origin, first.athlete)
        == (second.sensor, second.stream, second.origin, second.athlete)
        and np.array_equal(first.sequence, second.sequence)
        and np.array_equal(first.time_ns, second.time_ns)
        and np.array_equal(first.quality, second.quality)
        and np.array_equal(first.values, second.values, equal_nan=True)
        and _told(first.clocks) == _told(second.clocks)
    )


def _told(clocks: Clocks | None) -> tuple[str, list[int], list[int]] | None:
    return None if clocks is None else (clocks.boot, clocks.device_ns.tolist(), clocks.mono_ns.tolist())


@given(st.lists(blocks(), max_size=5))
def test_chunk_when_encoded_and_decoded_then_nothing_has_changed(given_blocks: list[Readings]) -> None:
    """Rule: decode(encode(blocks)) == blocks, ordered by stream, with NaN kept missing."""
    ordered = sorted(given_blocks, key=lambda block: block.stream)
    decoded = decode_chunk(encode_chunk(given_blocks))
    assert len(decoded) == len(ordered)
    assert all(same(one, other) for one, other in zip(ordered, decoded, strict=True))


def sample() -> bytes:
    """Return a chunk of two streams."""
    steps = np.arange(40)
    path = positions(np.column_stack((steps * 0.123, 30 - steps * 0.05)))
    return encode_chunk([heart_rates([120, 121, 125]), path, heart_rates([90, 91], sensor=SensorId("other"))])


def test_chunk_when_cut_short_anywhere_then_it_is_a_decode_error() -> None:
    """Rule: no proper beginning of a chunk is a chunk."""
    body = sample()
    for end in range(len(body)):
        with pytest.raises(DecodeError):
            decode_chunk(body[:end])


def test_chunk_when_bytes_follow_it_then_it_is_a_decode_error() -> None:
    """Rule: a chunk ends where its columns end."""
    with pytest.raises(DecodeError):
        decode_chunk(sample() + b"\0")


def test_chunk_when_any_bit_flips_then_it_is_a_decode_error_or_the_numbers_are_unharmed() -> None:
    """Rule: damage raises DecodeError or leaves every number as it was; damaged labels are for the digest to notice."""
    body = sample()
    clean, numbers = digest(body), _numbers(decode_chunk(body))
    columns = body.index(b"\x78\x01")  # RFC 1950: a zlib stream written at the fastest level
    unharmed = 0
    for bit in range(len(body) * 8):
        damaged = bytearray(body)
        damaged[bit // 8] ^= 1 << bit % 8
        assert digest(bytes(damaged)) != clean
        try:
            decoded = decode_chunk(bytes(damaged))
        except DecodeError:
            continue
        if bit // 8 >= columns:
            unharmed += 1
            assert _numbers(decoded) == numbers
    # A few bits of a compressed stream mean nothing: padding, and codes that no symbol uses.
    assert unharmed < 8 * (len(body) - columns) / 20


def _numbers(decoded: list[Readings]) -> list[tuple[list[int], list[int], str]]:
    return [(b.sequence.tolist(), b.time_ns.tolist(), repr(b.values.tolist())) for b in decoded]


@given(st.binary(max_size=200))
def test_chunk_when_bytes_are_random_then_it_is_a_decode_error(body: bytes) -> None:
    """Rule: what we did not write is refused."""
    with pytest.raises(DecodeError):
        decode_chunk(b"SLC2" + body)
    with pytest.raises(DecodeError):
        decode_chunk(b"SLC1" + body)


def test_chunk_when_its_header_promises_more_than_it_holds_then_it_is_a_decode_error() -> None:
    """Rule: no length in a chunk is believed before it is checked."""
    body = sample()
    for count in (0, 2**31 - 1, 2**63):
        head = body[:4] + (count & 0xFFFFFFFF).to_bytes(4, "little")
        with pytest.raises(DecodeError):
            decode_chunk(head + body[8:])


def test_chunk_when_values_are_finer_than_their_resolution_then_they_are_rounded_to_it() -> None:
    """Rule: a stored value differs from the measured one by at most half a resolution step."""
    fine = positions([[1.23449, 2.34561]], times_ns=[START_NS])
    (decoded,) = decode_chunk(encode_chunk([fine]))
    assert decoded.values[0].tolist() == [1.234, 2.346, 1.0]


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
