"""Readings stamped before the clock was set, as they come out of the store: arrivals in whole milliseconds."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.store.restamp import ClockStep, restamp
from shared.chunk_codec import decode_chunk, encode_chunk
from shared.clock import NS_PER_MS, NS_PER_S
from shared.readings import NO_TIME, Clocks, Quality
from tests.factories import START_NS, heart_rates

_LOOKS_NS = (NS_PER_S, 2 * NS_PER_S)


@given(
    st.one_of(st.integers(50, 10**9), st.integers(-(10**9), -50)),
    st.lists(st.integers(0, 3 * NS_PER_S), min_size=1, max_size=8),
    st.integers(*_LOOKS_NS),
    st.sampled_from(["anywhere", "at an edge"]),
)
def test_restamp_when_arrivals_are_kept_in_milliseconds_then_each_reading_moves_as_one_kept_to_the_nanosecond(
    shift_ms: int, arrivals: list[int], set_at_ns: int, where: str
) -> None:
    """Rule: whatever moment between two looks the clock was set at, each arrival falls on its own side of it."""
    if where == "at an edge":  # within a millisecond of a look or of the step
        arrivals = [edge + at % 2_000_000 - 1_000_000 for at in arrivals for edge in (*_LOOKS_NS, set_at_ns)]
    shift_ns, mono_ns = shift_ms * NS_PER_MS, np.array(sorted(arrivals))
    wrong = mono_ns < set_at_ns
    step = ClockStep(
        boot="b", since_ns=_LOOKS_NS[0], mono_ns=_LOOKS_NS[1], shift_ns=shift_ns, offset_ns=START_NS + shift_ns
    )
    block = heart_rates([60] * len(mono_ns), times_ns=START_NS + mono_ns + np.where(wrong, 0, shift_ns))
    clocks = Clocks(boot="b", device_ns=np.full(len(mono_ns), NO_TIME), mono_ns=mono_ns)
    (stored,) = decode_chunk(encode_chunk([replace(block, clocks=clocks)]))
    right = restamp(stored, {"b": [step]})
    off_ns = START_NS + shift_ns + mono_ns - right.time_ns
    assert ((off_ns >= 0) & (off_ns < NS_PER_MS)).all()
    assert ((right.quality & Quality.RESTAMPED) != 0).tolist() == wrong.tolist()
