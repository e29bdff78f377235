"""From frames to readings: decoding, identity, wearers, duplicates, counts."""

import struct

import numpy as np
import pytest

from edge.pipeline.columns import Batch
from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from shared.clock import NS_PER_S, ManualClock
from shared.ids import SensorId
from shared.readings import Quality, Readings
from shared.roster import Assignment, Roster
from shared.windows import merge
from tests.factories import ATHLETE, START_NS, STRAP, TAG, frame, position_frame, roster, roster_athlete


@pytest.fixture
def intake() -> Intake:
    return Intake(Wearers(roster()), "boot-7")


def test_intake_when_a_strap_sends_then_the_gateway_counts_its_readings(intake: Intake) -> None:
    """Rule: a device that does not count is counted here, within this run of the gateway, without holes."""
    (first,), _ = intake.take([frame(b"\x00\x78"), frame(b"\x00\x79")])
    (second,), _ = intake.take([frame(b"\x00\x7a")])
    assert (first.origin, first.athlete, first.stream) == ("boot-7", ATHLETE, "heart_rate")
    assert [*first.sequence, *second.sequence] == [0, 1, 2]
    assert [*first.values[:, 0], *second.values[:, 0]] == [120, 121, 122]


def test_intake_when_intervals_come_then_beats_are_counted_back_from_arrival(intake: Intake) -> None:
    """Rule: the last RR interval of a frame ends at arrival; intervals have their own numbers."""
    clock = ManualClock(utc_ns=START_NS)
    body = b"\x10\x3c\x00\x04\x00\x02"  # 60 bpm; 1024/1024 s, then 512/1024 s
    blocks, _ = intake.take([frame(body, clock=clock)])
    rr = next(block for block in blocks if block.stream == "rr")
    assert rr.values[:, 0].tolist() == [1000.0, 500.0]
    assert rr.time_ns.tolist() == [START_NS - NS_PER_S // 2, START_NS]
    assert rr.sequence.tolist() == [0, 1]


def test_intake_when_a_tag_sends_then_its_own_time_and_count_are_kept(intake: Intake) -> None:
    """Rule: a device that counts is believed."""
    clock = ManualClock(utc_ns=START_NS)
    (block,), _ = intake.take([position_frame(41, t_ns=START_NS - NS_PER_S, clock=clock)])
    assert (block.origin, block.sequence.tolist(), block.athlete) == ("0badcafe", [41], ATHLETE)
    assert block.time_ns.tolist() == [START_NS - NS_PER_S]
    assert block.values.tolist() == [[1.041, 2.0, 0.9]]


def test_intake_when_a_tags_clock_is_not_set_then_arrival_counts_and_is_flagged(intake: Intake) -> None:
    """Rule: CLOCK_CORRECTED, not lost."""
    (block,), _ = intake.take([position_frame(0, t_ns=5, clock=ManualClock(utc_ns=START_NS))])
    assert (block.time_ns[0], block.quality[0]) == (START_NS, Quality.CLOCK_CORRECTED)


def test_intake_when_a_broker_delivers_again_then_the_reading_is_there_once(intake: Intake) -> None:
    """Rule: (sensor, stream, origin, sequence) is taken once, within a batch and between batches, and counted."""
    first, _ = intake.take([position_frame(1), position_frame(2), position_frame(1)])
    again, rejected = intake.take([position_frame(2), position_frame(3)])
    assert [*first[0].sequence, *again[0].sequence] == [1, 2, 3]
    assert rejected == []
    assert intake.counts[TAG].duplicates == 2


def test_intake_when_it_restarts_then_what_is_stored_is_known(intake: Intake) -> None:
    """Rule: a redelivery after a crash is no new reading."""
    stored, _ = intake.take([position_frame(n) for n in range(5)])
    restarted = Intake(Wearers(roster()), "boot-8")
    restarted.remember(stored)
    blocks, _ = restarted.take([position_frame(n) for n in range(3, 7)])
    assert blocks[0].sequence.tolist() == [5, 6]


def test_intake_when_a_duplicate_carries_the_battery_too_then_it_is_one_duplicate(intake: Intake) -> None:
    """Rule: duplicates are counted in frames, as the sender counts them."""
    intake.take([position_frame(0, battery=80)])
    blocks, _ = intake.take([position_frame(0, battery=80)])
    assert blocks == []
    assert intake.counts[TAG].duplicates == 1


@pytest.mark.parametrize(
    ("body", "sensor", "channel", "reason"),
    [
        (b"\x00\x78", "C0:00:00:00:00:99", "2a37", "unknown device"),
        (b"\x00\x78", STRAP, "ffff", "unknown channel"),
        (b"\x01\x78", STRAP, "2a37", "frame is not as long as its flags say"),
        (b"{}", TAG, "position", "not a position in our JSON profile"),
    ],
)
def test_intake_when_a_frame_is_bad_then_it_is_set_aside_with_the_reason(
    intake: Intake, body: bytes, sensor: str, channel: str, reason: str
) -> None:
    """Rule: one bad frame is kept with why, and loses nothing else."""
    blocks, rejected = intake.take(
        [frame(b"\x00\x78"), frame(body, sensor=sensor, channel=channel), frame(b"\x00\x79")]
    )
    assert [(r.reason, r.frame.body) for r in rejected] == [(reason, body)]
    assert blocks[0].values[:, 0].tolist() == [120, 121]


def test_intake_when_frames_are_malformed_then_they_are_counted_per_sensor(intake: Intake) -> None:
    """Rule: the health page says which sensor misbehaves."""
    intake.take([frame(b""), frame(b"\x00\x78"), frame(b"\x00\xff"), position_frame(1)])
    counts = intake.counts[STRAP]
    assert (counts.frames, counts.malformed, counts.implausible, counts.kind) == (3, 1, 1, "heart_strap")
    assert intake.counts[TAG].malformed == 0


def test_intake_when_a_battery_reports_then_charge_is_known_and_the_kind_stays_the_sensors(intake: Intake) -> None:
    """Rule: the battery characteristic does not say what a device is."""
    intake.take([frame(b"\x55", channel="2a19")])
    assert (intake.counts[STRAP].kind, intake.counts[STRAP].battery_percent) == ("battery", 85.0)
    intake.take([frame(b"\x00\x78"), frame(b"\x54", channel="2a19")])
    assert (intake.counts[STRAP].kind, intake.counts[STRAP].battery_percent) == ("heart_strap", 84.0)


def test_intake_when_a_strap_is_off_the_skin_then_its_readings_say_so(intake: Intake) -> None:
    """Rule: NO_CONTACT is flagged, not dropped."""
    (block,), _ = intake.take([frame(b"\x04\x50")])
    assert block.quality[0] & Quality.NO_CONTACT
    assert block.values[0, :2].tolist() == [80, 0]
    assert np.isnan(block.values[0, 2])


def test_wearers_when_a_sensor_changes_hands_then_each_reading_is_its_wearers() -> None:
    """Rule: an assignment holds from its time until the sensor's next one; before the first nobody wears it."""
    given = Roster(
        athletes=[roster_athlete("a01"), roster_athlete("a02")],
        assignments=[
            Assignment(sensor="t1", athlete="a02", from_ns=200),
            Assignment(sensor="t1", athlete="a01", from_ns=100),
        ],
    )
    wearers = Wearers(given)
    assert [wearers.wearer(SensorId("t1"), t) for t in (99, 100, 199, 200)] == [None, "a01", "a01", "a02"]
    assert wearers.is_known(SensorId("t1"))
    assert not wearers.is_known(SensorId("t2"))


def test_beats_when_the_radio_held_frames_up_then_they_stay_in_order() -> None:
    """Rule: three frames that come within milliseconds are beats one after another, whatever their intervals say."""
    intake, clock = Intake(Wearers(roster()), "boot-1"), ManualClock(utc_ns=START_NS)
    frames = []
    for first in (0, 2, 4):
        clock.advance(0.005)
        pair = struct.pack("<2H", 800 + first, 801 + first)
        frames.append(frame(b"\x10\x4b" + pair, clock=clock))
    blocks, _ = intake.take(frames)
    rr = merge([block for block in blocks if block.stream == "rr"])
    assert (rr.values[:, 0] * 1.024).round().tolist() == [800, 801, 802, 803, 804, 805]
    assert np.diff(rr.time_ns).min() > 0
    assert rr.time_ns[-1] == clock.utc_ns()


class BreakingIntake(Intake):
    """Fails once it has looked at all frames, as a decoder with a fault would."""

    breaks = True

    def _blocks(self, batch: Batch) -> list[Readings]:
        if self.breaks:
            raise ZeroDivisionError
        return super()._blocks(batch)


def test_intake_when_a_decoder_breaks_then_the_batch_counts_as_new_when_it_comes_again() -> None:
    """Rule: what was not taken is not known: a redelivery is stored, and only then acknowledged."""
    intake = BreakingIntake(Wearers(roster()), "boot")
    frames = [position_frame(n) for n in range(3)]
    with pytest.raises(ZeroDivisionError):
        intake.take(frames)
    intake.breaks = False
    blocks, _ = intake.take(frames)
    assert sum(map(len, blocks)) == 3
    assert intake.take(frames) == ([], [])
