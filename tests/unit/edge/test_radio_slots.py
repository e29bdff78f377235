"""Connection slots of an adapter."""

import random

from hypothesis import given
from hypothesis import strategies as st

from edge.sources.ble_slots import Slots
from shared.clock import NS_PER_S
from shared.ids import SensorId

SENSORS = [SensorId(f"s{i}") for i in range(5)]


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(SENSORS), st.sampled_from(["take", "worked", "failed"])), max_size=60),
)
def test_slots_when_anything_happens_then_no_more_are_taken_than_there_are(
    capacity: int, events: list[tuple[SensorId, str]]
) -> None:
    """Rule: at most `capacity` connections, each sensor at most once."""
    slots, held, now_ns = Slots(capacity, random.Random(1)), set(), 0
    for sensor, event in events:
        now_ns += NS_PER_S
        if event == "take":
            if slots.take(sensor, now_ns):
                assert sensor not in held
                held.add(sensor)
        elif sensor in held:
            slots.release(sensor, now_ns, worked=event == "worked")
            held.discard(sensor)
        assert len(held) <= capacity
        assert slots.free == capacity - len(held)


def test_slots_when_a_sensor_worked_then_it_may_come_back_at_once() -> None:
    """Rule: a dropped link is not the sensor's fault."""
    slots = Slots(1, random.Random(1))
    assert slots.take(SENSORS[0], 0)
    slots.release(SENSORS[0], 10, worked=True)
    assert slots.take(SENSORS[0], 10)


def test_slots_when_a_sensor_fails_again_and_again_then_others_get_their_turn() -> None:
    """Rule: back-off after each failure, up to 20 s, so that one bad sensor does not block the adapter."""
    slots, now_ns, longest = Slots(1, random.Random(3)), 0, 0
    for _ in range(12):
        assert slots.take(SENSORS[0], now_ns)
        slots.release(SENSORS[0], now_ns, worked=False)
        if not slots.take(SENSORS[0], now_ns):
            assert slots.take(SENSORS[1], now_ns)
            slots.release(SENSORS[1], now_ns, worked=True)
        waited_ns = 0
        while not slots.take(SENSORS[0], now_ns + waited_ns):
            waited_ns += NS_PER_S // 10
        slots.release(SENSORS[0], now_ns + waited_ns, worked=False)
        longest = max(longest, waited_ns)
        now_ns += waited_ns + 20 * NS_PER_S
    assert NS_PER_S < longest <= 20 * NS_PER_S
