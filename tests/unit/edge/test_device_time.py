"""When a reading was taken."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.pipeline.device_time import MAX_AGE_NS, MAX_AHEAD_NS, DeviceTime, beat_times
from edge.sensors.base import DeviceClock
from shared.clock import NS_PER_S, Stamp
from shared.readings import Quality
from tests.factories import START_NS


@given(st.one_of(st.integers(-5 * NS_PER_S, 5 * NS_PER_S), st.integers(-2 * MAX_AGE_NS, 2 * MAX_AGE_NS)))
def test_time_when_a_device_clock_cannot_be_right_then_arrival_counts(offset_ns: int) -> None:
    """Rule: a reading may be old, as a broker keeps it, never new; a good time is kept to the nanosecond."""
    received = Stamp(utc_ns=START_NS, mono_ns=0, boot_id="boot-0")
    time_ns, quality = DeviceTime().place(START_NS + offset_ns, DeviceClock.UTC, received)
    if -MAX_AGE_NS <= offset_ns <= MAX_AHEAD_NS:
        assert (time_ns, quality) == (START_NS + offset_ns, Quality.GOOD)
    else:
        assert (time_ns, quality) == (START_NS, Quality.CLOCK_CORRECTED)


@given(st.lists(st.floats(200, 2500), min_size=1, max_size=9))
def test_beats_when_intervals_arrive_then_they_are_counted_back_from_arrival(intervals_ms: list[float]) -> None:
    """Rule: the newest interval ends at arrival; two beats lie as far apart as the later interval says."""
    times = beat_times(np.array(intervals_ms), START_NS)
    assert times[-1] == START_NS
    assert np.abs(np.diff(times) - np.array(intervals_ms[1:]) * 1e6).max(initial=0) <= 2
