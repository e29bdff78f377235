"""What is flagged, and what is known already."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pipeline.seen import Seen
from edge.pipeline.validate import implausible
from shared.quantities import STREAMS
from shared.readings import Quality


@pytest.mark.parametrize("stream", sorted(STREAMS))
def test_implausible_when_values_leave_their_range_then_their_rows_are_flagged(stream: str) -> None:
    """Rule: the range is inclusive; one value outside flags its row; other rows are not touched."""
    quantities = STREAMS[stream].quantities
    low, high = [q.low for q in quantities], [q.high for q in quantities]
    for column, quantity in enumerate(quantities):
        below, above = list(low), list(high)
        below[column] -= quantity.resolution
        above[column] += quantity.resolution
        flags = implausible(stream, np.array([low, high, below, above], np.float64))
        assert flags.tolist() == [0, 0, Quality.IMPLAUSIBLE, Quality.IMPLAUSIBLE]


def test_implausible_when_a_value_is_missing_then_its_row_is_not() -> None:
    """Rule: NaN is merely missing."""
    assert implausible("heart_rate", np.array([[150, np.nan, np.nan]])).tolist() == [0]


@given(st.permutations(range(200)))
def test_seen_when_numbers_come_in_any_order_then_each_is_new_once(order: list[int]) -> None:
    """Rule: redelivery is known whatever its order."""
    seen = Seen()
    assert all(seen.add("s", "position", "b", n) for n in order)
    assert not any(seen.add("s", "position", "b", n) for n in order)


def test_seen_when_a_device_restarts_then_its_numbers_are_new() -> None:
    """Rule: identity is (sensor, stream, origin, number)."""
    seen = Seen()
    assert seen.add("s", "position", "b", 0)
    assert seen.add("s", "position", "c", 0)
    assert seen.add("s", "battery", "b", 0)
    assert seen.add("t", "position", "b", 0)


def test_seen_when_it_runs_for_long_then_memory_is_bounded_and_the_newest_are_known() -> None:
    """Rule: the last 2,048 numbers are remembered, and no more."""
    seen = Seen()
    for n in range(50_000):
        assert seen.add("s", "position", "b", n)
    assert not any(seen.add("s", "position", "b", n) for n in range(50_000 - 2048, 50_000))
    assert seen.add("s", "position", "b", 50_000 - 2049)
    assert all(came.bit_length() <= 2048 for _, came in seen._known.values())


@pytest.mark.parametrize("jump", [1, 10, 2047, 2048, 2**40])
def test_seen_when_a_device_leaps_ahead_then_what_it_passed_is_new_and_what_came_is_known_while_near(jump: int) -> None:
    """Rule: the memory goes with the highest number, however far that leaps."""
    seen = Seen()
    assert seen.add("s", "position", "b", 0)
    assert seen.add("s", "position", "b", jump)
    assert not seen.add("s", "position", "b", jump)
    assert seen.add("s", "position", "b", 0) is (jump >= 2048)
    assert jump == 1 or seen.add("s", "position", "b", jump - 1)


def test_seen_when_a_batch_is_forgotten_then_its_numbers_are_new_and_those_before_are_known() -> None:
    """Rule: forgetting leads back to `begin`, also where the batch leapt beyond the memory or began an origin."""
    seen = Seen()
    for n in range(5):
        seen.add("s", "position", "b", n)
    seen.begin()
    for n in (2, 7, 100_000):
        seen.add("s", "position", "b", n)
    seen.add("s", "position", "c", 0)
    seen.forget()
    assert not any(seen.add("s", "position", "b", n) for n in range(5))
    assert all(seen.add("s", "position", "b", n) for n in (7, 100_000))
    assert seen.add("s", "position", "c", 0)


def test_seen_when_a_device_never_keeps_its_origin_then_memory_is_bounded_and_others_are_known() -> None:
    """Rule: a device that starts anew with every message costs no memory, and no other device its own."""
    seen = Seen()
    assert seen.add("t", "position", "b", 0)
    for n in range(1000):
        assert seen.add("s", "position", f"boot {n}", 0)
    assert len(seen._known) < 20
    assert not seen.add("s", "position", "boot 999", 0)
    assert not seen.add("t", "position", "b", 0)
