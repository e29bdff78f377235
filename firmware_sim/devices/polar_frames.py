"""Polar's measurement frames as a sensor writes them, with an encoder of its own for deltas.

Source: Polar BLE SDK, online_measurement.pdf. Frame: measurement, time of the last sample (ns since 2000-01-01, 64
bits), frame type (bit 7 for deltas), samples.
"""

import struct
from collections.abc import Sequence

ECG, ACCELERATION, PULSE_INTERVALS = 0, 2, 3

Axes = tuple[int, int, int]


def encode_ecg(time_ns: int, microvolts: Sequence[int]) -> bytes:
    """Return an ECG frame of type 0: three bytes a sample.

    Raises: OverflowError when a sample does not fit 24 bits.
    """
    return _head(ECG, time_ns, 0) + b"".join(value.to_bytes(3, "little", signed=True) for value in microvolts)


def encode_acceleration(time_ns: int, samples_mg: Sequence[Axes]) -> bytes:
    """Return an acceleration frame of type 1: three 16-bit values a sample.

    Raises: struct.error when a value does not fit.
    """
    return _head(ACCELERATION, time_ns, 1) + b"".join(struct.pack("<hhh", *sample) for sample in samples_mg)


def encode_deltas(time_ns: int, samples: Sequence[Axes], *, frame_type: int = 1, block: int = 16) -> bytes:
    """Return a compressed acceleration frame: the first sample, then differences in blocks of up to `block` samples.

    Each block takes the fewest bits that hold its differences.
    Raises: struct.error when a value does not fit 16 bits.
    """
    body = _head(ACCELERATION, time_ns, 0x80 | frame_type) + struct.pack("<hhh", *samples[0])
    for start in range(1, len(samples), block):
        steps = [
            after - before
            for i in range(start, min(start + block, len(samples)))
            for before, after in zip(samples[i - 1], samples[i], strict=True)
        ]
        bits = max(1, *((step if step >= 0 else ~step).bit_length() + 1 for step in steps))
        stream = "".join(format(step % (1 << bits), f"0{bits}b")[::-1] for step in steps)
        padded = stream + "0" * (-len(stream) % 8)
        packed = bytes(int(padded[at : at + 8][::-1], 2) for at in range(0, len(padded), 8))
        body += bytes([bits, len(steps) // 3]) + packed
    return body


def encode_pulses(pulses: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Return a frame of pulse intervals: rate (bpm), interval (ms), its error (ms) and flags each; it has no time.

    Raises: struct.error when a value does not fit.
    """
    return _head(PULSE_INTERVALS, 0, 0) + b"".join(struct.pack("<BHHB", *pulse) for pulse in pulses)


def _head(measurement: int, time_ns: int, frame_type: int) -> bytes:
    return struct.pack("<BQB", measurement, time_ns, frame_type)
