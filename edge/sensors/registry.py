"""All sensors that the gateway reads. A new sensor is one file, one line here and its test vectors."""

from collections.abc import Sequence

from edge.sensors.base import Decoded, Sensor
from edge.sensors.battery import Battery
from edge.sensors.cycling_cadence import CyclingCadence
from edge.sensors.device_information import DeviceInformation
from edge.sensors.dwm1001 import Dwm1001
from edge.sensors.fitness_machine import FitnessMachine
from edge.sensors.heart_rate import HeartRateStrap
from edge.sensors.imu_pod import ImuPod
from edge.sensors.mapping import base_of
from edge.sensors.movesense_sensor import MovesenseSensor
from edge.sensors.owntracks import OwnTracks
from edge.sensors.polar_advertisement import PolarAdvertisement
from edge.sensors.polar_measurements import PolarMeasurements
from edge.sensors.position import PositionTag
from edge.sensors.power_meter import PowerMeter
from edge.sensors.pozyx import Pozyx
from edge.sensors.running_pod import RunningPod
from edge.sensors.senml import SenMl
from edge.sensors.sideline_binary import SidelineBinary
from edge.sensors.sideline_json import SidelineJson
from edge.sensors.sparkplug import Sparkplug
from edge.sensors.traccar import Traccar
from shared.readings import Frame

SENSORS: tuple[Sensor, ...] = (
    HeartRateStrap(),
    RunningPod(),
    CyclingCadence(),
    PowerMeter(),
    FitnessMachine(),
    PolarMeasurements(),
    PolarAdvertisement(),
    MovesenseSensor(),
    ImuPod(),
    Battery(),
    DeviceInformation(),
    PositionTag(),
    Pozyx(),
    Dwm1001(),
    SenMl(),
    Sparkplug(),
    OwnTracks(),
    Traccar(),
    SidelineJson(),
    SidelineBinary(),
)

BY_CHANNEL: dict[str, Sensor] = {channel: sensor for sensor in SENSORS for channel in sensor.channels}

SCAN_SERVICES: tuple[str, ...] = tuple(service for sensor in SENSORS for service in sensor.services)

TOPICS: tuple[tuple[str, str], ...] = tuple(topic for sensor in SENSORS for topic in sensor.topics)


def reader_of(channel: str) -> Sensor | None:
    """Return the sensor that reads a channel, which may carry a mapping of names behind a `?`."""
    return BY_CHANNEL.get(channel) or BY_CHANNEL.get(base_of(channel))


# Whose frames stand alone and are read faster many at a time.
_TOGETHER: dict[str, Sensor] = {channel: sensor for channel, sensor in BY_CHANNEL.items() if sensor.reads_many}


def read_together(frames: Sequence[Frame]) -> list[tuple[Sensor, tuple[Decoded, ...]] | None]:
    """Return for each frame its reader and what it says; None for those that have to be read one by one."""
    found: list[tuple[Sensor, tuple[Decoded, ...]] | None] = [None] * len(frames)
    places: dict[str, list[int]] = {}
    for place, frame in enumerate(frames):
        if frame.channel in _TOGETHER:
            places.setdefault(frame.channel, []).append(place)
    for channel, group in places.items():
        if len(group) == 1:
            continue
        sensor = _TOGETHER[channel]
        said = sensor.decode_many(channel, [frames[place].body for place in group])
        if said is not None:
            for place, parts in zip(group, said, strict=True):
                found[place] = (sensor, parts)
    return found
