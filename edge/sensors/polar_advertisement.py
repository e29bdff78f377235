"""Heart rate in Polar's advertisements: manufacturer data of company 0x006B, without a connection.

The content is a chain of chunks: bit 6 of the first byte set means [kind][length][bytes] of something else; clear
means heart rate, [flags][kHz code][fast average][slow average], the last missing from old sensors. An H7 sends the
heart-rate chunk alone. Source: Polar BLE SDK, BleAdvertisementContent and BlePolarHrAdvertisement.
"""

import math

from edge.sensors.base import Decoded, Sensor
from shared.errors import DecodeError
from shared.readings import Quality

_CONTACT = 0x02
_COUNTER = 0x1C
_OTHER_CHUNK = 0x40
_SHORT, _FULL = 3, 4


class AdvertisementMemory:
    """Counter and rate of the last reading; both stay the same while an advertisement is repeated."""

    __slots__ = ("counter", "rate_bpm")

    def __init__(self) -> None:
        self.counter = -1
        self.rate_bpm = -1


class PolarAdvertisement(Sensor):
    """Heart rate with contact; no intervals."""

    name = "polar_advertisement"
    channels = ("adv:006b",)

    def start(self) -> AdvertisementMemory:
        """Return the memory of a sensor that was not heard."""
        return AdvertisementMemory()

    def decode(self, channel: str, body: bytes, memory: AdvertisementMemory) -> tuple[Decoded, ...]:  # noqa: ARG002
        """Return one heart-rate row when its counter has moved; nothing for a repetition or another kind of chunk.

        The fast average is the one that follows the athlete. The three-byte sensors count badly: there a new rate is
        a new reading too.
        """
        chunk = body if len(body) in (_SHORT, _FULL) else _heart_rate_chunk(body)
        if chunk is None:
            return ()
        counter, rate_bpm = (chunk[0] & _COUNTER) >> 2, chunk[2]
        if counter == memory.counter and (len(chunk) != _SHORT or rate_bpm == memory.rate_bpm):
            return ()
        memory.counter, memory.rate_bpm = counter, rate_bpm
        quality = Quality.GOOD if len(chunk) <= _FULL else Quality.TRAILING_BYTES
        contact = bool(chunk[0] & _CONTACT)
        if not contact:
            quality |= Quality.NO_CONTACT
        row = (float(rate_bpm), float(contact), math.nan)
        return (Decoded(stream="heart_rate", rows=(row,), quality=int(quality)),)


def _heart_rate_chunk(body: bytes) -> bytes | None:
    """Return the content from its heart-rate chunk on, None where there is none.

    Raises: DecodeError when a chunk is cut short.
    """
    if not body:
        raise DecodeError("empty advertisement")
    offset = 0
    while offset < len(body):
        if not body[offset] & _OTHER_CHUNK:
            if len(body) - offset < _SHORT:
                raise DecodeError("heart-rate chunk is cut short", offset=offset)
            return body[offset:]
        if offset + 1 >= len(body) or offset + 2 + body[offset + 1] > len(body):
            raise DecodeError("chunk is cut short", offset=offset)
        offset += 2 + body[offset + 1]
    return None
