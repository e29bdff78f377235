"""The kinds of Bluetooth sensor that can be put on the air beside a squad's straps."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from bumble.device import Device

from firmware_sim.devices.cycling_sensor import CyclingSensor
from firmware_sim.devices.heart_strap import HeartStrap
from firmware_sim.devices.imu_pod import ImuPod
from firmware_sim.devices.movesense import Movesense
from firmware_sim.devices.polar_beacon import PolarBeacon
from firmware_sim.devices.polar_strap import PolarStrap
from firmware_sim.devices.power_meter import PowerMeter
from firmware_sim.devices.running_pod import RunningPod
from firmware_sim.devices.trainer import Trainer
from shared.errors import ConfigError


class Speaker(Protocol):
    """A sensor on the air that says something every `period_s`."""

    address: str

    @property
    def period_s(self) -> float: ...  # noqa: D102

    async def start(self) -> None:
        """Switch on."""

    async def speak(self, time_s: float) -> bool:
        """Send what the sensor has to say at `time_s` since it was switched on; False when nobody listens."""


class Kind(Protocol):
    """Makes a sensor of one kind on a radio of its own."""

    def __call__(self, device: Device, *, address: str, battery_percent: int) -> Speaker: ...  # noqa: D102


KINDS: Final[dict[str, Kind]] = {
    "heart_strap": HeartStrap,
    "running_pod": RunningPod,
    "cycling_sensor": CyclingSensor,
    "power_meter": PowerMeter,
    "trainer": Trainer,
    "polar_strap": PolarStrap,
    "polar_beacon": PolarBeacon,
    "movesense": Movesense,
    "imu_pod": ImuPod,
}


def parse_kinds(text: str) -> tuple[str, ...]:
    """Return the kinds named in a list with commas; one may stand several times.

    Raises: ConfigError for a name that is no kind.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in KINDS:
            raise ConfigError("--also", f"{name!r} is none of {', '.join(KINDS)}")
    return names


def maker(kind: str, address: str, *, battery_percent: int) -> Callable[[Device], Speaker]:
    """Return what builds a sensor of one of the `KINDS` around its radio."""
    return partial(KINDS[kind], address=address, battery_percent=battery_percent)


def address_of(number: int) -> str:
    """Return the static random address of the sensor beside the squad with this number, from 0."""
    return f"C0:00:5E:01:{(number + 1) >> 8:02X}:{(number + 1) & 0xFF:02X}"


def addresses_of(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of sensors in the order of their kinds."""
    return tuple(address_of(number) for number in range(len(kinds)))
