"""What every sensor in SENSORS must do. A new sensor fails here until tests/vectors/<name>.json exists."""

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest

from edge.sensors.base import Sensor
from edge.sensors.registry import BY_CHANNEL, SCAN_SERVICES, SENSORS
from shared.errors import DecodeError
from tests.conformance.sensor_vectors import body_of, check_form, decoded_of, expected, memory_before, told, vectors

SEED = 0x2A37
RANDOM_PAYLOADS = 10_000

every_sensor = pytest.mark.parametrize("sensor", SENSORS, ids=lambda sensor: sensor.name)


@every_sensor
def test_sensor_when_it_decodes_its_vectors_then_rows_are_as_the_specification_says(sensor: Sensor) -> None:
    """Rule: each vector decodes to exactly its rows, the same every time."""
    given_vectors = vectors(sensor)["valid"]
    assert {vector["channel"].split("?")[0] for vector in given_vectors} == set(sensor.channels)
    for vector in given_vectors:
        decoded = decoded_of(sensor, vector)
        check_form(decoded)
        assert told(decoded) == expected(vector), vector["what"]
        assert told(decoded_of(sensor, vector)) == told(decoded)
    assert any(vector["decoded"] for vector in given_vectors)


@every_sensor
def test_sensor_when_a_vector_is_malformed_then_it_is_a_decode_error(sensor: Sensor) -> None:
    """Rule: bytes that do not follow the format are refused with a short reason."""
    for vector in vectors(sensor)["malformed"]:
        with pytest.raises(DecodeError) as caught:
            print(vector["what"], decoded_of(sensor, vector))
        assert 0 < len(caught.value.reason) < 60


@every_sensor
def test_sensor_when_a_vector_is_cut_short_then_it_decodes_or_is_a_decode_error(sensor: Sensor) -> None:
    """Rule: no truncation raises anything but DecodeError; text may be cut anywhere, bytes are refused somewhere."""
    refused = 0
    for vector in vectors(sensor)["valid"]:
        body = body_of(vector)
        for end in range(len(body)):
            try:
                check_form(sensor.decode(vector["channel"], body[:end], memory_before(sensor, vector)))
            except DecodeError:
                refused += 1
    assert refused


def content(memory: Any) -> Any:
    """Return everything that a memory holds, to compare."""
    if isinstance(memory, dict):
        return {key: content(value) for key, value in memory.items()}
    names = [name for kind in type(memory).__mro__ for name in getattr(kind, "__slots__", ())]
    names += list(getattr(memory, "__dict__", ()))
    return {name: content(getattr(memory, name)) for name in names} if names else repr(memory)


@every_sensor
def test_sensor_when_a_frame_is_refused_then_its_memory_is_as_before(sensor: Sensor) -> None:
    """Rule: a bad frame changes nothing for the frames behind it: not the malformed ones, nor any cut vector."""
    known = vectors(sensor)
    for vector in [*known["valid"], *known["malformed"]]:
        body = body_of(vector)
        for end in range(len(body) + 1):
            memory = memory_before(sensor, vector)
            before = content(copy.deepcopy(memory))
            try:
                sensor.decode(vector["channel"], body[:end], memory)
            except DecodeError:
                assert content(memory) == before, (vector["what"], end)


def payloads(sensor: Sensor) -> Iterator[tuple[str, bytes, Any]]:
    """Yield random bytes, half of them valid bodies with random changes, with a channel and the memory for them."""
    rng = random.Random(SEED)
    valid = vectors(sensor)["valid"]
    memory = sensor.start()
    for i in range(RANDOM_PAYLOADS):
        vector = rng.choice(valid)
        if i % 100 == 0:
            memory = memory_before(sensor, vector)
        if i % 2:
            yield vector["channel"], rng.randbytes(rng.randrange(0, 32)), memory
            continue
        body = bytearray(body_of(vector))
        for _ in range(rng.randrange(1, 4) if body else 0):
            body[rng.randrange(len(body))] = rng.randrange(256)
        yield vector["channel"], bytes(body), memory


@every_sensor
def test_sensor_when_payloads_are_random_then_they_decode_or_are_a_decode_error(sensor: Sensor) -> None:
    """Rule: 10,000 random payloads raise only DecodeError, and what decodes fits its stream."""
    print("seed", SEED)
    refused = 0
    for channel, body, memory in payloads(sensor):
        try:
            check_form(sensor.decode(channel, body, memory))
        except DecodeError:
            refused += 1
    assert 0 < refused < RANDOM_PAYLOADS


def test_registry_when_read_then_no_channel_has_two_sensors() -> None:
    """Rule: a channel says how to read a frame; a scan looks for the sensors' services."""
    channels = [channel for sensor in SENSORS for channel in sensor.channels]
    assert len(set(channels)) == len(channels) == len(BY_CHANNEL)
    assert len({sensor.name for sensor in SENSORS}) == len(SENSORS)
    assert {"180d", "1814", "1816", "1818", "1826"} <= set(SCAN_SERVICES)
    assert all(channel == channel.lower() for channel in channels)
