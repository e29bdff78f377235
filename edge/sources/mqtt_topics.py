"""From settings to topics, and from a message's topic to its sensor and channel. Pure.

A pattern is an MQTT topic filter with `{sensor}` as the level that names the device. The first pattern that matches
counts; a pattern that could never match, because an earlier one with another format takes all of it, is an error.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from edge.sensors.base import Sensor
from edge.sensors.fields import QUANTITIES
from edge.sensors.mapping import FIELDS, MAX_NAMES, MAX_SCALE, Targets, with_mapping
from edge.sensors.registry import SENSORS
from edge.settings import MapTo, MqttTopic
from shared.errors import ConfigError
from shared.ids import SensorId, parse_sensor_id

UNNAMED: Final = SensorId("unnamed")
"""Stands for a device whose topic holds no id; it is in no roster, so its frames are quarantined."""

_SENSOR: Final = "{sensor}"
# Formats that count their own readings: to hear the same message again does no harm.
_COUNTING: Final = ("position", "sideline+binary")
# MQTT 3.1.1 §4.7.3.
_MAX_TOPIC_BYTES: Final = 65_535

_READERS: Final[dict[str, Sensor]] = {
    channel: sensor for sensor in SENSORS if sensor.topics for channel in sensor.channels
}
_FORMATS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    channel: tuple(topic for topic in sensor.topics if topic[1] == channel) for channel, sensor in _READERS.items()
} | {sensor.name: sensor.topics for sensor in SENSORS if sensor.topics}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One pattern with the channel of what it brings, and its place in the settings."""

    pattern: str
    channel: str
    names_devices: bool
    place: str

    @property
    def topic_filter(self) -> str:
        """What is subscribed to."""
        return self.pattern.replace(_SENSOR, "+")

    @property
    def counts_itself(self) -> bool:
        """Whether the devices number their readings."""
        return self.channel in _COUNTING


class Topics:
    """The routes that the settings ask for."""

    def __init__(self, items: Sequence[str | MqttTopic]) -> None:
        """Raises: ConfigError naming the item that is wrong."""
        self.routes = _reachable([route for index, item in enumerate(items) for route in _routes(item, index)])
        self._compiled = [(_compiled(route.pattern), route) for route in self.routes]

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to: a filter that another one holds is left out, for a broker may deliver twice."""
        filters = list(dict.fromkeys(route.topic_filter for route in self.routes))
        return tuple(one for one in filters if not any(other != one and covers(other, one) for other in filters))

    def find(self, topic: str) -> tuple[SensorId, Route | None]:
        """Return the sensor that a topic names and its route; UNNAMED and None where there is none."""
        for pattern, route in self._compiled:
            match = pattern.fullmatch(topic)
            if match is not None:
                return _named(match, route), route
        return UNNAMED, None


def covers(wide: str, narrow: str) -> bool:
    """Return whether the filter `wide` takes every topic that `narrow` does (MQTT 3.1.1 §4.7.1)."""
    levels, inner = wide.split("/"), narrow.split("/")
    for at, level in enumerate(levels):
        if level == "#":
            return True
        if at >= len(inner) or inner[at] == "#" or (level not in ("+", inner[at])):
            return False
    return len(levels) == len(inner)


def _routes(item: str | MqttTopic, index: int) -> Iterator[Route]:
    """Yield what one item of the settings stands for."""
    place = f"mqtt.topics[{index}]"
    if isinstance(item, str):
        known = _FORMATS.get(item)
        pairs = known if known is not None else (_plain(item, place),)
        targets: Targets = {}
    else:
        known = _FORMATS.get(item.format)
        if known is None:
            raise ConfigError(place, f"unknown format {item.format!r}; known: {', '.join(sorted(_FORMATS))}")
        if item.topic is not None and item.format not in _READERS:
            names = sorted({channel for _, channel in known})
            if len(names) > 1:
                raise ConfigError(place, f"{item.format!r} has several formats, name one: {', '.join(names)}")
            known = ((item.topic, names[0]),)
        pairs = known if item.topic is None else ((item.topic, known[0][1]),)
        targets = _targets(item, place)
    for pattern, channel in pairs:
        reader = _READERS[channel]
        _check(pattern, reader, place)
        yield Route(
            pattern=pattern, channel=with_mapping(channel, targets), names_devices=reader.names_devices, place=place
        )


def _plain(topic: str, place: str) -> tuple[str, str]:
    """Return a bare topic as a pattern: its last level is the format, the one before it names the sensor."""
    *front, sensor, channel = ["", "", *topic.split("/")]
    if "/" not in topic or channel not in _READERS or sensor not in ("+", _SENSOR):
        raise ConfigError(
            place,
            f"{topic!r} is no format ({', '.join(sorted(_FORMATS))}) and no topic that ends in a `+` for the sensor "
            "and a format; give a table with topic and format",
        )
    return "/".join([*front[2:], _SENSOR, channel]), channel


def _targets(item: MqttTopic, place: str) -> Targets:
    """Return the mapping of names. Raises: ConfigError for an unknown quantity or a format that has its own names."""
    if not item.map:
        return {}
    place = f"{place}.map"
    if not item.format.startswith(("sideline+json", "sideline_json", "senml", "sparkplug")):
        raise ConfigError(place, f"format {item.format!r} has its own names; a map is for JSON, SenML and Sparkplug")
    if len(item.map) > MAX_NAMES:
        raise ConfigError(place, f"more than {MAX_NAMES} names")
    known = QUANTITIES | FIELDS if item.format.startswith("sideline") else QUANTITIES
    targets: dict[str, tuple[str, float]] = {}
    for name, to in item.map.items():
        target = to if isinstance(to, MapTo) else MapTo(to=to)
        if target.to not in known:
            raise ConfigError(f"{place}.{name}", f"{target.to!r} is no quantity; known: {', '.join(sorted(known))}")
        if not 0 < abs(target.scale) <= MAX_SCALE:
            raise ConfigError(f"{place}.{name}", f"scale {target.scale} is out of range")
        if not name:
            raise ConfigError(place, "a name is empty")
        targets[name] = (target.to, target.scale)
    return targets


def _check(pattern: str, reader: Sensor, place: str) -> None:
    """Raise ConfigError unless a pattern is a topic filter that names its device where it must."""
    levels = pattern.split("/")
    if not pattern or "\0" in pattern or len(pattern.encode("utf-8")) > _MAX_TOPIC_BYTES:
        raise ConfigError(place, f"{pattern[:60]!r} is no topic")
    for at, level in enumerate(levels):
        wild = "+" in level or "#" in level or "{" in level or "}" in level
        if wild and level not in ("+", "#", _SENSOR):
            raise ConfigError(place, f"{pattern!r}: a level is text, `+`, `#` or `{_SENSOR}`, not {level!r}")
        if level == "#" and at != len(levels) - 1:
            raise ConfigError(place, f"{pattern!r}: `#` stands last")
    if levels.count(_SENSOR) > 1:
        raise ConfigError(place, f"{pattern!r} has {_SENSOR} twice")
    if _SENSOR not in levels and not reader.names_devices:
        raise ConfigError(place, f"{pattern!r} has no {_SENSOR}, and this format does not name its devices")


def _reachable(routes: list[Route]) -> tuple[Route, ...]:
    """Return the routes without those that an earlier one takes whole; it is an error if their formats differ."""
    kept: list[Route] = []
    for route in routes:
        before = next((other for other in kept if covers(other.topic_filter, route.topic_filter)), None)
        if before is None:
            kept.append(route)
        elif (before.pattern, before.channel) != (route.pattern, route.channel):
            raise ConfigError(
                route.place,
                f"{route.pattern!r} would never be read as {route.channel!r}: the first match wins, and "
                f"{before.place} ({before.pattern!r}, {before.channel!r}) takes all of it; put the narrower one first",
            )
    return tuple(kept)


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern as an expression; `#` takes the level before it too (§4.7.1.2)."""
    text = ""
    for at, level in enumerate(pattern.split("/")):
        slash = "/" if at else ""
        if level == "#":
            text += f"(?:{slash}.*)?"
        elif level == _SENSOR:
            text += f"{slash}(?P<sensor>[^/]*)"
        else:
            text += slash + ("[^/]*" if level == "+" else re.escape(level))
    return re.compile(text, re.DOTALL)


def _named(match: re.Match[str], route: Route) -> SensorId:
    """Return the id in the topic; where the frame names its devices, the format's name stands for all of them."""
    if "sensor" not in match.re.groupindex:
        return parse_sensor_id(_reader_name(route))
    try:
        return parse_sensor_id(match["sensor"])
    except ConfigError:
        return UNNAMED


def _reader_name(route: Route) -> str:
    return _READERS[route.channel.partition("?")[0]].name
