"""Every Bluetooth sensor through the gateway's intake: what is decoded becomes readings with times and counts."""

import numpy as np
import pytest

from edge.pipeline.intake import Intake
from edge.pipeline.roster import Wearers
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
