"""Bluetooth heart-rate straps: Heart Rate Measurement 0x2A37 (Heart Rate Service 1.0, §3.1)."""

import math
import struct

from edge.sensors.base import Decoded
from shared.errors import DecodeError
from shared.readings import Quality

_FLAG_UINT16 = 0x01
_FLAG_CONTACT = 0x02
_FLAG_CONTACT_SUPPORTED = 0x04
_FLAG_ENERGY = 0x08
_FLAG_RR = 0x10
# RR intervals are in units of 1/1024 s.
_RR_UNIT_MS = 1000 / 1024


class HeartRateStrap:
    """Heart rate with contact, energy and RR intervals."""

    name = "heart_strap"
    channels = ("2a37",)
    services = ("180d",)
    topics: tuple[tuple[str, str], ...] = ()
    names_devices = False

    def start(self) -> None:
        """Return nothing: every frame stands alone."""

    def decode(self, channel: str, body: bytes, memory: None = None) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return one heart-rate row, and the RR intervals oldest first, if any.

        A byte left over after the last field is kept as a flag; a field that is announced and not there is an error.
        """
        flags, offset = _take("<B", body, 0)
        bpm, offset = _take("<H" if flags & _FLAG_UINT16 else "<B", body, offset)
        # The contact bit means something only where the device supports it.
        contact = float(bool(flags & _FLAG_CONTACT)) if flags & _FLAG_CONTACT_SUPPORTED else math.nan
        energy_kj = math.nan
        if flags & _FLAG_ENERGY:
            energy, offset = _take("<H", body, offset)
            energy_kj = float(energy)
        intervals: tuple[float, ...] = ()
        if flags & _FLAG_RR:
            count = (len(body) - offset) // 2
            intervals = tuple(raw * _RR_UNIT_MS for raw in struct.unpack_from(f"<{count}H", body, offset))
            offset += 2 * count
        quality = Quality.TRAILING_BYTES if offset != len(body) else Quality.GOOD
        if contact == 0.0:
            quality |= Quality.NO_CONTACT
        heart_rate = Decoded(stream="heart_rate", rows=((float(bpm), contact, energy_kj),), quality=quality)
        if not intervals:
            return (heart_rate,)
        return heart_rate, Decoded(stream="rr", rows=tuple((ms,) for ms in intervals), quality=quality)


def _take(layout: str, body: bytes, offset: int) -> tuple[int, int]:
    end = offset + struct.calcsize(layout)
    if end > len(body):
        raise DecodeError("frame is shorter than its flags say", offset=offset)
    return struct.unpack_from(layout, body, offset)[0], end
