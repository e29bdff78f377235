"""Frames a second that each Bluetooth decoder reads on one core, and how much faster than PyPI bluetooth-sig.

PYTHONPATH=. .venv/bin/python tests/bench/decoders.py [--repeats 5]. Both read the same frames in turns; a ratio holds
where absolute figures of a shared machine do not.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

from bluetooth_sig.gatt.characteristics.csc_measurement import CSCMeasurementCharacteristic
from bluetooth_sig.gatt.characteristics.cycling_power_measurement import CyclingPowerMeasurementCharacteristic
from bluetooth_sig.gatt.characteristics.heart_rate_measurement import HeartRateMeasurementCharacteristic
from bluetooth_sig.gatt.characteristics.indoor_bike_data import IndoorBikeDataCharacteristic
from bluetooth_sig.gatt.characteristics.rsc_measurement import RSCMeasurementCharacteristic

from edge.sensors import imu_pod, movesense, polar
from edge.sensors.registry import BY_CHANNEL
from firmware_sim.devices.cycling_sensor import encode_cycling
from firmware_sim.devices.heart_strap import encode_heart_rate_measurement
from firmware_sim.devices.imu_pod import encode_samples
from firmware_sim.devices.movesense import encode_ecg as encode_movesense_ecg
from firmware_sim.devices.polar_beacon import encode_beacon
from firmware_sim.devices.polar_frames import encode_acceleration, encode_deltas, encode_ecg
from firmware_sim.devices.power_meter import CyclingPower, encode_power
from firmware_sim.devices.running_pod import encode_running
from firmware_sim.devices.trainer import BIKE, encode_machine

SECONDS_A_REPEAT = 0.1
COUNT = 64
MOTION = [(i, -i, 1000 + 10 * i) for i in range(10)]

Case = tuple[str, str, list[bytes], Callable[[bytes], object] | None]


def cases() -> list[Case]:
    """Return name, channel, frames and the other decoder of each case."""
    turns = range(COUNT)
    bike = {"speed_centikmh": 3150, "half_rpm": 176, "power_w": 210, "bpm": 140, "elapsed_s": 60}
    return [
        (
            "2A37 with two intervals", "2a37",
            [encode_heart_rate_measurement(120 + i % 40, contact=True, rr_1024=[480 + i, 490 - i]) for i in turns],
            HeartRateMeasurementCharacteristic().parse_value,
        ),
        (
            "2A53 with every field", "2a53",
            [encode_running(speed_256=900 + i, steps_per_min=170, stride_cm=125, distance_dm=10 * i) for i in turns],
            RSCMeasurementCharacteristic().parse_value,
        ),
        (
            "2A5B with wheel and crank", "2a5b",
            [encode_cycling(wheel=(4 * i, 1024 * i % 65536), crank=(i, 700 * i % 65536)) for i in turns],
            CSCMeasurementCharacteristic().parse_value,
        ),
        (
            "2A63 with balance and crank", "2a63",
            [
                encode_power(
                    CyclingPower(
                        power_w=200 + i, balance_half_percent=98, balance_is_left=True, crank=(i, 700 * i % 65536)
                    )
                )
                for i in turns
            ],
            CyclingPowerMeasurementCharacteristic().parse_value,
        ),
        ("2AD2 with five fields", "2ad2", [encode_machine(BIKE, bike)], IndoorBikeDataCharacteristic().parse_value),
        ("Polar advertisement", "adv:006b", [encode_beacon(counter=i, bpm=140, slow_bpm=139) for i in turns], None),
        ("Polar ECG, 73 samples", polar.DATA, [encode_ecg(i * 10**9, list(range(73))) for i in turns], None),
        ("Polar ACC raw, 10 samples", polar.DATA, [encode_acceleration(i * 10**8, MOTION) for i in turns], None),
        ("Polar ACC deltas, 10 samples", polar.DATA, [encode_deltas(i * 10**8, MOTION) for i in turns], None),
        (
            "Movesense ECG, 16 samples", movesense.NOTIFY,
            [encode_movesense_ecg(100, 80 * i, range(16)) for i in turns], None,
        ),
        (
            "IMU pod, 10 samples", imu_pod.SAMPLES,
            [
                encode_samples(
                    boot=1, first=10 * i, last_us=10**5 * i, rate_hz=100, samples=[(*m, *m) for m in MOTION]
                )
                for i in turns
            ],
            None,
        ),
    ]  # fmt: skip


def rate_per_s(read: Callable[[bytes], object], frames: list[bytes]) -> float:
    """Return frames a second of one core's time, over about a tenth of a second."""
    count, began = 0, time.process_time()
    while (passed := time.process_time() - began) < SECONDS_A_REPEAT:
        for body in frames:
            read(body)
        count += len(frames)
    return count / passed


def measure(case: Case, repeats: int) -> dict[str, object]:
    """Return the median rate of our decoder, of the other one, and their ratio."""
    name, channel, frames, other = case
    sensor = BY_CHANNEL[channel]
    decode, memory = sensor.decode, sensor.start()

    def ours(body: bytes) -> object:
        return decode(channel, body, memory)

    rounds = [(rate_per_s(ours, frames), rate_per_s(other, frames) if other else None) for _ in range(repeats)]
    ratios = [mine / theirs for mine, theirs in rounds if theirs]
    return {
        "frames": name,
        "per_s": round(statistics.median(mine for mine, _ in rounds)),
        "bluetooth_sig_per_s": round(statistics.median(theirs for _, theirs in rounds if theirs)) if ratios else None,
        "ratio": round(statistics.median(ratios), 1) if ratios else None,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    rows = [measure(case, chosen.repeats) for case in cases()]
    for row in rows:
        beside = f", {row['ratio']}x bluetooth-sig" if row["ratio"] else ""
        print(f"{row['frames']}: {row['per_s']:,} frames/s{beside}")
    print(json.dumps({"decoders": rows}))


if __name__ == "__main__":
    main()
