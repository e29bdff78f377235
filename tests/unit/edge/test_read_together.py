"""Many frames at once say exactly what they say one by one, and a bad one costs no other."""

import struct
from dataclasses import fields
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.pipeline.intake import Intake, SensorCounts
from edge.pipeline.roster import Wearers
from edge.sensors.base import About, Decoded, Sensor
from edge.sensors.imu_pod import SAMPLES
from edge.sensors.registry import SENSORS
from edge.sensors.sideline_binary import HEADER
from firmware_sim.devices.imu_pod import encode_samples
from firmware_sim.devices.position_tag import encode_position
from shared.clock import NS_PER_MS, Stamp
from shared.errors import DecodeError
from shared.ids import SensorId
from shared.quantities import STREAMS
from shared.readings import Frame, Readings
from shared.roster import Assignment, Roster
from tests.factories import START_NS, roster_athlete

TOGETHER = [sensor for sensor in SENSORS if sensor.reads_many]
WHO = tuple(SensorId(f"s-{n}") for n in range(3))
STRANGER = SensorId("stranger")
SEEDS = st.integers(0, 2**32)


def position(rng: Random) -> bytes:
    """Return a tag's body."""
    body = encode_position(
        boot=rng.choice(("0badcafe", "deadbeef")),
        n=rng.randint(0, 30),
        t_ns=START_NS + rng.randint(-10, 10) * NS_PER_MS,
        x_mm=rng.randint(-300_000, 500_000),
        y_mm=rng.choice((rng.randint(0, 60_000), 2**31 - 1)),
        quality=rng.randint(0, 100),
    )
    if rng.random() < 0.3:
        body = body[:-1] + b',"battery":%d}' % rng.randint(0, 100)
    return body + rng.choice((b"", b"", b" ", b"\n"))


def motion(rng: Random, width: int | None = None) -> bytes:
    """Return a pod's body, with or without turn rates and missing values."""
    width = width or rng.choice((3, 6, 6, 6))
    samples = [
        [rng.choice((rng.randint(-(2**15), 2**15 - 1), 0, -(2**15))) for _ in range(width)]
        for _ in range(rng.randint(1, 4))
    ]
    first = rng.randint(0, 30) * 4
    return encode_samples(boot=rng.randint(1, 2), first=first, last_us=first * 10_000, rate_hz=100, samples=samples)


def binary(rng: Random) -> bytes:
    """Return a body of our binary."""
    code, stream = rng.choice(((1, "heart_rate"), (2, "rr"), (3, "position"), (4, "battery"), (11, "imu")))
    columns, rows, narrow = len(STREAMS[stream].quantities), rng.randint(1, 3), rng.random() < 0.5
    low, letter = (-(2**15), "h") if narrow else (-(2**31), "i")
    values = [rng.choice((rng.randint(low, -low - 1), rng.randint(0, 2000), low)) for _ in range(rows * columns)]
    flags, sequence = narrow | rng.choice((0, 0, 2, 4)), rng.randint(0, 30) * 3
    time_ns = START_NS + rng.randint(-10, 10) * NS_PER_MS
    head = HEADER.pack(1, code, flags, 0, rng.randint(0, 1), sequence, time_ns, 10**7, rows, columns)
    return head + struct.pack(f"<{len(values)}{letter}", *values)


GOOD = {"position_tag": position, "imu_pod": motion, "sideline_binary": binary}


def damaged(rng: Random, name: str) -> list[bytes]:
    """Return bodies that are no frames, most of them, but might be as one text with their neighbours."""
    body, other = GOOD[name](rng), GOOD[name](rng)
    cut = rng.randint(0, len(body))
    return rng.choice(
        (
            [body[:cut]],
            [body[:cut], body[cut:]],
            [body[:cut], body[cut + 1 :]],
            [body + b"," + other],
            [body + b"," + other, b""],
            [body + b"," + other, *body.split(b",", 1)],
            [body + other],
            [b"," + body],
            [body[:cut] + b"\xff" + body[cut + 1 :]],
            [b"[" + body + b"]"],
            [body.replace(b'"n"', b'"{"')],
            [b"{}", b"null", b'""'],
        )
    )


def batch(rng: Random, name: str) -> list[bytes]:
    """Return bodies of which some may be malformed."""
    bodies = [[GOOD[name](rng)] for _ in range(rng.randint(1, 12))]
    for _ in range(rng.choice((0, 0, 1, 3))):
        bodies.insert(rng.randint(0, len(bodies)), damaged(rng, name))
    return [body for group in bodies for body in group]


def plain(parts: tuple[Decoded | About, ...]) -> list[dict[str, Any]]:
    """Return what was said with rows as bytes, so that NaN equals NaN and 0 is not -0."""
    said = []
    for part in parts:
        assert isinstance(part, Decoded)
        whole = {name: getattr(part, name) for name in part.__struct_fields__}
        said.append(whole | {"rows": np.array(part.rows, np.float64).tobytes()})
    return said


def one_by_one(sensor: Sensor, bodies: list[bytes]) -> list[list[dict[str, Any]]] | None:
    """Return what bodies say, None where one is refused."""
    try:
        return [plain(sensor.decode(sensor.channels[0], body, None)) for body in bodies]
    except DecodeError:
        return None


def test_sensors_when_they_read_many_then_each_is_tested() -> None:
    """Rule: no second way of reading without a test that it is the first."""
    assert {sensor.name for sensor in TOGETHER} == GOOD.keys()
    assert all(sensor.start() is None and not sensor.names_devices for sensor in TOGETHER)


@pytest.mark.parametrize("sensor", TOGETHER, ids=lambda sensor: sensor.name)
@given(SEEDS)
@settings(max_examples=400, deadline=None)
def test_frames_when_read_together_then_they_say_what_each_says(sensor: Sensor, seed: int) -> None:
    """Rule: `decode_many` is `decode` of each, or None; never the wrong frame's words, whatever the bytes."""
    bodies = batch(Random(seed), sensor.name)
    together = sensor.decode_many(sensor.channels[0], bodies)
    if together is not None:
        assert [plain(parts) for parts in together] == one_by_one(sensor, bodies)


@pytest.mark.parametrize("sensor", TOGETHER, ids=lambda sensor: sensor.name)
def test_frames_when_all_are_alike_then_they_are_read_together(sensor: Sensor) -> None:
    """Rule: what tags and pods send every day does take the fast way."""
    rng = Random(1)
    bodies = [motion(rng, 6) if sensor.name == "imu_pod" else GOOD[sensor.name](rng) for _ in range(50)]
    assert sensor.decode_many(sensor.channels[0], bodies) is not None


def by_identity(blocks: list[Readings]) -> dict[tuple[str, ...], tuple[bytes, ...]]:
    """Return each sensor's columns in order, however they were cut into blocks."""
    parts: dict[tuple[str, ...], list[Readings]] = {}
    for block in blocks:
        parts.setdefault((block.sensor, block.stream, block.origin, str(block.athlete)), []).append(block)
    return {
        who: tuple(
            np.concatenate(columns).tobytes()
            for columns in zip(
                *(
                    (b.sequence, b.time_ns, b.values, b.quality, b.clocks.device_ns, b.clocks.mono_ns)
                    for b in blocks
                    if b.clocks is not None
                ),
                strict=True,
            )
        )
        for who, blocks in parts.items()
    }


def counted(counts: dict[SensorId, SensorCounts]) -> dict[str, str]:
    """Return the counts of each sensor, its clock by what it has found out."""
    return {
        sensor: repr([getattr(one, field.name) for field in fields(one) if field.name != "time"] + [one.time.resets])
        for sensor, one in counts.items()
    }


def wearers() -> Wearers:
    """Return a roster on which the first sensor changes hands in the middle of what is sent."""
    given_to = [Assignment(sensor=who, athlete="a01") for who in WHO]
    taken = Assignment(sensor=WHO[0], athlete="a02", from_ns=START_NS)
    return Wearers(Roster(athletes=[roster_athlete("a01"), roster_athlete("a02")], assignments=[*given_to, taken]))


def arrivals(rng: Random) -> list[Frame]:
    """Return frames of all kinds from several sensors, known and not, in order of arrival."""
    bodies: list[tuple[str, bytes]] = []
    for _ in range(rng.randint(1, 5)):
        name = rng.choice((*GOOD, "others"))
        channel = next((sensor.channels[0] for sensor in TOGETHER if sensor.name == name), None)
        others = (("2a37", b"\x16\x78\x00\x04\x10\x04"), ("2a19", b"\x55"), ("nonsense", b"?"))
        bodies += others if channel is None else [(channel, body) for body in batch(rng, name)]
    if rng.random() < 0.5:
        rng.shuffle(bodies)
    return [
        Frame(
            sensor=rng.choice((*WHO, *WHO, STRANGER)),
            channel=channel,
            body=body,
            received=Stamp(utc_ns=START_NS + at * NS_PER_MS, mono_ns=at * NS_PER_MS, boot_id="b"),
        )
        for at, (channel, body) in enumerate(bodies)
    ]


@given(SEEDS)
@settings(max_examples=400, deadline=None)
def test_intake_when_frames_come_at_once_then_readings_counts_and_order_are_as_one_by_one(seed: int) -> None:
    """Rule: how frames are gathered changes no reading, no count, no rejection and no order."""
    frames = arrivals(Random(seed))
    together, apart = Intake(wearers(), "g"), Intake(wearers(), "g")
    blocks, rejected = together.take(frames)
    single = [apart.take([frame]) for frame in frames]
    assert by_identity(blocks) == by_identity([block for some, _ in single for block in some])
    assert rejected == [one for _, some in single for one in some]
    assert counted(together.counts) == counted(apart.counts)
    now_ns = len(frames) * NS_PER_MS
    assert [together.losses.percent(s, now_ns) for s in WHO] == [apart.losses.percent(s, now_ns) for s in WHO]


def test_intake_when_one_frame_of_many_is_malformed_then_only_it_is_set_aside() -> None:
    """Rule: the fast way is left for that batch, and nothing else is."""
    frames = [
        Frame(sensor=WHO[1], channel=SAMPLES, body=body, received=Stamp(utc_ns=START_NS, mono_ns=0, boot_id="b"))
        for body in (
            encode_samples(boot=1, first=0, last_us=0, rate_hz=100, samples=[(1, 2, 3)]),
            b"\x01",
            encode_samples(boot=1, first=1, last_us=10_000, rate_hz=100, samples=[(4, 5, 6)]),
        )
    ]
    (block,), (bad,) = Intake(wearers(), "g").take(frames)
    assert block.sequence.tolist() == [0, 1]
    assert bad.frame is frames[1]
