"""Every Bluetooth sensor through the gateway's intake: what is decoded becomes readings with times and counts."""

import struct

import numpy as np
import pytest

from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
from edge.sensors import polar
from edge.sensors.base import About, Decoded, Sensor
from edge.sensors.registry import SENSORS
from shared.clock import Stamp
from shared.ids import SensorId
from shared.quantities import STREAMS
from shared.readings import Frame
from shared.roster import Assignment, Roster
from tests.conformance.sensor_vectors import body_of, decoded_of, vectors
from tests.fuzz.ble import is_radio

SENSOR = SensorId("C0:00:5E:00:00:01")
RADIO = [sensor for sensor in SENSORS if any(map(is_radio, sensor.channels))]
NOW_NS = 1_790_000_000_000_000_000


def intake() -> Intake:
    """Return an intake that knows the sensor."""
    roster = Roster(athletes=[], assignments=[Assignment(sensor=SENSOR, athlete="ball")])
    return Intake(Wearers(roster), "gateway-1")


def frame(channel: str, body: bytes, number: int) -> Frame:
    """Return a frame that arrived `number` seconds on."""
    ns = number * 10**9
    return Frame(
        sensor=SENSOR, channel=channel, body=body, received=Stamp(utc_ns=NOW_NS + ns, mono_ns=ns, boot_id="boot-a")
    )


@pytest.mark.parametrize("sensor", RADIO, ids=lambda sensor: sensor.name)
def test_intake_when_given_a_sensors_vectors_then_rows_become_readings(sensor: Sensor) -> None:
    """Rule: no row is lost between decoder and readings, and facts reach the health page."""
    for vector in vectors(sensor)["valid"]:
        taken = intake()
        before = [
            frame(b.get("channel", vector["channel"]), body_of(b), i) for i, b in enumerate(vector.get("before", ()))
        ]
        taken.take(before)
        blocks, rejected = taken.take([frame(vector["channel"], body_of(vector), len(before))])
        assert not rejected, vector["what"]
        parts = decoded_of(sensor, vector)
        rows = {part.stream: part for part in parts if isinstance(part, Decoded)}
        assert {block.stream: len(block) for block in blocks} == {name: len(part.rows) for name, part in rows.items()}
        for block in blocks:
            part = rows[block.stream]
            assert block.values.shape == (len(part.rows), len(STREAMS[block.stream].quantities))
            np.testing.assert_array_equal(block.values, np.array(part.rows))
            assert (np.diff(block.time_ns) >= 0).all()
            assert block.time_ns[-1] <= NOW_NS + 60 * 10**9
            if part.sequence is not None:
                assert (block.origin, block.sequence[0]) == (part.origin, part.sequence)
        facts = dict(fact for part in parts if isinstance(part, About) for fact in part.facts)
        assert facts.items() <= taken.counts[SENSOR].about.items()


@pytest.mark.parametrize(("silent_s", "rates"), [(10, [90.0, 90.0]), (120, [90.0])])
def test_cadence_when_a_sensor_was_silent_for_longer_than_its_clock_counts_then_nothing_is_said_of_it(
    silent_s: int, rates: list[float]
) -> None:
    """Rule: 16 bits of 1/1024 s roll over every 64 s; what turned in a longer silence gives no rate."""
    taken, found = intake(), []
    for second in (0, 2, 2 + silent_s):
        turned, ticks = second * 3 // 2, second * 1024 % 2**16
        blocks, _ = taken.take([frame("2a5b", struct.pack("<BHH", 2, turned, ticks), second)])
        found += [block.values[0, 0] for block in blocks]
    assert found == pytest.approx(rates)


def test_beats_when_a_device_sends_them_on_two_channels_then_each_counts_once() -> None:
    """Rule: one channel tells a device's beats until it is silent for 5 s; doubled ones would halve the variability."""
    taken = intake()
    strap, pulses = bytes([0x10, 60, 0, 4]), bytes([3, *bytes(8), 0, 60, *(1000).to_bytes(2, "little"), 0, 0, 6])
    beats = []
    for second in range(20):
        frames = [frame(polar.DATA, pulses, second)]
        frames += [frame("2a37", strap, second)] if second != 0 else []
        blocks, rejected = taken.take(frames if second < 10 else frames[1:])
        assert not rejected
        beats += [int(block.time_ns[0] - NOW_NS) // 10**9 for block in blocks if block.stream == "rr"]
    assert beats == [*range(10), *range(15, 20)]
    assert taken.counts[SENSOR].duplicates == 14
