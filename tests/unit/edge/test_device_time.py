"""When a reading was taken."""

from random import Random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.pipeline.device_time import MAX_AGE_NS, MAX_AHEAD_NS, DeviceTime, beat_times
from edge.sensors.base import DeviceClock
from shared.clock import NS_PER_MS, NS_PER_S, Stamp
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


class Careful(DeviceTime):
    """Asks every question about every frame."""

    def place(self, *args: Any, **given: Any) -> tuple[int, int]:
        """Return what the long way gives."""
        self._believed = False
        return super().place(*args, **given)


@given(st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_time_when_a_frame_is_taken_at_its_word_then_the_long_way_gives_the_same(seed: int) -> None:
    """Rule: the short way for frames on time changes no time, no flag and nothing of what is known of the clock."""
    rng = Random(seed)
    quick, careful = DeviceTime(), Careful()
    offset_ns = rng.choice((0, 5, 150, -90, -150, -1500, 3_000, 20 * 86_400_000)) * NS_PER_MS
    mono_ns, utc_ns, device_ns, origin, clock = 0, START_NS, START_NS - offset_ns, "a", DeviceClock.UTC
    step_ns, jitter_ns = rng.choice((10, 100, 1000, 7000)) * NS_PER_MS, rng.choice((0, 1, 20, 300)) * NS_PER_MS
    drift = rng.choice((1, 1, 1.0002, 0.995, 1.01))
    for sequence in range(rng.choice((30, 120))):
        passed_ns = step_ns * rng.choice((1, 1, 1, 0, 2))
        mono_ns, utc_ns, device_ns = mono_ns + passed_ns, utc_ns + passed_ns, device_ns + int(passed_ns * drift)
        event = rng.random()
        if event < 0.01:  # the gateway's clock is set
            utc_ns += rng.choice((-5000, -600, -100, 100, 600, 5000)) * NS_PER_MS
        elif event < 0.02:  # the device's is
            device_ns += rng.choice((-8000, -2500, -50, 50, 2500, 10**9)) * NS_PER_MS
        elif event < 0.03:
            origin, clock = rng.choice("ab"), rng.choice((DeviceClock.UTC, DeviceClock.UTC, DeviceClock.OWN))
        late_ns = rng.randint(0, jitter_ns) + rng.choice((0,) * 50 + (6000 * NS_PER_MS,))
        frame = (device_ns - late_ns, clock, Stamp(utc_ns=utc_ns, mono_ns=mono_ns, boot_id="b"))
        count = {"origin": origin, "sequence": rng.choice((sequence, None)) if seed % 2 else sequence}
        assert quick.place(*frame, **count) == careful.place(*frame, **count)
        assert (quick.resets, quick.offset_ms, quick.drift_ppm) == (
            careful.resets,
            careful.offset_ms,
            careful.drift_ppm,
        )


def test_beats_when_an_interval_is_missing_then_it_takes_no_time() -> None:
    """Rule: a beat whose interval was not measured moves no other to a time that makes no sense."""
    times = beat_times(np.array([800.0, np.nan, 500.0]), START_NS)
    assert times.tolist() == [START_NS - 500_000_000, START_NS - 500_000_000, START_NS]
