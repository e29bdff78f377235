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

# WGS 84; 1e-7 degrees is 11 mm, the step that GNSS receivers report.
LATITUDE = Quantity(name="lat_deg", unit="°", low=-90, high=90, resolution=1e-7, label="Latitude", decimals=7)
LONGITUDE = Quantity(name="lon_deg", unit="°", low=-180, high=180, resolution=1e-7, label="Longitude", decimals=7)
ALTITUDE = Quantity(name="altitude_m", unit="m", low=-500, high=9000, resolution=0.1, label="Altitude", decimals=1)
ACCURACY = Quantity(name="accuracy_m", unit="m", low=0, high=100, resolution=0.1, label="Accuracy", decimals=1)

# As the device itself computes them: foot pods, treadmills, watches, bicycles.
SPEED = Quantity(name="speed_mps", unit="m/s", low=0, high=40, resolution=0.001, label="Speed", decimals=1)
DISTANCE = Quantity(name="distance_m", unit="m", low=0, high=2e7, resolution=0.01, label="Distance", decimals=0)
STEP_RATE = Quantity(name="step_rate_spm", unit="1/min", low=0, high=400, resolution=0.5, label="Step rate")
STRIDE = Quantity(name="stride_m", unit="m", low=0, high=5, resolution=0.001, label="Stride length", decimals=2)
CONTACT_TIME = Quantity(name="contact_ms", unit="ms", low=50, high=1500, resolution=0.1, label="Ground contact")
LEFT_SHARE = Quantity(
    name="left_percent", unit="%", low=0, high=100, resolution=0.01, label="Share of the left", decimals=1
)
CADENCE = Quantity(name="cadence_rpm", unit="1/min", low=0, high=250, resolution=0.01, label="Cadence")
WHEEL_RATE = Quantity(name="wheel_rpm", unit="1/min", low=0, high=2000, resolution=0.01, label="Wheel rate")
POWER = Quantity(name="power_w", unit="W", low=-500, high=3000, resolution=1, label="Power")
INCLINE = Quantity(name="incline_percent", unit="%", low=-50, high=50, resolution=0.1, label="Incline", decimals=1)
RESISTANCE = Quantity(name="resistance", unit="1", low=-3276, high=3276, resolution=0.1, label="Resistance")
MACHINE_ENERGY = Quantity(name="machine_energy_kj", unit="kJ", low=0, high=3e5, resolution=0.001, label="Energy")
ELAPSED = Quantity(name="elapsed_s", unit="s", low=0, high=65535, resolution=1, label="Time on the machine")


def _acceleration(axis: str) -> Quantity:
    # Steps of 1 mg in 16 bits.
    return Quantity(
        name=f"acceleration_{axis}_g", unit="g", low=-32.768, high=32.767, resolution=0.001,
        label=f"Acceleration {axis}", decimals=2,
    )  # fmt: skip


def _turn(axis: str) -> Quantity:
    return Quantity(
        name=f"turn_{axis}_dps", unit="°/s", low=-3276.8, high=3276.7, resolution=0.1, label=f"Turn rate {axis}"
    )


ACCELERATION = tuple(_acceleration(axis) for axis in "xyz")
TURN_RATE = tuple(_turn(axis) for axis in "xyz")
ECG = Quantity(name="ecg_uv", unit="µV", low=-50_000, high=50_000, resolution=1, label="ECG")
# Borg's category-ratio scale (Foster 2001): what an athlete answers after training.
EXERTION = Quantity(
    name="exertion_cr10", unit="1", low=0, high=10, resolution=0.5, label="Perceived exertion", decimals=1
)

STREAMS: dict[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream(name="heart_rate", quantities=(HEART_RATE, CONTACT, ENERGY), rate_hz=1),
        Stream(name="rr", quantities=(RR_INTERVAL,), rate_hz=2),
        Stream(name="position", quantities=(X, Y, POSITION_QUALITY), rate_hz=10),
        Stream(name="battery", quantities=(BATTERY,), rate_hz=0.1),
        Stream(name="location", quantities=(LATITUDE, LONGITUDE, ALTITUDE, ACCURACY), rate_hz=1),
        Stream(name="speed", quantities=(SPEED, DISTANCE, STEP_RATE, STRIDE), rate_hz=1),
        Stream(name="gait", quantities=(CONTACT_TIME, LEFT_SHARE), rate_hz=1),
        Stream(name="cadence", quantities=(CADENCE, WHEEL_RATE), rate_hz=1),
        Stream(name="power", quantities=(POWER, LEFT_SHARE), rate_hz=1),
        Stream(name="machine", quantities=(INCLINE, RESISTANCE, MACHINE_ENERGY, ELAPSED), rate_hz=1),
        Stream(name="imu", quantities=(*ACCELERATION, *TURN_RATE), rate_hz=100),
        Stream(name="ecg", quantities=(ECG,), rate_hz=130),
        Stream(name="exertion", quantities=(EXERTION,), rate_hz=0.001),
    )
}
"""The streams by name; a new sensor that measures something new adds a line here.

One thing measured has one stream whatever device says it: a trainer's power stands in `power`, a treadmill's speed in
`speed`; `machine` holds what only machines say.
"""
