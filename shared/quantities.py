"""Every measurable quantity and every stream of readings, said once: unit, plausible range, resolution, rate."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One measured quantity.

    `low`..`high` is what a healthy sensor on a living athlete can report (inclusive); outside is kept and flagged.
    `resolution` is the step in which it is stored and sent: values are whole multiples of it.
    """

    name: str
    unit: str
    low: float
    high: float
    resolution: float
    label: str
    decimals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One kind of reading: its quantities in column order and the usual rate."""

    name: str
    quantities: tuple[Quantity, ...]
    rate_hz: float

    def column(self, quantity: str) -> int:
        """Return the column of `quantity` in this stream's value array."""
        return [q.name for q in self.quantities].index(quantity)


HEART_RATE = Quantity(name="heart_rate_bpm", unit="bpm", low=25, high=250, resolution=1, label="Heart rate")
CONTACT = Quantity(name="contact", unit="1", low=0, high=1, resolution=1, label="Skin contact")
ENERGY = Quantity(name="energy_kj", unit="kJ", low=0, high=65535, resolution=1, label="Energy")
# 200 ms is 300 bpm, 2,500 ms is 24 bpm; the Bluetooth unit is 1/1024 s.
RR_INTERVAL = Quantity(name="rr_ms", unit="ms", low=200, high=2500, resolution=1000 / 1024, label="RR interval")
# A field with its surroundings; local metres from a corner of the pitch.
X = Quantity(name="x_m", unit="m", low=-200, high=400, resolution=0.001, label="x", decimals=1)
Y = Quantity(name="y_m", unit="m", low=-200, high=400, resolution=0.001, label="y", decimals=1)
POSITION_QUALITY = Quantity(
    name="position_quality", unit="1", low=0, high=1, resolution=0.01, label="Position quality", decimals=2
)
BATTERY = Quantity(name="battery_percent", unit="%", low=0, high=100, resolution=1, label="Battery")

STREAMS: dict[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream(name="heart_rate", quantities=(HEART_RATE, CONTACT, ENERGY), rate_hz=1),
        Stream(name="rr", quantities=(RR_INTERVAL,), rate_hz=2),
        Stream(name="position", quantities=(X, Y, POSITION_QUALITY), rate_hz=10),
        Stream(name="battery", quantities=(BATTERY,), rate_hz=0.1),
    )
}
"""The streams by name; a new sensor that measures something new adds a line here."""
