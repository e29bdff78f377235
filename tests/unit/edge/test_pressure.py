"""What is stored while room is short: nothing is left out uncounted, and hearts never are."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.store.pressure import Level, Thinning, fullness_percent, next_level, thin
from shared.clock import NS_PER_S
from shared.ids import SensorId
from shared.quantities import STREAMS
from shared.readings import Readings
from tests.factories import START_NS, heart_rates, positions, readings

THINNED = ("imu", "ecg", "position", "location")
LEVELS = st.sampled_from(Level)


@st.composite
def blocks(draw: st.DrawFn) -> Readings:
    """Return a block of any stream, with numbers in any order."""
    stream = draw(st.sampled_from(sorted(STREAMS)))
    sequence = draw(st.lists(st.integers(0, 2**40), min_size=1, max_size=12))
    values = np.ones((len(sequence), len(STREAMS[stream].quantities)))
    sensor = SensorId(draw(st.sampled_from(["s1", "s2"])))
    return readings(stream, values, sensor=sensor, sequence=sequence)


def counted(given_blocks: list[Readings]) -> Counter[tuple[SensorId | None, str]]:
    """Return how many readings each sensor's streams have."""
    found: Counter[tuple[SensorId | None, str]] = Counter()
    for block in given_blocks:
        found[block.sensor, block.stream] += len(block)
    return found


@given(st.lists(blocks(), max_size=6), LEVELS)
def test_thin_when_blocks_are_thinned_then_what_is_kept_and_the_gaps_are_all_that_was_given(
    given_blocks: list[Readings], level: Level
) -> None:
    """Rule: kept + gaps = given for each sensor's streams, and a gap spans readings that were given."""
    kept, gaps = thin(given_blocks, level)
    missing: Counter[tuple[SensorId | None, str]] = Counter()
    for gap in gaps:
        missing[gap.sensor, gap.stream] += gap.count
        times = np.concatenate([b.time_ns for b in given_blocks if (b.sensor, b.stream) == (gap.sensor, gap.stream)])
        assert times.min() <= gap.from_ns <= gap.to_ns <= times.max()
        assert gap.stream in THINNED
        assert level > Level.NORMAL
    assert counted(kept) + missing == counted(given_blocks)
    assert all(len(block) for block in kept)


@given(st.lists(blocks(), max_size=6), LEVELS)
def test_thin_when_blocks_are_thinned_then_the_others_stay_whole_and_the_order_stays(
    given_blocks: list[Readings], level: Level
) -> None:
    """Rule: only raw motion, waveforms and positions are thinned; what is kept comes in the order given."""
    kept, _ = thin(given_blocks, level)
    untouched = [block for block in given_blocks if block.stream not in THINNED]
    assert [block for block in kept if block.stream not in THINNED] == untouched
    rest = iter(given_blocks)
    for block in kept:
        whole = next(one for one in rest if (one.sensor, one.stream) == (block.sensor, block.stream)
                     and set(block.sequence.tolist()) <= set(one.sequence.tolist()))  # fmt: skip
        chosen = np.isin(whole.sequence, block.sequence)
        assert block.sequence.tolist() == whole.sequence[chosen].tolist()


@pytest.mark.parametrize(
    ("level", "motion", "places"),
    [
        (Level.NORMAL, list(range(20)), list(range(20))),
        (Level.THIN_IMU, [0, 4, 8, 12, 16], list(range(20))),
        (Level.THIN_POSITIONS, [], [0, 5, 10, 15]),
        (Level.ESSENTIAL, [], []),
    ],
)
def test_thin_when_room_is_short_then_motion_goes_first_and_then_positions(
    level: Level, motion: list[int], places: list[int]
) -> None:
    """Rule: which readings stay is told by their numbers, so a repeated delivery is thinned alike."""
    given_blocks = [readings("imu", np.zeros((20, 6))), positions(np.zeros((20, 2))), heart_rates([60, 61])]
    kept, gaps = thin(given_blocks, level)
    found = {block.stream: block.sequence.tolist() for block in kept}
    assert (found.get("imu", []), found.get("position", [])) == (motion, places)
    assert found["heart_rate"] == [0, 1]
    assert [gap.count for gap in gaps] == [count for count in (20 - len(motion), 20 - len(places)) if count]


@pytest.mark.parametrize(
    ("level", "percent", "then"),
    [
        (Level.NORMAL, 69.9, Level.NORMAL),
        (Level.NORMAL, 70.0, Level.THIN_IMU),
        (Level.NORMAL, 99.0, Level.ESSENTIAL),
        (Level.THIN_IMU, 67.0, Level.THIN_IMU),
        (Level.THIN_IMU, 66.9, Level.NORMAL),
        (Level.THIN_IMU, 85.0, Level.THIN_POSITIONS),
        (Level.THIN_POSITIONS, 82.0, Level.THIN_POSITIONS),
        (Level.THIN_POSITIONS, 81.9, Level.THIN_IMU),
        (Level.ESSENTIAL, 92.0, Level.ESSENTIAL),
        (Level.ESSENTIAL, 91.9, Level.THIN_POSITIONS),
        (Level.ESSENTIAL, 10.0, Level.NORMAL),
    ],
)
def test_level_when_room_changes_then_it_begins_at_its_mark_and_ends_three_percent_below(
    level: Level, percent: float, then: Level
) -> None:
    """Rule: 70, 85 and 95 %, each left 3 % below."""
    assert next_level(level, percent) is then


@given(LEVELS, st.floats(0, 200), st.floats(-1.4, 1.4))
def test_level_when_room_hovers_then_it_settles(level: Level, percent: float, wobble: float) -> None:
    """Rule: room that comes and goes by less than 3 % changes a level once at most, upwards."""
    settled = next_level(level, percent)
    assert next_level(settled, percent) is settled
    moved = next_level(settled, percent + wobble)
    assert next_level(moved, percent) in (moved, settled)
    assert next_level(next_level(moved, percent), percent + wobble) is moved


def test_fullness_when_the_disk_leaves_less_than_the_quota_then_the_disk_counts() -> None:
    """Rule: what the store may still take is the less of both; no room at all is full."""
    assert fullness_percent(store_bytes=1, quota_bytes=10, free_bytes=99) == 10
    assert fullness_percent(store_bytes=1, quota_bytes=10, free_bytes=1) == 50
    assert fullness_percent(store_bytes=4, quota_bytes=10, free_bytes=0) == 100


def test_thinning_when_commits_go_on_then_each_gap_is_handed_out_once() -> None:
    """Rule: one gap a sensor, stream and reason from commit to commit, with all counts."""
    thinning = Thinning()
    assert thinning.look(72) is Level.THIN_IMU
    for second in range(11):
        block = readings("imu", np.zeros((100, 6)), first=100 * second,
                         times_ns=START_NS + second * NS_PER_S + np.arange(100) * 10_000_000)  # fmt: skip
        assert sum(map(len, thinning.take([block, heart_rates([60], first=second)]))) == 26
    (gap,) = thinning.take_gaps()
    assert (gap.count, gap.reason) == (75 * 11, "thinned: store is over 70 % full")
    assert (gap.from_ns, gap.to_ns) == (START_NS + 10_000_000, START_NS + 11 * NS_PER_S - 10_000_000)
    assert thinning.take_gaps() == []


@given(st.lists(st.tuples(st.lists(blocks(), max_size=3), st.floats(0, 110), st.booleans()), max_size=8))
def test_thinning_when_the_level_comes_and_goes_then_every_reading_is_kept_or_counted(
    steps: list[tuple[list[Readings], float, bool]],
) -> None:
    """Rule: kept + gaps = given over any course of levels and commits."""
    thinning = Thinning()
    kept: list[Readings] = []
    gaps = []
    for given_blocks, percent, asks in steps:
        thinning.look(percent)
        kept += thinning.take(given_blocks)
        if asks:
            gaps += thinning.take_gaps()
    gaps += thinning.take_gaps()
    missing = sum(gap.count for gap in gaps)
    assert sum(map(len, kept)) + missing == sum(len(block) for step in steps for block in step[0])
