"""What the simulator's own encoders write, the gateway's decoders read: every combination of flags, every field."""

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.sensors import imu_pod, movesense, polar
from edge.sensors.base import Decoded
from edge.sensors.polar_measurements import EPOCH_NS
from edge.sensors.registry import BY_CHANNEL
from firmware_sim.devices import cycling_sensor, polar_beacon, polar_frames, power_meter, running_pod, trainer
from firmware_sim.devices import imu_pod as sim_imu_pod
from firmware_sim.devices import movesense as sim_movesense
from firmware_sim.devices.heart_strap import encode_heart_rate_measurement
from shared.readings import Quality

SEED = 1024
UINT16 = st.integers(0, 0xFFFF)
INT16 = st.integers(-0x8000, 0x7FFF)
Row = tuple[float, ...]


def parts_of(channel: str, body: bytes, memory: Any = None) -> dict[str, Decoded]:
    """Return what a frame says, by stream."""
    sensor = BY_CHANNEL[channel]
    found = sensor.decode(channel, body, sensor.start() if memory is None else memory)
    return {part.stream: part for part in found if isinstance(part, Decoded)}


def same(row: Row, *want: float | None) -> bool:
    """Return whether a row is as wanted, None for what is not there."""
    return row == pytest.approx([math.nan if value is None else float(value) for value in want], rel=1e-12, nan_ok=True)


def test_heart_rate_when_encoded_with_any_flags_then_every_field_returns() -> None:
    """Rule: 8 and 16 bits, contact, energy and up to nine intervals, all combinations."""
    rng = random.Random(SEED)
    for wide, contact, energy, count in itertools.product((False, True), (None, False, True), (False, True), range(10)):
        bpm = rng.randrange(256, 0x10000) if wide else rng.randrange(256)
        energy_kj = rng.randrange(0x10000) if energy else None
        rr_1024 = [rng.randrange(0x10000) for _ in range(count)]
        body = encode_heart_rate_measurement(bpm, contact=contact, energy_kj=energy_kj, rr_1024=rr_1024)
        parts = parts_of("2a37", body)
        assert same(parts["heart_rate"].rows[0], bpm, contact, energy_kj)
        assert parts["heart_rate"].quality == (Quality.NO_CONTACT if contact is False else Quality.GOOD)
        assert [round(row[0] * 1.024) for row in parts["rr"].rows] == rr_1024 if count else "rr" not in parts


def test_running_when_encoded_with_any_flags_then_every_field_returns() -> None:
    """Rule: stride, distance and gait, all combinations."""
    rng = random.Random(SEED)
    for stride, distance, running in itertools.product((False, True), repeat=3):
        for _ in range(200):
            given_speed, steps = rng.randrange(0x10000), rng.randrange(256)
            stride_cm = rng.randrange(0x10000) if stride else None
            distance_dm = rng.randrange(2**32) if distance else None
            body = running_pod.encode_running(
                speed_256=given_speed,
                steps_per_min=steps,
                stride_cm=stride_cm,
                distance_dm=distance_dm,
                running=running,
            )
            (row,) = parts_of("2a53", body)["speed"].rows
            far = None if distance_dm is None else distance_dm / 10
            assert same(row, given_speed / 256, far, steps, None if stride_cm is None else stride_cm / 100)
            facts = BY_CHANNEL["2a53"].decode("2a53", body, BY_CHANNEL["2a53"].start())[1:]
            assert bool(facts) == running


def counters(rng: random.Random, width: int) -> tuple[tuple[int, int], tuple[int, int], int, int]:
    """Return a counter before and after some turns, rolled over where it must, with the turns and ticks between."""
    count, ticks = rng.randrange(width), rng.randrange(0x10000)
    turned, passed = rng.randrange(1, 5), rng.randrange(1024, 0x10000)
    return (count, ticks), ((count + turned) % width, (ticks + passed) % 0x10000), turned, passed


def test_cycling_when_encoded_with_any_flags_then_both_rates_return() -> None:
    """Rule: wheel and crank, each with and without, from anywhere in their counters' circles."""
    rng = random.Random(SEED)
    for wheel, crank in itertools.product((False, True), repeat=2):
        for _ in range(500):
            wheel_was, wheel_is, wheel_turned, wheel_passed = counters(rng, 2**32)
            crank_was, crank_is, crank_turned, crank_passed = counters(rng, 2**16)
            memory = BY_CHANNEL["2a5b"].start()
            bodies = [
                cycling_sensor.encode_cycling(wheel=w if wheel else None, crank=c if crank else None)
                for w, c in ((wheel_was, crank_was), (wheel_is, crank_is))
            ]
            assert parts_of("2a5b", bodies[0], memory) == {}
            parts = parts_of("2a5b", bodies[1], memory)
            if not wheel and not crank:
                assert parts == {}
                continue
            (row,) = parts["cadence"].rows
            crank_rpm = crank_turned * 60 * 1024 / crank_passed if crank else None
            assert same(row, crank_rpm, wheel_turned * 60 * 1024 / wheel_passed if wheel else None)


def test_power_when_encoded_with_any_flags_then_power_balance_and_rates_return() -> None:
    """Rule: all 8,192 combinations of the flags, each with other values."""
    rng = random.Random(SEED)
    pair = lambda low, high: (rng.randrange(low, high), rng.randrange(low, high))  # noqa: E731
    for flags in range(0x2000):
        has = [bool(flags >> bit & 1) for bit in range(13)]
        wheel_was, wheel_is, wheel_turned, wheel_passed = counters(rng, 2**32)
        crank_was, crank_is, crank_turned, crank_passed = counters(rng, 2**16)
        balance = rng.randrange(201)
        power_w = rng.randrange(-0x8000, 0x8000)
        bodies = [
            power_meter.encode_power(
                power_meter.CyclingPower(
                    power_w=power_w,
                    balance_half_percent=balance if has[0] else None,
                    balance_is_left=has[1],
                    torque_32nds_nm=rng.randrange(0x10000) if has[2] else None,
                    torque_at_crank=has[3],
                    wheel=wheel if has[4] else None,
                    crank=crank if has[5] else None,
                    force_n=pair(-0x8000, 0x8000) if has[6] else None,
                    torque_extremes=pair(-0x8000, 0x8000) if has[7] else None,
                    angles_deg=pair(0, 0x1000) if has[8] else None,
                    top_dead_spot_deg=rng.randrange(0x10000) if has[9] else None,
                    bottom_dead_spot_deg=rng.randrange(0x10000) if has[10] else None,
                    energy_kj=rng.randrange(0x10000) if has[11] else None,
                    offset_needed=has[12],
                )
            )
            for wheel, crank in ((wheel_was, crank_was), (wheel_is, crank_is))
        ]
        assert int.from_bytes(bodies[0][:2], "little") == flags
        memory = BY_CHANNEL["2a63"].start()
        assert set(parts_of("2a63", bodies[0], memory)) == {"power"}
        parts = parts_of("2a63", bodies[1], memory)
        assert same(parts["power"].rows[0], power_w, balance / 2 if has[0] and has[1] else None)
        assert parts["power"].quality == (Quality.UNCERTAIN if has[12] else Quality.GOOD)
        assert ("cadence" in parts) == (has[4] or has[5])
        if "cadence" in parts:
            crank_rpm = crank_turned * 60 * 1024 / crank_passed if has[5] else None
            wheel_rpm = wheel_turned * 60 * 2048 / wheel_passed if has[4] else None
            assert same(parts["cadence"].rows[0], crank_rpm, wheel_rpm)


def machine_values(characteristic: int, flags: int, rng: random.Random) -> dict[str, tuple[int, ...]]:
    """Return values for the fields that flags announce (bit 0 inverted), none of them a mark for nothing."""
    values: dict[str, tuple[int, ...]] = {}
    for bit, (name, code) in enumerate(trainer.FIELDS[characteristic]):
        if bool(flags >> bit & 1) != (bit == 0):
            tops = {"B": 0xFE, "H": 0xFFFE, "h": 0x7FFE, "3": 0xFFFFFE}
            values[name] = tuple(rng.randint(1, tops[letter]) for letter in code)
    return values


@pytest.mark.parametrize("characteristic", trainer.FIELDS, ids=hex)
def test_machine_when_encoded_with_any_flags_then_every_kept_field_returns(characteristic: int) -> None:
    """Rule: all 8,192 combinations of the flags of bike, treadmill and rower, each with other values."""
    rng = random.Random(SEED)
    channel = f"{characteristic:04x}"
    for flags in range(0x2000):
        values = machine_values(characteristic, flags, rng)
        body = trainer.encode_machine(characteristic, values)
        assert int.from_bytes(body[:2], "little") == flags
        first = {name: value[0] for name, value in values.items()}
        parts = parts_of(channel, body)
        assert all(part.quality == Quality.GOOD for part in parts.values())
        speed = first["speed_centikmh"] / 360 if "speed_centikmh" in first else None
        speed = 500 / first["pace_s"] if "pace_s" in first else speed
        half_rpm = first.get("half_rpm", first.get("half_strokes_per_min"))
        power = values["force_and_power"][1] if "force_and_power" in values else first.get("power_w")
        energy = first.get("energy_kcal")
        incline = first.get("incline_tenths")
        want: dict[str, list[float | None]] = {
            "speed": [speed, first.get("distance_m"), None, None],
            "cadence": [None if half_rpm is None else half_rpm / 2, None],
            "power": [power, None],
            "heart_rate": [first.get("bpm"), None, None],
            "machine": [
                None if incline is None else incline / 10,
                first.get("resistance"),
                None if energy is None else energy * 4.184,
                first.get("elapsed_s"),
            ],
        }
        assert set(parts) == {stream for stream, row in want.items() if row != [None] * len(row)}
        for stream, part in parts.items():
            assert same(part.rows[0], *want[stream]), (stream, hex(flags))


@given(time_ns=st.integers(0, 2**62), samples=st.lists(st.integers(-(2**23), 2**23 - 1), min_size=1, max_size=80))
def test_ecg_when_encoded_then_samples_and_time_return(time_ns: int, samples: list[int]) -> None:
    """Rule: 24 signed bits a sample."""
    part = parts_of(polar.DATA, polar_frames.encode_ecg(time_ns, samples))["ecg"]
    assert part.rows == tuple((float(value),) for value in samples)
    assert part.device_ns == EPOCH_NS + time_ns


@given(
    samples=st.lists(st.tuples(INT16, INT16, INT16), min_size=1, max_size=80),
    block=st.integers(1, 255),
    raw=st.booleans(),
)
def test_acceleration_when_encoded_raw_or_as_deltas_then_samples_return(
    *, samples: list[tuple[int, int, int]], block: int, raw: bool
) -> None:
    """Rule: deltas of any width, in blocks of any length, give the samples back."""
    body = polar_frames.encode_acceleration(5, samples) if raw else polar_frames.encode_deltas(5, samples, block=block)
    part = parts_of(polar.DATA, body)["imu"]
    assert len(part.rows) == len(samples)
    for row, sample in zip(part.rows, samples, strict=True):
        assert same(row, *(value / 1000 for value in sample), None, None, None)


@given(st.lists(st.tuples(st.integers(0, 255), UINT16, UINT16, st.integers(0, 7)), min_size=1, max_size=20))
def test_pulses_when_encoded_then_intervals_return_with_their_doubts(pulses: list[tuple[int, int, int, int]]) -> None:
    """Rule: blocker or an error above 30 ms is doubtful; contact counts only where it is supported."""
    part = parts_of(polar.DATA, polar_frames.encode_pulses(pulses))["rr"]
    assert [row[0] for row in part.rows] == [ms for _, ms, _, _ in pulses]
    assert part.quality == 0
    assert list(part.row_quality) == [
        (Quality.UNCERTAIN if flags & 1 or error > 30 else 0) | (Quality.NO_CONTACT if flags & 6 == 4 else 0)
        for _, _, error, flags in pulses
    ]


def test_beacon_when_encoded_then_rate_and_contact_return_once_a_counter() -> None:
    """Rule: every counter, contact, form and rate; a repetition is nothing new."""
    for counter, contact, long, bpm in itertools.product(range(8), (False, True), (False, True), range(0, 256, 5)):
        body = polar_beacon.encode_beacon(
            counter=counter, bpm=bpm, slow_bpm=bpm // 2 if long else None, contact=contact, battery_low=bool(bpm % 2)
        )
        memory = BY_CHANNEL["adv:006b"].start()
        assert same(parts_of("adv:006b", body, memory)["heart_rate"].rows[0], bpm, contact, None)
        assert parts_of("adv:006b", body, memory) == {}


@given(
    kind=st.sampled_from(["ECG", "Acc", "IMU6", "IMU9"]),
    time_ms=st.integers(0, 2**32 - 1),
    values=st.lists(st.integers(-(2**20), 2**20), min_size=9, max_size=90),
    cut=st.integers(0, 40),
)
def test_movesense_when_encoded_whole_or_in_two_parts_then_samples_return(
    *, kind: str, time_ms: int, values: list[int], cut: int
) -> None:
    """Rule: what does not fit one notification is joined; times are those of the last sample."""
    reference = next(n for n, r in movesense.RESOURCES.items() if r.kind == kind)
    rate_hz = movesense.RESOURCES[reference].rate_hz
    vectors = {"ECG": 0, "Acc": 1, "IMU6": 2, "IMU9": 3}[kind]
    if kind == "ECG":
        count, packet = len(values), sim_movesense.encode_ecg(reference, time_ms, values)
    else:
        count = len(values) // 9
        groups = [
            [(float(values[9 * i]), float(values[9 * i + 1]), float(values[9 * i + 2 + group])) for i in range(count)]
            for group in range(vectors)
        ]
        packet = sim_movesense.encode_motion(reference, time_ms, *groups)
    memory = BY_CHANNEL[movesense.NOTIFY].start()
    # A cut at whole samples cannot be told from a short packet; such a link does not exist.
    size = 4 if kind == "ECG" else 12 * vectors
    room = len(packet) - (cut if cut % size else 0)
    parts: dict[str, Decoded] = {}
    for body in sim_movesense.split(packet, max(room, 7)):
        parts = parts_of(movesense.NOTIFY, body, memory)
    (part,) = parts.values()
    assert len(part.rows) == count
    assert part.device_ns == time_ms * 10**6 + (count - 1) * round(1e9 / rate_hz)
    if kind == "ECG":
        assert [row[0] for row in part.rows] == pytest.approx([value * 100_000 / 2**18 for value in values])
    else:
        turns = groups[1] if vectors > 1 else [(None, None, None)] * count
        for row, straight, turn in zip(part.rows, groups[0], turns, strict=True):
            assert same(row, *(value / 9.80665 for value in straight), *turn)


@given(
    turning=st.booleans(),
    boot=UINT16,
    first=st.integers(0, 2**32 - 1),
    last_us=st.integers(0, 2**48 - 1),
    rate=st.integers(1, 0xFFFF),
    samples=st.lists(st.tuples(INT16, INT16, INT16, INT16, INT16, INT16), min_size=1, max_size=37),
)
def test_imu_pod_when_encoded_then_samples_count_and_time_return(
    *, turning: bool, boot: int, first: int, last_us: int, rate: int, samples: list[tuple[int, ...]]
) -> None:
    """Rule: what the document says, byte by byte, with and without turn rates."""
    given_samples = [sample if turning else sample[:3] for sample in samples]
    body = sim_imu_pod.encode_samples(boot=boot, first=first, last_us=last_us, rate_hz=rate / 10, samples=given_samples)
    part = parts_of(imu_pod.SAMPLES, body)["imu"]
    assert (part.origin, part.sequence, part.device_ns) == (f"boot-{boot}", first, last_us * 1000)
    assert part.period_ns == round(1e10 / rate)
    for row, sample in zip(part.rows, given_samples, strict=True):
        want = [
            None if value == sim_imu_pod.MISSING else value / (1000 if i < 3 else 10) for i, value in enumerate(sample)
        ]
        assert same(row, *want, *([] if turning else [None] * 3))
