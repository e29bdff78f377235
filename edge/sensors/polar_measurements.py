"""Polar's measurement data (PMD): ECG, accelerations and pulse intervals, and what the control point answers.

Frame: [measurement][time of the last sample, 64 bits, ns since 2000-01-01][type, bit 7 for deltas][samples]. Source:
Polar BLE SDK, online_measurement.pdf, TimeSystemExplained.md and KnownIssues.md. An H10 that was off begins again at
2019-01-01; Verity Sense shows the wall clock that it was set to. So its time counts from a date that nobody set.
"""

import math
import struct

from edge.sensors import polar
from edge.sensors.base import About, Decoded, DeviceClock, Sensor
from edge.sensors.polar_answers import answer
from edge.sensors.polar_frames import acceleration, deltas, ecg_microvolts, pulse_intervals
from shared.errors import DecodeError
from shared.readings import Quality

EPOCH_NS = 946_684_800_000_000_000
"""2000-01-01 in Unix nanoseconds."""

_HEAD = struct.Struct("<BQB")
_MEASUREMENT = 0x3F
# Nothing that Polar sells will run in the year 2146.
_MOST_NS = 2**62
_NOMINAL_NS = {polar.ECG: 1_000_000_000 // 130, polar.ACCELERATION: 10_000_000}
# Accelerations come at 25 to 200 Hz; a longer period than this is a gap.
_MOST_PERIOD_NS = 60_000_000
# Deltas of type 0 are in units of the range; this is the factor of ±8 g, until the answer to start says another.
_FACTOR_G = 2.44e-4
_MG = 1000.0
_BLOCKED, _CONTACT, _CONTACT_SUPPORTED = 0x01, 0x02, 0x04
# The SDK calls an interval unreliable beyond this.
_MOST_ERROR_MS = 30
# A longer step than this means that frames between were lost.
_LOST = 1.5
_NO_TURN = (math.nan, math.nan, math.nan)


class PolarMemory:
    """Of each measurement the last frame's time and the period from sample to sample; the accelerations' factor."""

    __slots__ = ("factor_g", "last_ns", "period_ns")

    def __init__(self) -> None:
        self.factor_g = _FACTOR_G
        self.last_ns: dict[int, int] = {}
        self.period_ns: dict[int, int] = {}

    def forget(self, measurement: int) -> None:
        """Forget a stream that was started or stopped: its rate may be another."""
        self.last_ns.pop(measurement, None)
        self.period_ns.pop(measurement, None)

    def step(self, measurement: int, last_ns: int, count: int) -> int:
        """Return the period of a frame's samples: the time since the frame before, or the nominal one."""
        # ECG has one rate.
        known = self.period_ns.get(measurement, _NOMINAL_NS[polar.ECG] if measurement == polar.ECG else None)
        passed = last_ns - self.last_ns.get(measurement, last_ns)
        self.last_ns[measurement] = last_ns
        period = passed // count
        if 0 < period < _MOST_PERIOD_NS and (known is None or period < _LOST * known):
            self.period_ns[measurement] = period
            return period
        return known or _NOMINAL_NS[measurement]


class PolarMeasurements(Sensor):
    """ECG, accelerations and pulse intervals of one Polar device; `edge.sensors.polar` says what starts them."""

    name = "polar"
    channels = (polar.DATA, polar.CONTROL)
    # Polar's straps are found by their heart-rate service; they do not advertise this one.
    services = ()

    def start(self) -> PolarMemory:
        """Return the memory of a device that has sent nothing."""
        return PolarMemory()

    def decode(self, channel: str, body: bytes, memory: PolarMemory) -> tuple[Decoded | About, ...]:
        """Return the rows of one frame, or what the control point answered."""
        if channel == polar.CONTROL:
            return _answered(body, memory)
        if len(body) < _HEAD.size:
            raise DecodeError("frame has no head", offset=len(body))
        kind, ticks_ns, frame_type = _HEAD.unpack_from(body)
        if ticks_ns > _MOST_NS:
            raise DecodeError("time is beyond any clock")
        content = body[_HEAD.size :]
        match kind & _MEASUREMENT, frame_type:
            case polar.ECG, 0:
                stream, rows = "ecg", ecg_microvolts(content)
            case polar.ACCELERATION, 1:
                stream, rows = "imu", _in_g(acceleration(content), 1 / _MG)
            case polar.ACCELERATION, 0x81:
                stream, rows = "imu", _in_g(deltas(content), 1 / _MG)
            case polar.ACCELERATION, 0x80:
                stream, rows = "imu", _in_g(deltas(content), memory.factor_g)
            case polar.PULSE_INTERVALS, 0:
                return (_pulses(content),)
            case _:
                raise DecodeError("measurement or frame type is not read")
        return (
            Decoded(
                stream=stream,
                rows=rows,
                device_ns=EPOCH_NS + ticks_ns,
                clock=DeviceClock.OWN,
                period_ns=memory.step(kind & _MEASUREMENT, ticks_ns, len(rows)),
            ),
        )


def _in_g(samples: list[tuple[int, ...]], factor_g: float) -> tuple[tuple[float, ...], ...]:
    return tuple([(x * factor_g, y * factor_g, z * factor_g, *_NO_TURN) for x, y, z in samples])


def _pulses(content: bytes) -> Decoded:
    """Return the intervals of one frame, each with what the strap doubts of it. They carry no time."""
    pulses = pulse_intervals(content)
    return Decoded(
        stream="rr",
        rows=tuple([(float(ms),) for _, ms, _, _ in pulses]),
        row_quality=tuple([_doubt(error_ms, flags) for _, _, error_ms, flags in pulses]),
    )


def _doubt(error_ms: int, flags: int) -> int:
    quality = Quality.GOOD
    if flags & _BLOCKED or error_ms > _MOST_ERROR_MS:
        quality |= Quality.UNCERTAIN
    if flags & _CONTACT_SUPPORTED and not flags & _CONTACT:
        quality |= Quality.NO_CONTACT
    return int(quality)


def _answered(body: bytes, memory: PolarMemory) -> tuple[About, ...]:
    said = answer(body)
    if said is None:
        return ()
    for measurement in said.changed:
        memory.forget(measurement)
    if said.factor is not None:
        memory.factor_g = said.factor
    return (About(facts=said.facts),)
