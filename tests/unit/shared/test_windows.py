"""Event-time windows: what they hold depends on the readings, not on how and when they came."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.clock import NS_PER_S
from shared.ids import AthleteId, SensorId
from shared.quantities import STREAMS
from shared.readings import Readings, select
from shared.windows import PATIENCE_NS, Window, Windower, merge
from tests.factories import START_NS, heart_rates, positions, readings

COUNT = 60


def recording() -> Readings:
    """Return six seconds of positions."""
    steps = np.arange(COUNT)
    return positions(np.column_stack((steps * 0.3, steps * 0.1)))


def told(windows: list[Window]) -> list[tuple[object, ...]]:
    """Return what windows say, to compare."""
    return [
        (
            w.athlete,
            w.start_ns,
            w.end_ns,
            stream,
            block.sequence.tolist(),
            block.time_ns.tolist(),
            block.values.tolist(),
        )
        for w in sorted(windows, key=lambda w: (w.start_ns, w.athlete))
        for stream, block in sorted(w.streams.items())
    ]


def whole() -> list[tuple[object, ...]]:
    """Return the windows of the recording in one piece."""
    windower = Windower()
    return told([*windower.push(recording()), *windower.flush()])


@given(st.lists(st.integers(1, COUNT - 1), max_size=12, unique=True))
def test_windows_when_readings_come_in_pieces_then_they_are_the_same(cuts: list[int]) -> None:
    """Rule: chunked = whole."""
    windower = Windower()
    windows: list[Window] = []
    for piece in np.split(np.arange(COUNT), sorted(cuts)):
        windows += windower.push(select(recording(), piece))
    assert told([*windows, *windower.flush()]) == whole()
    assert windower.late == 0


@given(st.randoms(use_true_random=False))
def test_windows_when_readings_are_late_within_the_bound_then_they_are_the_same(rng: object) -> None:
    """Rule: late by no more than the lateness = in order, nothing counted as late."""
    delays = np.array([rng.uniform(0, 0.95) for _ in range(COUNT)])  # type: ignore[attr-defined]  # random.Random
    windower = Windower()
    windows: list[Window] = []
    for i in np.argsort(np.arange(COUNT) * 0.1 + delays, kind="stable"):
        windows += windower.push(select(recording(), np.array([i])))
    assert told([*windows, *windower.flush()]) == whole()
    assert windower.late == 0


@given(st.lists(st.integers(0, COUNT - 1), max_size=30))
def test_windows_when_readings_come_twice_then_each_is_there_once(again: list[int]) -> None:
    """Rule: duplicates within the lateness = once."""
    windower = Windower(lateness_ns=10 * NS_PER_S)
    windows = windower.push(recording())
    for i in again:
        windows += windower.push(select(recording(), np.array([i])))
    assert told([*windows, *windower.flush()]) == whole()


def test_windows_when_a_reading_is_later_than_the_bound_then_it_is_counted_and_left_out() -> None:
    """Rule: totals that were shown are never rewritten silently."""
    block = recording()
    late = np.zeros(COUNT, bool)
    late[3] = True
    windower = Windower()
    windows = windower.push(select(block, ~late))
    windows += windower.push(select(block, late))
    windows += windower.flush()
    assert windower.late == 1
    assert 3 not in windows[0].streams["position"].sequence


def test_windows_when_an_athlete_falls_silent_then_advance_closes_them() -> None:
    """Rule: a window closes when patience is over, also without newer readings."""
    windower = Windower()
    over_ns = START_NS + NS_PER_S + PATIENCE_NS
    assert windower.push(heart_rates([120])) == []
    assert windower.advance(over_ns - 1) == []
    (window,) = windower.advance(over_ns)
    assert (window.start_ns, window.end_ns) == (START_NS, START_NS + NS_PER_S)
    assert windower.advance(over_ns + 9 * NS_PER_S) == []
    assert over_ns + NS_PER_S - START_NS <= windower.delay_ns


def test_windows_when_one_athlete_is_named_then_advance_closes_only_theirs() -> None:
    """Rule: an athlete's windows can be closed in that athlete's turn; one who sent nothing has none."""
    windower = Windower()
    windower.push(positions([[0.0, 0.0]]), replace(positions([[1.0, 0.0]]), athlete=AthleteId("a02")))
    later_ns = START_NS + 2 * PATIENCE_NS
    assert windower.advance(later_ns, AthleteId("a03")) == []
    assert [window.athlete for window in windower.advance(later_ns, AthleteId("a02"))] == ["a02"]
    assert [window.athlete for window in windower.advance(later_ns)] == [positions([[0.0, 0.0]]).athlete]


@pytest.mark.parametrize("slow_s", [1.5, 5.0, 14.0])
def test_windows_when_a_tag_is_slow_then_its_readings_are_waited_for(slow_s: float) -> None:
    """Rule: a stream that is alive is never cut off by a faster one, nor by the passing of time."""
    windower, block = Windower(), recording()
    windows: list[Window] = []
    for i in range(COUNT):
        now_ns = int(block.time_ns[i] + slow_s * NS_PER_S)
        beat, tag = heart_rates([120], first=i, times_ns=[now_ns]), select(block, np.array([i]))
        for came in [tag, beat] if i == 0 else [beat, tag]:  # a stream of which nothing is known is not waited for
            windows += windower.push(came)
        windows += windower.advance(now_ns)
    windows += windower.flush()
    assert windower.late == 0
    assert sum(len(window.streams.get("position", ())) for window in windows) == COUNT


def test_windows_when_a_stream_is_gone_then_the_others_are_held_up_no_longer_than_patience() -> None:
    """Rule: a stream that lags by more than patience is not waited for."""
    windower = Windower()
    windower.push(recording())
    gone_ns = int(recording().time_ns[-1])
    beats = heart_rates(np.full(40, 120.0))
    ends = [
        window.end_ns - int(beats.time_ns[i])
        for i in range(40)
        for window in windower.push(select(beats, np.array([i])))
        if window.end_ns > gone_ns
    ]
    assert len(ends) > 10
    assert min(ends) >= -(PATIENCE_NS + 2 * NS_PER_S)
    assert ends[-1] == -NS_PER_S


def test_windows_when_battery_is_rare_then_it_holds_nothing_up() -> None:
    """Rule: only streams with a reading per window are waited for."""
    windower = Windower()
    windower.push(readings("battery", [[80]], times_ns=[START_NS]))
    assert len(windower.push(recording())) == 4


def test_windows_when_athletes_run_at_different_times_then_one_does_not_close_the_others() -> None:
    """Rule: each athlete has a watermark of his own."""
    windower = Windower()
    windower.push(heart_rates([120]))
    ahead = heart_rates([99], athlete=AthleteId("a02"), times_ns=[START_NS + 60 * NS_PER_S])
    assert windower.push(ahead) == []
    assert len(windower.push(heart_rates([121], first=1, times_ns=[START_NS + 2 * NS_PER_S]))) == 1


def test_windows_when_a_block_is_of_nobody_then_it_is_passed_over() -> None:
    """Rule: windows belong to athletes."""
    windower = Windower()
    assert windower.push(heart_rates([60, 61], athlete=None)) == []
    assert windower.flush() == []


def test_merge_when_two_sensors_count_alike_then_both_readings_stay() -> None:
    """Rule: identity is (sensor, origin, sequence), not the sequence alone."""
    first, second = heart_rates([60, 61]), heart_rates([70, 71], sensor=SensorId("other"))
    restarted = heart_rates([80], origin="boot-1")
    merged = merge([first, second, restarted, first])
    assert sorted(merged.values[:, 0]) == [60, 61, 70, 71, 80]
    assert (np.diff(merged.time_ns) >= 0).all()


def test_windows_when_streams_are_pushed_together_then_none_makes_the_others_late() -> None:
    """Rule: blocks that came together are all filed before a window closes."""
    windower = Windower()
    windows = windower.push(heart_rates(np.full(60, 120.0)), recording())
    windows += windower.flush()
    assert windower.late == 0
    assert sum(len(window.streams.get("position", ())) for window in windows) == COUNT


def test_stream_when_two_sensors_send_it_then_one_is_heard_until_it_falls_silent() -> None:
    """Rule: two tags on one athlete never make a zigzag; the second is heard five seconds after the first."""
    first = positions(np.column_stack((np.arange(100), np.zeros(100))), sensor=SensorId("tag-01"))
    second = positions(np.column_stack((np.arange(300), np.ones(300))), sensor=SensorId("tag-02"))
    heard = {}
    for size_s in (1, 7, 60):
        windower = Windower(size_ns=size_s * NS_PER_S)
        closed = [*windower.push(first, second), *windower.flush()]
        blocks = [window.streams["position"] for window in closed if "position" in window.streams]
        heard[size_s] = np.concatenate([block.values[:, 1] for block in blocks]).tolist()
        assert windower.late == 0
    assert heard[1] == heard[7] == heard[60]
    assert heard[60] == [0.0] * 100 + [1.0] * (300 - 150)


class Watchful(Windower):
    """Looks at every stream after every block."""

    def push(self, *blocks: Readings) -> list[Window]:
        """Return the windows that these blocks close, found the long way."""
        windows: list[Window] = []
        for block in blocks:
            for open_ in self._open.values():
                open_.slowest = None
            windows += super().push(block)
        return windows


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_windows_when_most_blocks_close_none_then_not_looking_changes_nothing(seed: int) -> None:
    """Rule: a block of a stream that nobody waits for is not looked at, and every window still closes when it did."""
    rng = np.random.default_rng(seed)
    quick, watchful = Windower(), Watchful()
    streams = rng.choice(["position", "heart_rate", "battery", "rr"], int(rng.integers(1, 4)), replace=False).tolist()
    now_ns = {stream: START_NS + int(rng.integers(-2, 2)) * NS_PER_S for stream in streams}
    for number in range(120):
        stream = streams[int(rng.integers(len(streams)))]
        now_ns[stream] += int(rng.choice([40, 300, 1000, 1000, 4000, 20_000], p=[0.5, 0.2, 0.1, 0.1, 0.09, 0.01]) * 1e6)
        values = [[1.0] * len(STREAMS[stream].quantities)]
        block = readings(stream, values, times_ns=[now_ns[stream]], sensor=SensorId(stream), first=number)
        assert told(quick.push(block)) == told(watchful.push(block))
    assert told(quick.flush()) == told(watchful.flush())
    assert quick.late == watchful.late
