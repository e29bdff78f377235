"""Readings out of a sensor's advertisements: manufacturer data of companies that broadcast their heart rate. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from edge.sensors.base import Decoded, Sensor
from shared.errors import DecodeError


def company_channels(sensors: Mapping[str, Sensor]) -> dict[int, tuple[str, Sensor]]:
    """Return the channels of advertisements by company: `"adv:006b"` is 0x006B."""
    return {
        int(channel.removeprefix("adv:"), 16): (channel, sensor)
        for channel, sensor in sensors.items()
        if channel.startswith("adv:")
    }


class Advertised:
    """What one sensor's advertisements have said.

    An advertisement is sent several times a second and changes about once: the decoder tells a repetition from news,
    and only news are passed on.
    """

    def __init__(self, companies: Mapping[int, tuple[str, Sensor]]) -> None:
        self._companies = companies
        self._memories: dict[str, Any] = {}
        self._read_ns: int | None = None

    @property
    def tells(self) -> bool:
        """Whether readings have stood in an advertisement."""
        return self._read_ns is not None

    def read(self, companies: Mapping[int, bytes], now_ns: int) -> Iterator[tuple[str, bytes]]:
        """Yield (channel, manufacturer data) of an advertisement with new readings."""
        for company, body in companies.items():
            known = self._companies.get(company)
            if known is None:
                continue
            channel, sensor = known
            if channel not in self._memories:
                self._memories[channel] = sensor.start()
            try:
                parts = sensor.decode(channel, body, self._memories[channel])
            except DecodeError:
                continue
            if any(isinstance(part, Decoded) for part in parts):
                self._read_ns = now_ns
                yield channel, body

    def is_read(self, now_ns: int, within_ns: int) -> bool:
        """Return whether readings came this way lately."""
        return self._read_ns is not None and now_ns - self._read_ns <= within_ns
