"""All sensors that the gateway reads. A new sensor is one file, one line here and its test vectors."""

from edge.sensors.base import Sensor
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
