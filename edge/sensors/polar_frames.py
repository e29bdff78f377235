"""The samples inside Polar's PMD frames: ECG, accelerations raw and as deltas, pulse intervals.

Source: Polar BLE SDK, online_measurement.pdf. A delta frame is a first sample of 16 bits an axis, then blocks of
[bits a value][samples][values packed from the lowest bit], each value the difference to the sample before.
"""

import struct

from shared.errors import DecodeError

_AXES = 3
_REFERENCE = struct.Struct("<3h")
_PULSE = struct.Struct("<BHHB")
_INT16 = range(-(2**15), 2**15)
# No notification is longer than 512 bytes; one bit a value is the least that says something.
_MAX_SAMPLES = 2048
_MAX_BITS = 32


def ecg_microvolts(content: bytes) -> tuple[tuple[float, ...], ...]:
    """Return rows of frame type 0: three bytes a sample, signed, µV.

    Raises: DecodeError when the content is no whole number of samples.
    """
    count = _count(content, 3)
    return tuple(
        [(float(int.from_bytes(content[at : at + 3], "little", signed=True)),) for at in range(0, 3 * count, 3)]
    )


def acceleration(content: bytes) -> list[tuple[int, ...]]:
    """Return the samples of a raw frame of type 1: three 16-bit values each, mg.

    Raises: DecodeError when the content is no whole number of samples.
    """
    _count(content, 2 * _AXES)
    return list(_REFERENCE.iter_unpack(content))


def deltas(content: bytes) -> list[tuple[int, ...]]:
    """Return the samples of a compressed frame, in the units of its type.

    Raises: DecodeError when a block is cut short, or leads outside the 16 bits of an axis.
    """
    if len(content) < _REFERENCE.size:
        raise DecodeError("delta frame has no first sample", offset=len(content))
    sample: tuple[int, ...] = _REFERENCE.unpack_from(content)
    samples = [sample]
    offset = _REFERENCE.size
    while offset < len(content):
        if offset + 2 > len(content):
            raise DecodeError("delta block has no count", offset=offset)
        bits, count = content[offset], content[offset + 1]
        offset += 2
        end = offset + (bits * count * _AXES + 7) // 8
        if end > len(content) or not 0 < bits <= _MAX_BITS or len(samples) + count > _MAX_SAMPLES:
            raise DecodeError("delta block does not fit its frame", offset=offset)
        for x, y, z in _unpacked(content[offset:end], bits, count):
            sample = (sample[0] + x, sample[1] + y, sample[2] + z)
            if sample[0] not in _INT16 or sample[1] not in _INT16 or sample[2] not in _INT16:
                raise DecodeError("deltas lead outside 16 bits", offset=offset)
            samples.append(sample)
        offset = end
    return samples


def pulse_intervals(content: bytes) -> list[tuple[int, int, int, int]]:
    """Return rate (bpm), interval (ms), its error (ms) and flags of each pulse of frame type 0.

    Raises: DecodeError when the content is no whole number of pulses.
    """
    _count(content, _PULSE.size)
    return list(_PULSE.iter_unpack(content))


def _count(content: bytes, size: int) -> int:
    count, left = divmod(len(content), size)
    if left or not count:
        raise DecodeError("content is no whole number of samples", offset=len(content) - left)
    return count


def _unpacked(content: bytes, bits: int, count: int) -> list[tuple[int, int, int]]:
    """Return `count` triples of signed values of `bits` bits each, packed from the lowest bit."""
    packed = int.from_bytes(content, "little")
    mask, sign = (1 << bits) - 1, 1 << (bits - 1)
    values = [((packed >> at & mask) ^ sign) - sign for at in range(0, bits * count * _AXES, bits)]
    return list(zip(values[::3], values[1::3], values[2::3], strict=True))
