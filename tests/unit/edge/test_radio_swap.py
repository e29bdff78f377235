"""A sensor that changes hands while a session runs."""

import asyncio
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.messages import AssignedPatch
from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers, keep_roster
from edge.ui.hub import Hub
from shared.clock import NS_PER_S, ManualClock
from shared.errors import StoreError
from shared.ids import BALL, AthleteId, SensorId
from shared.roster import Assignment, Roster, read_roster
from tests.factories import START_NS, frame, heart_rates, position_frame, roster, roster_athlete
from tests.fakes.tablet import TabletConnection
from tests.tools import until

STRAP, TAG = SensorId("C0:00:00:00:00:01"), SensorId("tag-01")
FIRST, SECOND = AthleteId("a01"), AthleteId("a02")


@pytest.fixture
def wearers() -> Wearers:
    return Wearers(roster(2))


def test_swap_when_a_strap_is_handed_over_then_each_reading_stays_its_wearers(
    wearers: Wearers, clock: ManualClock
) -> None:
    """Rule: what was received before the change is the former wearer's, what comes after it the new one's."""
    intake = Intake(wearers, "boot")
    before = frame(b"\x00\x50", clock=clock)
    clock.advance(1.0)
    assert wearers.assign(STRAP, SECOND, clock.utc_ns()) == STRAP
    (block,), _ = intake.take([before])  # still on its way when the coach tapped
    assert block.athlete == FIRST
    (block,), _ = intake.take([frame(b"\x00\x51", clock=clock)])
    assert block.athlete == SECOND


def test_swap_when_late_and_new_readings_come_together_then_they_are_told_apart(
    wearers: Wearers, clock: ManualClock
) -> None:
    """Rule: a tag's messages that waited at the broker belong to who wore it when they were measured."""
    intake, began_ns = Intake(wearers, "boot"), clock.utc_ns()
    clock.advance(10.0)
    wearers.assign(TAG, SECOND, began_ns + 5 * NS_PER_S)
    late = [position_frame(n, t_ns=began_ns + n * NS_PER_S, clock=clock) for n in (2, 3, 4, 6, 9)]
    blocks, rejected = intake.take(late)
    assert not rejected
    measured = {n: block.athlete for block in blocks for n in block.sequence.tolist()}
    assert measured == {2: FIRST, 3: FIRST, 4: FIRST, 6: SECOND, 9: SECOND}


def test_wearers_when_a_block_spans_two_changes_then_it_comes_in_three_parts_and_loses_nothing(
    wearers: Wearers,
) -> None:
    """Rule: parts keep rows, clocks and order."""
    wearers.assign(STRAP, None, START_NS + 3 * NS_PER_S)
    wearers.assign(STRAP, SECOND, START_NS + 6 * NS_PER_S)
    block = heart_rates(np.arange(60.0, 70.0))
    parts = wearers.worn(block)
    assert [(part.athlete, part.values[:, 0].tolist()) for part in parts] == [
        (FIRST, [60.0, 61.0, 62.0]),
        (None, [63.0, 64.0, 65.0]),
        (SECOND, [66.0, 67.0, 68.0, 69.0]),
    ]


def test_wearers_when_a_sensor_is_taken_over_or_off_then_the_roster_says_so(wearers: Wearers) -> None:
    """Rule: a sensor has one wearer at a time; taken off it is known but not worn; addresses are written either way."""
    assert wearers.assign(SensorId(STRAP.lower()), SECOND, START_NS) == STRAP
    assert (wearers.wearer(STRAP, START_NS - 1), wearers.wearer(STRAP, START_NS)) == (FIRST, SECOND)
    wearers.assign(STRAP, None, START_NS + 1)
    assert wearers.wearer(STRAP, START_NS + 1) is None
    assert (wearers.is_known(STRAP), wearers.is_worn(STRAP, START_NS + 1)) == (True, False)
    spare = SensorId("C0:00:00:00:00:77")
    assert not wearers.is_worn(spare, START_NS + 2)
    assert wearers.assign(spare, BALL, START_NS + 2) == spare
    assert wearers.is_worn(spare, START_NS + 2)
    assert wearers.has_athlete(BALL)
    assert not wearers.has_athlete(AthleteId("a77"))


def test_wearers_when_somebody_is_going_to_wear_a_sensor_then_it_is_worn_now_and_then() -> None:
    """Rule: a plan for tomorrow lets nobody's strap go today, and one for today is heard from the start."""
    plan = roster()
    today = Assignment(sensor=STRAP, athlete="a01")
    off = Assignment(sensor=STRAP, athlete=None, from_ns=START_NS + NS_PER_S)
    wearers = Wearers(msgspec.structs.replace(plan, assignments=[today, off]))
    assert wearers.is_worn(STRAP, START_NS)
    assert not wearers.is_worn(STRAP, START_NS + NS_PER_S)
    later = msgspec.structs.replace(today, from_ns=START_NS + NS_PER_S)
    assert Wearers(msgspec.structs.replace(plan, assignments=[later])).is_worn(STRAP, START_NS)


def test_wearers_when_the_clock_was_set_back_then_the_newest_change_wins(wearers: Wearers) -> None:
    """Rule: the last tap counts, whatever the clock says."""
    wearers.assign(STRAP, None, START_NS)
    wearers.assign(STRAP, SECOND, START_NS - 3600 * NS_PER_S)
    assert wearers.is_worn(STRAP, START_NS)
    assert wearers.wearer(STRAP, START_NS) == SECOND
    again = Wearers(wearers.roster)
    assert again.wearer(STRAP, START_NS) == SECOND


def test_roster_when_it_is_kept_then_a_restart_knows_every_change(wearers: Wearers, tmp_path: Path) -> None:
    """Rule: written whole, readable by people, with the history of each sensor."""
    wearers.assign(STRAP, SECOND, START_NS)
    wearers.assign(TAG, None, START_NS)
    path = tmp_path / "roster.json"
    keep_roster(wearers.roster, path)
    again = Wearers(read_roster(path))
    assert again.wearer(STRAP, START_NS - 1) == FIRST
    assert again.wearer(STRAP, START_NS) == SECOND
    assert not again.is_worn(TAG, START_NS)
    assert "\n" in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["roster.json"]


def test_roster_when_it_cannot_be_kept_then_the_old_file_stands(wearers: Wearers, tmp_path: Path) -> None:
    """Rule: a failed write is said and leaves what was there."""
    with pytest.raises(StoreError, match=r"roster\.json"):
        keep_roster(wearers.roster, tmp_path / "none" / "roster.json")
    (tmp_path / "roster.json.new").mkdir()
    keep_roster_at = tmp_path / "roster.json"
    keep_roster_at.write_text("as it was")
    with pytest.raises(StoreError):
        keep_roster(wearers.roster, keep_roster_at)
    assert keep_roster_at.read_text() == "as it was"


def test_roster_when_it_takes_a_sensor_off_then_it_is_valid(tmp_path: Path) -> None:
    """Rule: null is a wearer that a file may name."""
    given = Roster(athletes=[roster_athlete()], assignments=[Assignment(sensor="t1", athlete=None, from_ns=5)])
    keep_roster(given, tmp_path / "roster.json")
    assert read_roster(tmp_path / "roster.json") == given


async def test_hub_when_a_sensor_changes_hands_then_every_tablet_hears_the_last_word(clock: ManualClock) -> None:
    """Rule: one message per sensor, with its newest wearer."""
    hub, connection = Hub(clock), TabletConnection()
    serving = asyncio.create_task(hub.serve(connection, AssignedPatch(sent_ns=0, sensor="first", athlete=None)))
    await until(lambda: len(connection.arrived) == 1)
    hub.assigned("s1", "a01")
    hub.assigned("s1", None)
    hub.assigned("s2", "a02")
    await until(lambda: len(connection.arrived) == 3)
    said = [json.loads(text) for text in connection.arrived[1:]]
    assert [(m["type"], m["sensor"], m["athlete"]) for m in said] == [
        ("assigned", "s1", None),
        ("assigned", "s2", "a02"),
    ]
    serving.cancel()
    await asyncio.wait({serving})


def test_swap_when_the_clock_was_a_year_ahead_then_it_holds_after_the_clock_is_set() -> None:
    """Rule: a change is never in the future: a clock that is set back gives nobody's strap to its former wearer."""
    wearers = Wearers(roster(2))
    year_ns = 365 * 86_400 * NS_PER_S
    for setting in ("noticed", "swapped again"):
        wearers.assign(TAG, SECOND, START_NS + year_ns)
        if setting == "noticed":
            assert wearers.clock_set(START_NS)
            assert wearers.wearer(TAG, START_NS) == SECOND
        wearers.assign(TAG, FIRST, START_NS + 1)
        assert wearers.wearer(TAG, START_NS + 1) == FIRST
    assert not wearers.clock_set(START_NS + 1)
    assert max(a.from_ns for a in wearers.roster.assignments) == START_NS + 1
    again = Wearers(wearers.roster)
    assert again.wearer(TAG, START_NS + 1) == FIRST


def test_swap_when_the_roster_plans_a_later_one_then_both_hold_in_turn() -> None:
    """Rule: what is done now counts now; what the file plans counts from its time on."""
    plan = Assignment(sensor=TAG, athlete=None, from_ns=START_NS + 60 * NS_PER_S)
    squad = roster(2)
    wearers = Wearers(Roster(athletes=squad.athletes, assignments=[*squad.assignments, plan]))
    wearers.assign(TAG, SECOND, START_NS)
    assert not wearers.clock_set(START_NS)
    assert wearers.wearer(TAG, START_NS + NS_PER_S) == SECOND
    assert wearers.wearer(TAG, START_NS + 61 * NS_PER_S) is None


def test_wearers_when_nothing_changes_then_the_roster_does_not_grow(wearers: Wearers) -> None:
    """Rule: a tap that says what is so already, or takes a stranger's sensor off, leaves no trace."""
    before = wearers.roster
    stranger = SensorId("C0:00:00:00:00:99")
    wearers.assign(STRAP, FIRST, START_NS)
    wearers.assign(stranger, None, START_NS)
    assert wearers.roster == before
    assert not wearers.is_known(stranger)


def test_swap_when_the_clock_was_in_1970_then_it_holds_after_the_clock_is_set() -> None:
    """Rule: a change made by a clock that was behind is newer than what the roster file says of last year."""
    squad = roster(2)
    old = Assignment(sensor=TAG, athlete=FIRST, from_ns=START_NS - 90 * 86_400 * NS_PER_S)
    wearers = Wearers(Roster(athletes=squad.athletes, assignments=[*squad.assignments, old]))
    wearers.assign(TAG, SECOND, 60 * NS_PER_S)
    assert wearers.wearer(TAG, 61 * NS_PER_S) == SECOND
    assert wearers.clock_set(START_NS, START_NS - 90 * NS_PER_S)
    assert wearers.wearer(TAG, START_NS - 31 * NS_PER_S) == FIRST
    assert wearers.wearer(TAG, START_NS - 29 * NS_PER_S) == SECOND
