"""What every sensor in SENSORS must do. A new sensor fails here until tests/vectors/<name>.json exists."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bumble.profiles.heart_rate_service import HeartRateService
from hypothesis import given
from hypothesis import strategies as st

from edge.sensors.base import Decoded, Sensor
from edge.sensors.heart_rate import HeartRateStrap
from edge.sensors.registry import BY_CHANNEL, SCAN_SERVICES, SENSORS
from shared.errors import DecodeError
from shared.quantities import STREAMS
from shared.readings import Quality
from tests.tools import GOLDEN, OPEN_DATA, ROOT, missing

VECTORS = ROOT / "tests" / "vectors"
SEED = 0x2A37
RANDOM_PAYLOADS = 10_000

every_sensor = pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.name)


def vectors(sensor: Sensor) -> dict[str, Any]:
    """Return a sensor's own vectors."""
    path = VECTORS / f"{sensor.name}.json"
    assert path.is_file(), f"a sensor needs its vectors: {path.relative_to(ROOT)}"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def body_of(vector: dict[str, Any]) -> bytes:
    """Return a vector's bytes."""
    return vector["text"].encode("utf-8") if "text" in vector else bytes.fromhex(vector["hex"])


def told(decoded: tuple[Decoded, ...]) -> list[dict[str, Any]]:
    """Return what was decoded in the words of the vectors, NaN as null."""
    return [
        {
            "stream": part.stream,
            "rows": [[None if math.isnan(value) else value for value in row] for row in part.rows],
            "origin": part.origin,
            "sequence": part.sequence,
            "device_ns": part.device_ns,
            "quality": int(part.quality),
        }
        for part in decoded
    ]


def expected(vector: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a vector's result with what it leaves out."""
    defaults = {"origin": None, "sequence": None, "device_ns": None, "quality": 0}
    return [defaults | part for part in vector["decoded"]]


def check_form(sensor: Sensor, decoded: tuple[Decoded, ...]) -> None:
    """Fail unless rows fit their stream and values are numbers."""
    assert decoded, f"{sensor.name} decoded nothing without an error"
    for part in decoded:
        assert part.rows
        assert (part.origin is None) == (part.sequence is None)
        assert 0 <= part.quality < 256
        for row in part.rows:
            assert len(row) == len(STREAMS[part.stream].quantities)
            assert all(isinstance(value, float) and not math.isinf(value) for value in row)


@every_sensor
def test_sensor_when_it_decodes_its_vectors_then_rows_are_as_the_specification_says(sensor: Sensor) -> None:
    """Rule: each vector decodes to exactly its rows, the same every time."""
    given_vectors = vectors(sensor)["valid"]
    assert {vector["channel"] for vector in given_vectors} == set(sensor.channels)
    for vector in given_vectors:
        decoded = sensor.decode(vector["channel"], body_of(vector), sensor.start())
        check_form(sensor, decoded)
        assert told(decoded) == expected(vector), vector["what"]
        assert told(sensor.decode(vector["channel"], body_of(vector), sensor.start())) == told(decoded)


@every_sensor
def test_sensor_when_a_vector_is_malformed_then_it_is_a_decode_error(sensor: Sensor) -> None:
    """Rule: bytes that do not follow the format are refused with a short reason."""
    for vector in vectors(sensor)["malformed"]:
        with pytest.raises(DecodeError) as caught:
            print(vector["what"], sensor.decode(vector["channel"], body_of(vector), sensor.start()))
        assert 0 < len(caught.value.reason) < 60


@every_sensor
def test_sensor_when_a_vector_is_cut_short_then_it_decodes_or_is_a_decode_error(sensor: Sensor) -> None:
    """Rule: no truncation raises anything but DecodeError."""
    refused = 0
    for vector in vectors(sensor)["valid"]:
        body = body_of(vector)
        for end in range(len(body)):
            try:
                check_form(sensor, sensor.decode(vector["channel"], body[:end], sensor.start()))
            except DecodeError:
                refused += 1
    assert refused >= len(vectors(sensor)["valid"])


def payloads(sensor: Sensor) -> Iterator[bytes]:
    """Yield random bytes, half of them valid bodies with random changes."""
    rng = random.Random(SEED)
    valid = [body_of(vector) for vector in vectors(sensor)["valid"]]
    for i in range(RANDOM_PAYLOADS):
        if i % 2:
            yield rng.randbytes(rng.randrange(0, 32))
            continue
        body = bytearray(rng.choice(valid))
        for _ in range(rng.randrange(1, 4)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        yield bytes(body)


@every_sensor
def test_sensor_when_payloads_are_random_then_they_decode_or_are_a_decode_error(sensor: Sensor) -> None:
    """Rule: 10,000 random payloads raise only DecodeError, and what decodes fits its stream."""
    print("seed", SEED)
    refused = 0
    for body in payloads(sensor):
        for channel in sensor.channels:
            try:
                check_form(sensor, sensor.decode(channel, body, sensor.start()))
            except DecodeError:
                refused += 1
    assert 0 < refused < RANDOM_PAYLOADS * len(sensor.channels)


def test_registry_when_read_then_no_channel_has_two_sensors() -> None:
    """Rule: a channel says how to read a frame; a scan looks for the sensors' services."""
    channels = [channel for sensor in SENSORS for channel in sensor.channels]
    assert len(set(channels)) == len(channels) == len(BY_CHANNEL)
    assert len({sensor.name for sensor in SENSORS}) == len(SENSORS)
    assert "180d" in SCAN_SERVICES


def reference(path: Path) -> Any:
    """Return a file of published vectors."""
    if not path.is_file():
        missing(f"published vectors {path.name}")
    return json.loads(path.read_text(encoding="utf-8"))


def channel_of(uuid: str) -> str:
    """Return our word for a characteristic."""
    return uuid.lower().removeprefix("0x")


def test_published_vectors_when_decoded_then_fields_are_those_of_the_source() -> None:
    """Rule: vectors collected from public sources decode to the values that their sources give."""
    checked = 0
    for vector in reference(GOLDEN / "ble_vectors.json")["sig"]:
        sensor = BY_CHANNEL.get(channel_of(vector["uuid"]))
        if sensor is None:
            continue
        checked += 1
        decoded = told(sensor.decode(channel_of(vector["uuid"]), bytes.fromhex(vector["hex"]), sensor.start()))
        want = vector["decoded"]
        if sensor.name == "battery":
            assert decoded[0]["rows"] == [[want["percent"]]]
            continue
        contact = None if want["contact"] is None else float(want["contact"])
        assert decoded[0]["rows"] == [[want["bpm"], contact, want["energy_kj"]]], vector["id"]
        intervals = [row[0] for part in decoded[1:] for row in part["rows"]]
        assert intervals == pytest.approx(want["rr_ms"], abs=5e-4), vector["id"]
    assert checked >= 17


def test_published_vectors_when_malformed_then_they_are_refused_or_flagged() -> None:
    """Rule: what the sources call malformed is refused; a trailing byte is flagged and the rest kept."""
    checked = 0
    for vector in reference(GOLDEN / "ble_vectors.json")["malformed"]:
        channel = channel_of(vector["uuid"])
        if channel not in BY_CHANNEL:
            continue
        checked += 1
        body = bytes.fromhex(vector["hex"])
        if vector["expect"].startswith("reject"):
            with pytest.raises(DecodeError):
                BY_CHANNEL[channel].decode(channel, body, None)
        else:
            heart_rate, rr = told(BY_CHANNEL[channel].decode(channel, body, None))
            assert (heart_rate["rows"][0][0], rr["rows"]) == (72, [[1000]])
            assert heart_rate["quality"] == rr["quality"] == Quality.TRAILING_BYTES
    assert checked >= 6


def test_frames_of_real_devices_when_decoded_then_they_are_as_their_owners_say() -> None:
    """Rule: frames printed by owners of real straps decode to what they say."""
    checked = 0
    for vector in reference(OPEN_DATA / "ble_vectors" / "ble_vectors.json"):
        sensor = BY_CHANNEL.get(channel_of(vector["char"]))
        if sensor is None:
            continue
        checked += 1
        heart_rate, rr = sensor.decode(channel_of(vector["char"]), bytes.fromhex(vector["hex"]), None)
        assert heart_rate.rows[0][0] == vector["expected"]["hr_bpm"]
        assert [row[0] * 1.024 for row in rr.rows] == pytest.approx(vector["expected"]["rr_1024"])
        assert heart_rate.quality & Quality.TRAILING_BYTES
    assert checked >= 3


@given(
    bpm=st.integers(0, 0xFFFF),
    contact=st.one_of(st.none(), st.booleans()),
    energy_kj=st.one_of(st.none(), st.integers(0, 0xFFFF)),
    rr_1024=st.lists(st.integers(0, 0xFFFF), max_size=9),
)
def test_heart_strap_when_another_encoder_wrote_the_frame_then_it_says_the_same(
    *, bpm: int, contact: bool | None, energy_kj: int | None, rr_1024: list[int]
) -> None:
    """Rule: a second opinion; bumble's own encoder and decoder of 0x2A37 agree with ours on every field."""
    measurement = HeartRateService.HeartRateMeasurement(
        heart_rate=bpm,
        sensor_contact_detected=contact,
        energy_expended=energy_kj,
        rr_intervals=[raw / 1024 for raw in rr_1024],
    )
    body = bytes(measurement)
    theirs = HeartRateService.HeartRateMeasurement.from_bytes(body)
    ours = told(HeartRateStrap().decode("2a37", body))
    detected = None if theirs.sensor_contact_detected is None else float(theirs.sensor_contact_detected)
    assert ours[0]["rows"] == [[theirs.heart_rate, detected, theirs.energy_expended]]
    intervals = [row[0] / 1000 for part in ours[1:] for row in part["rows"]]
    assert intervals == pytest.approx(list(theirs.rr_intervals or ()))
