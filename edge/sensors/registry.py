"""All sensors that the gateway reads. A new sensor is one file, one line here and its test vectors."""

from edge.sensors.base import Sensor
from edge.sensors.battery import Battery
from edge.sensors.heart_rate import HeartRateStrap
from edge.sensors.position import PositionTag

SENSORS: tuple[Sensor, ...] = (HeartRateStrap(), Battery(), PositionTag())

BY_CHANNEL: dict[str, Sensor] = {channel: sensor for sensor in SENSORS for channel in sensor.channels}

SCAN_SERVICES: tuple[str, ...] = tuple(service for sensor in SENSORS for service in sensor.services)

TOPICS: tuple[tuple[str, str], ...] = tuple(topic for sensor in SENSORS for topic in sensor.topics)
