"""Second decoders and encoders: PyPI `bluetooth-sig` and bumble's heart-rate profile, written by others.

Where bluetooth-sig 0.6.0 differs on purpose of ours: it lets a frame be shorter than its flags say; of the two widths
that a resistance and a pace have in the specifications it knows the supplement's alone; it has no rates from counters.
"""

import itertools
import math
import random
from typing import Any

import pytest
from bluetooth_sig.gatt.characteristics.battery_level import BatteryLevelCharacteristic
from bluetooth_sig.gatt.characteristics.body_sensor_location import BodySensorLocationCharacteristic
from bluetooth_sig.gatt.characteristics.csc_measurement import CSCMeasurementCharacteristic
from bluetooth_sig.gatt.characteristics.cycling_power_measurement import CyclingPowerMeasurementCharacteristic
from bluetooth_sig.gatt.characteristics.heart_rate_measurement import HeartRateMeasurementCharacteristic
from bluetooth_sig.gatt.characteristics.indoor_bike_data import (
    IndoorBikeData,
    IndoorBikeDataCharacteristic,
    IndoorBikeDataFlags,
)
from bluetooth_sig.gatt.characteristics.rower_data import RowerData, RowerDataCharacteristic, RowerDataFlags
from bluetooth_sig.gatt.characteristics.rsc_measurement import RSCMeasurementCharacteristic
from bluetooth_sig.gatt.characteristics.treadmill_data import (
    TreadmillData,
    TreadmillDataCharacteristic,
    TreadmillDataFlags,
)
from bumble.profiles.heart_rate_service import HeartRateService
from hypothesis import given
from hypothesis import strategies as st

from edge.sensors.base import Decoded
from edge.sensors.fitness_fields import KJ_PER_KCAL
from edge.sensors.registry import BY_CHANNEL
from firmware_sim.devices import cycling_sensor, power_meter, running_pod
from firmware_sim.devices.heart_strap import encode_heart_rate_measurement
from shared.errors import DecodeError

SEED = 2048


def rows_of(channel: str, body: bytes, memory: Any = None) -> dict[str, tuple[float, ...]]:
    """Return the last row of each stream in a frame."""
    sensor = BY_CHANNEL[channel]
    parts = sensor.decode(channel, body, sensor.start() if memory is None else memory)
    return {part.stream: part.rows[-1] for part in parts if isinstance(part, Decoded)}


def same(row: tuple[float, ...], *want: float | None) -> bool:
    """Return whether a row is as wanted, None for what is not there."""
    return row == pytest.approx([math.nan if value is None else float(value) for value in want], rel=1e-9, nan_ok=True)


def test_heart_rate_when_bluetooth_sig_reads_it_then_it_says_the_same() -> None:
    """Rule: rate, contact, energy and intervals agree for every combination of flags; so do frames it wrote."""
    theirs = HeartRateMeasurementCharacteristic()
    rng = random.Random(SEED)
    for contact, energy, count in itertools.product((None, False, True), (False, True), range(10)):
        body = encode_heart_rate_measurement(
            rng.randrange(300),
            contact=contact,
            energy_kj=rng.randrange(0x10000) if energy else None,
            rr_1024=[rng.randrange(1, 0x10000) for _ in range(count)],
        )
        read = theirs.parse_value(bytearray(body))
        detected = {0: None, 1: False, 2: True}[int(read.sensor_contact)]
        for given_body in (body, bytes(theirs.build_value(read))):
            parts = BY_CHANNEL["2a37"].decode("2a37", given_body, None)
            rows = [row for part in parts if isinstance(part, Decoded) and part.stream == "rr" for row in part.rows]
            assert [row[0] / 1000 for row in rows] == pytest.approx(list(read.rr_intervals))
            assert isinstance(parts[0], Decoded)
            assert same(parts[0].rows[0], read.heart_rate, detected, read.energy_expended)


def test_running_when_bluetooth_sig_reads_it_then_it_says_the_same() -> None:
    """Rule: speed, cadence, stride and distance agree for every combination of flags; so do frames it wrote."""
    theirs = RSCMeasurementCharacteristic()
    rng = random.Random(SEED)
    for stride, distance, running in itertools.product((False, True), repeat=3):
        body = running_pod.encode_running(
            speed_256=rng.randrange(0x10000),
            steps_per_min=rng.randrange(256),
            stride_cm=rng.randrange(0x10000) if stride else None,
            distance_dm=rng.randrange(2**32) if distance else None,
            running=running,
        )
        read = theirs.parse_value(bytearray(body))
        assert read.is_running == running
        for given_body in (body, bytes(theirs.build_value(read))):
            row = rows_of("2a53", given_body)["speed"]
            assert row[0] == pytest.approx(read.instantaneous_speed)
            assert row[2] == read.instantaneous_cadence
            assert row[1] == pytest.approx(
                math.nan if read.total_distance is None else read.total_distance, nan_ok=True
            )
            stride_m = read.instantaneous_stride_length
            assert row[3] == pytest.approx(math.nan if stride_m is None else stride_m, nan_ok=True)


def rate_rpm(before: Any, after: Any, revolutions: str, event: str, *, width: int, cycle_s: float) -> float | None:
    """Return turns a minute from two of their measurements, None where they have no such counter."""
    if getattr(before, revolutions) is None:
        return None
    turned = (getattr(after, revolutions) - getattr(before, revolutions)) % width
    return float(60 * turned / ((getattr(after, event) - getattr(before, event)) % cycle_s))


def both_rates(before: Any, after: Any, *, wheel_cycle_s: float) -> tuple[float | None, float | None]:
    """Return crank and wheel rate from two of their measurements."""
    crank = rate_rpm(before, after, "cumulative_crank_revolutions", "last_crank_event_time", width=2**16, cycle_s=64.0)
    wheel = rate_rpm(
        before, after, "cumulative_wheel_revolutions", "last_wheel_event_time", width=2**32, cycle_s=wheel_cycle_s
    )
    return crank, wheel


def turned_on(counter: tuple[int, int], width: int, rng: random.Random) -> tuple[int, int]:
    """Return a counter some turns and at least a second later."""
    return (counter[0] + rng.randrange(1, 5)) % width, (counter[1] + rng.randrange(2048, 0xFFFF)) % 0x10000


def test_cycling_when_bluetooth_sig_reads_the_counters_then_the_rates_are_theirs() -> None:
    """Rule: the differences of what it reads, modulo their widths, are our rates."""
    theirs = CSCMeasurementCharacteristic()
    rng = random.Random(SEED)
    for has_wheel, has_crank in ((True, False), (False, True), (True, True)):
        for _ in range(100):
            wheel, crank = (rng.randrange(2**32), rng.randrange(2**16)), (rng.randrange(2**16), rng.randrange(2**16))
            bodies = [
                cycling_sensor.encode_cycling(wheel=w if has_wheel else None, crank=c if has_crank else None)
                for w, c in ((wheel, crank), (turned_on(wheel, 2**32, rng), turned_on(crank, 2**16, rng)))
            ]
            before, after = (theirs.parse_value(bytearray(body)) for body in bodies)
            memory = BY_CHANNEL["2a5b"].start()
            rows_of("2a5b", bodies[0], memory)
            assert same(rows_of("2a5b", bodies[1], memory)["cadence"], *both_rates(before, after, wheel_cycle_s=64.0))
            assert bytes(theirs.build_value(after)) == bodies[1]


def test_power_when_bluetooth_sig_reads_it_then_it_says_the_same() -> None:
    """Rule: power, balance and both counters agree, whatever optional fields stand between; its frames decode too."""
    theirs = CyclingPowerMeasurementCharacteristic()
    rng = random.Random(SEED)
    for _ in range(3_000):
        flags = rng.randrange(0x2000)
        memory = BY_CHANNEL["2a63"].start()
        wheel, crank = (rng.randrange(2**32), rng.randrange(2**16)), (rng.randrange(2**16), rng.randrange(2**16))
        read = []
        rows: dict[str, tuple[float, ...]] = {}
        for w, c in ((wheel, crank), (turned_on(wheel, 2**32, rng), turned_on(crank, 2**16, rng))):
            body = power_meter.encode_power(
                power_meter.CyclingPower(
                    power_w=rng.randrange(-0x8000, 0x8000),
                    balance_half_percent=rng.randrange(201) if flags & 0x001 else None,
                    balance_is_left=bool(flags & 0x002),
                    torque_32nds_nm=rng.randrange(0x10000) if flags & 0x004 else None,
                    wheel=w if flags & 0x010 else None,
                    crank=c if flags & 0x020 else None,
                    force_n=(1, -1) if flags & 0x040 else None,
                    torque_extremes=(2, -2) if flags & 0x080 else None,
                    angles_deg=(180, 90) if flags & 0x100 else None,
                    top_dead_spot_deg=7 if flags & 0x200 else None,
                    bottom_dead_spot_deg=8 if flags & 0x400 else None,
                    energy_kj=9 if flags & 0x800 else None,
                )
            )
            read.append(theirs.parse_value(bytearray(body)))
            rows = rows_of("2a63", body, memory)
            assert rows["power"][0] == read[-1].instantaneous_power
            left = read[-1].pedal_power_balance if flags & 0x002 else None
            assert same(rows["power"][1:], left)
            # Their encoder cannot say whose the balance is; everything else is as we read it before.
            again = rows_of("2a63", bytes(theirs.build_value(read[-1])))
            assert again["power"][0] == rows["power"][0]
        if flags & 0x030:
            assert same(rows["cadence"], *both_rates(*read, wheel_cycle_s=32.0))
        else:
            assert "cadence" not in rows


Machine = tuple[Any, Any, Any]
MACHINES: dict[str, Machine] = {
    "2ad2": (IndoorBikeDataCharacteristic(), IndoorBikeData, IndoorBikeDataFlags),
    "2acd": (TreadmillDataCharacteristic(), TreadmillData, TreadmillDataFlags),
    "2ad1": (RowerDataCharacteristic(), RowerData, RowerDataFlags),
}
# Each of their fields with a value that all three machines can send.
VALUES = {
    "instantaneous_speed": 32.4, "average_speed": 30.0, "instantaneous_cadence": 90.0, "average_cadence": 88.0,
    "total_distance": 66_051, "resistance_level": 120.0, "instantaneous_power": 250, "average_power": 230,
    "stroke_rate": 28.5, "stroke_count": 300, "average_stroke_rate": 27.0, "instantaneous_pace": 125,
    "average_pace": 130, "inclination": -1.5, "ramp_angle_setting": 2.5, "positive_elevation_gain": 10.0,
    "negative_elevation_gain": 3.0, "total_energy": 100, "energy_per_hour": 600, "energy_per_minute": 10,
    "heart_rate": 150, "metabolic_equivalent": 8.5, "elapsed_time": 60, "remaining_time": 1200,
    "force_on_belt": 10, "power_output": 260,
}  # fmt: skip
TOGETHER = (
    ("total_energy", "energy_per_hour", "energy_per_minute"), ("stroke_rate", "stroke_count"),
    ("inclination", "ramp_angle_setting"), ("positive_elevation_gain", "negative_elevation_gain"),
    ("force_on_belt", "power_output"),
)  # fmt: skip


@pytest.mark.parametrize("channel", MACHINES)
def test_machine_when_bluetooth_sig_writes_it_then_we_read_the_same(channel: str) -> None:
    """Rule: their frames, in the supplement's widths, give their values, for many combinations of fields."""
    theirs, kind, flags_kind = MACHINES[channel]
    fields = [name for name in kind.__struct_fields__ if name != "flags"]
    rng = random.Random(SEED)
    for _ in range(3_000):
        chosen = {name for name in fields if rng.random() < 0.5}
        for group in TOGETHER:
            chosen -= set(group)
            if rng.random() < 0.5:
                chosen |= set(group) & set(fields)
        body = bytes(theirs.build_value(kind(flags=flags_kind(0), **{name: VALUES[name] for name in chosen})))
        said = theirs.parse_value(bytearray(body))
        value = {name: getattr(said, name, None) for name in VALUES}
        speed = None if value["instantaneous_speed"] is None else value["instantaneous_speed"] / 3.6
        if channel == "2ad1" and value["instantaneous_pace"] is not None:
            speed = 500 / value["instantaneous_pace"]
        turns = value["stroke_rate"] if channel == "2ad1" else value["instantaneous_cadence"]
        power = value["power_output"] if channel == "2acd" else value["instantaneous_power"]
        energy = None if value["total_energy"] is None else value["total_energy"] * KJ_PER_KCAL
        want: dict[str, list[float | None]] = {
            "speed": [speed, value["total_distance"], None, None],
            "cadence": [turns, None],
            "power": [power, None],
            "heart_rate": [value["heart_rate"], None, None],
            "machine": [value["inclination"], value["resistance_level"], energy, value["elapsed_time"]],
        }
        rows = rows_of(channel, body)
        assert set(rows) == {stream for stream, row in want.items() if row != [None] * len(row)}, body.hex()
        for stream, row in rows.items():
            assert same(row, *want[stream]), (stream, body.hex())


def test_battery_and_location_when_bluetooth_sig_reads_them_then_it_says_the_same() -> None:
    """Rule: every byte that it takes we take, with its meaning; every byte that it refuses we refuse."""
    battery, location = BatteryLevelCharacteristic(), BodySensorLocationCharacteristic()
    for value in range(101):
        assert rows_of("2a19", bytes([value])) == {"battery": (battery.parse_value(bytes([value])),)}
    for value in range(7):
        (about,) = BY_CHANNEL["2a38"].decode("2a38", bytes([value]), None)
        assert not isinstance(about, Decoded)
        assert about.facts[0][1].replace(" ", "_").upper() == location.parse_value(bytes([value])).name
    with pytest.raises(DecodeError):
        BY_CHANNEL["2a38"].decode("2a38", bytes([7]), None)


@given(
    bpm=st.integers(0, 0xFFFF),
    contact=st.one_of(st.none(), st.booleans()),
    energy_kj=st.one_of(st.none(), st.integers(0, 0xFFFF)),
    rr_1024=st.lists(st.integers(0, 0xFFFF), max_size=9),
)
def test_heart_rate_when_bumble_wrote_the_frame_then_it_says_the_same(
    *, bpm: int, contact: bool | None, energy_kj: int | None, rr_1024: list[int]
) -> None:
    """Rule: bumble's own encoder and decoder of 0x2A37 agree with ours on every field."""
    measurement = HeartRateService.HeartRateMeasurement(
        heart_rate=bpm,
        sensor_contact_detected=contact,
        energy_expended=energy_kj,
        rr_intervals=[raw / 1024 for raw in rr_1024],
    )
    body = bytes(measurement)
    theirs = HeartRateService.HeartRateMeasurement.from_bytes(body)
    heart_rate, *rr = BY_CHANNEL["2a37"].decode("2a37", body, None)
    assert isinstance(heart_rate, Decoded)
    assert same(heart_rate.rows[0], theirs.heart_rate, theirs.sensor_contact_detected, theirs.energy_expended)
    intervals = [row[0] / 1000 for part in rr if isinstance(part, Decoded) for row in part.rows]
    assert intervals == pytest.approx(list(theirs.rr_intervals or ()))
