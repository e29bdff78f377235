import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloud.pipeline.sessions import Session, assign, intervals, session_id, session_of

GAP = 600
TIMES = st.lists(st.integers(0, 20_000), min_size=1, max_size=40)


def test_intervals_when_a_pause_is_longer_than_the_gap_then_two() -> None:
    """Exactly the gap still joins."""
    assert intervals(np.array([1300, 0, 600, 1201]), GAP) == [(0, 600), (1201, 1300)]
    assert intervals(np.array([], np.int64), GAP) == []


def test_assign_when_late_readings_touch_a_known_session_then_its_id_stays() -> None:
    """An id that stands in the tables does not change, even when readings before it come late."""
    known = [Session(session="old", start_ns=1000, end_ns=2000)]
    assert assign("gw", known, [(500, 600), (2500, 2600)], GAP) == [Session(session="old", start_ns=500, end_ns=2600)]


def test_assign_when_readings_bridge_two_known_sessions_then_both_stay() -> None:
    """Rows already written keep their session; what lies between joins the earlier."""
    known = [Session(session="a", start_ns=0, end_ns=100), Session(session="b", start_ns=1200, end_ns=1300)]
    after = assign("gw", known, [(600, 700)], GAP)
    assert [one.session for one in after] == ["a", "b"]
    assert session_of(after, np.array([50, 650, 1250])) == ["a", "a", "b"]


def test_session_id_when_made_then_gateway_and_start_in_utc() -> None:
    """The id says where and when, and is the same in every run."""
    assert session_id("gw-1", 1_790_000_000_000_000_000) == "gw-1-20260921T141320Z"


@given(times=TIMES, cut=st.integers(0, 40))
def test_assign_when_extents_come_split_into_files_then_same_sessions_as_whole(times: list[int], cut: int) -> None:
    """How readings are cut into files does not show in the sessions."""
    array = np.array(times)
    parts = [part for part in np.split(array, [min(cut, len(array))]) if len(part)]
    split = [extent for part in parts for extent in intervals(part, GAP)]
    whole = assign("gw", [], intervals(array, GAP), GAP)
    assert assign("gw", [], split, GAP) == whole
    for time in times:
        (name,) = session_of(whole, np.array([time]))
        assert next(one for one in whole if one.session == name).start_ns <= time


@given(times=TIMES)
def test_assign_when_repeated_then_nothing_changes(times: list[int]) -> None:
    """The same readings once more leave the sessions as they are."""
    extents = intervals(np.array(times), GAP)
    once = assign("gw", [], extents, GAP)
    assert assign("gw", once, extents, GAP) == once
