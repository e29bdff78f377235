"""Bluetooth heart-rate straps: 0x2A37 (Heart Rate Service 1.0, §3.1) and Body Sensor Location 0x2A38 (§3.2)."""

import math
import struct

from edge.sensors.base import About, Decoded, Sensor
from shared.errors import DecodeError
from shared.readings import Quality

_FLAG_UINT16 = 0x01
_FLAG_CONTACT = 0x02
_FLAG_CONTACT_SUPPORTED = 0x04
_FLAG_ENERGY = 0x08
_FLAG_RR = 0x10
_FLAGS = 0x1F
# RR intervals are in units of 1/1024 s.
_RR_UNIT_MS = 1000 / 1024
_LOCATIONS = ("other", "chest", "wrist", "finger", "hand", "ear lobe", "foot")
_GOOD, _TRAILING, _NO_CONTACT = int(Quality.GOOD), int(Quality.TRAILING_BYTES), int(Quality.NO_CONTACT)


def _fixed(flags: int) -> struct.Struct:
    return struct.Struct("<x" + ("H" if flags & _FLAG_UINT16 else "B") + ("H" if flags & _FLAG_ENERGY else ""))


def _contact(flags: int) -> float:
    """Return the contact, which the flags give only where the device supports it."""
    return float(bool(flags & _FLAG_CONTACT)) if flags & _FLAG_CONTACT_SUPPORTED else math.nan


# Compiled once for each combination of flags: the fields before the intervals, their length, and the contact.
_FIXED = tuple(_fixed(flags) for flags in range(_FLAGS + 1))
_LENGTH = tuple(layout.size for layout in _FIXED)
_CONTACT = tuple(_contact(flags) for flags in range(_FLAGS + 1))
# No ATT value is longer.
_MAX_BYTES = 512
_INTERVALS = tuple(struct.Struct(f"<{count}H") for count in range(256))


class HeartRateStrap(Sensor):
    """Heart rate with contact, energy and RR intervals, and where the strap is worn."""

    name = "heart_strap"
    channels = ("2a37", "2a38")
    services = ("180d",)

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded | About, ...]:  # noqa: ARG002
        """Return one heart-rate row, and the RR intervals oldest first, if any.

        A byte left over after the last field is kept as a flag; a field that is announced and not there is an error.
        """
        if channel == "2a38":
            return (_location(body),)
        length = len(body)
        flags = body[0] & _FLAGS if length else 0
        offset = _LENGTH[flags]
        if length < offset or length > _MAX_BYTES:
            raise DecodeError("frame is not as long as its flags say", offset=length)
        contact = _CONTACT[flags]
        quality = _NO_CONTACT if contact == 0.0 else _GOOD
        if flags & _FLAG_ENERGY:
            bpm, energy = _FIXED[flags].unpack_from(body)
            row = (float(bpm), contact, float(energy))
        else:
            row = (float(_FIXED[flags].unpack_from(body)[0]), contact, math.nan)
        if not flags & _FLAG_RR or length - offset < 2:
            if length > offset:
                quality |= _TRAILING
            return (Decoded(stream="heart_rate", rows=(row,), quality=quality),)
        count = (length - offset) >> 1
        if length != offset + 2 * count:
            quality |= _TRAILING
        intervals = tuple([(raw * _RR_UNIT_MS,) for raw in _INTERVALS[count].unpack_from(body, offset)])
        return (
            Decoded(stream="heart_rate", rows=(row,), quality=quality),
            Decoded(stream="rr", rows=intervals, quality=quality),
        )


def _location(body: bytes) -> About:
    if len(body) != 1 or body[0] >= len(_LOCATIONS):
        raise DecodeError("not one of the body's sensor locations")
    return About(facts=(("location", _LOCATIONS[body[0]]),))
