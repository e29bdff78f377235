"""Sparkplug B (Eclipse Sparkplug 3.0.0): births name metrics, later messages send aliases; history becomes BACKLOG.

Topics `spBv1.0/<group>/<type>/<node>[/<device>]`. A device's messages (D...) are that device's. A node's own (N...) may
speak of several: its metric `tag-1/heart_rate_bpm` is the quantity of device `tag-1`. A metric is known by the
channel's mapping, by our name of the quantity, or by a usual one (`hr`, `lat`, ...), in our unit. The sequence 0..255
counts a node's messages over all its devices, so one device's do not show a hole; it is checked, and is no identity.
"""

import math
from typing import Final

from edge.sensors.base import About, Decoded, Sensor
from edge.sensors.fields import NAMES, number, rows_of, whole_ns
from edge.sensors.mapping import Targets, base_of, targets_of
from edge.sensors.sparkplug_payload import Metric, Payload, read_payload
from shared.clock import NS_PER_MS
from shared.errors import DecodeError
from shared.readings import Quality

_MAX_METRICS: Final = 2048
_TYPES: Final = ("nbirth", "ndata", "ndeath", "dbirth", "ddata", "ddeath")


class Birth:
    """What the last birth of one node or device said: name and datatype by alias, datatype by name."""

    __slots__ = ("aliases", "born", "types")

    def __init__(self) -> None:
        self.born: int | None = None
        """bdSeq of a node's birth; its death is the one with the same number (§6.4.25)."""
        self.aliases: dict[int, str] = {}
        self.types: dict[str, int | None] = {}


class Sparkplug(Sensor):
    """Any quantity of ours, of the device in the topic or in the metric's name."""

    name = "sparkplug"
    channels = tuple(f"sparkplug.{kind}" for kind in _TYPES)
    topics = tuple(
        (f"spBv1.0/+/{kind.upper()}/{{sensor}}" if kind[0] == "n" else f"spBv1.0/+/{kind.upper()}/+/{{sensor}}", name)
        for kind, name in zip(_TYPES, channels, strict=True)
    )
    names_devices = True

    def start(self) -> Birth:
        """Return the memory of a node or device that has not been born."""
        return Birth()

    def decode(self, channel: str, body: bytes, memory: Birth) -> tuple[Decoded | About, ...]:
        """Return the rows of each device, stream and time; a birth's and a death's word on the device."""
        targets = targets_of(channel)
        kind = base_of(channel).removeprefix("sparkplug.")
        payload = read_payload(body)
        if kind.endswith("death"):
            return _death(kind, payload, memory)
        birth = _birth(payload) if kind.endswith("birth") else memory
        parts: list[Decoded | About] = list(_rows(payload, birth, targets, of_node=kind[0] == "n"))
        if birth is not memory:
            memory.born, memory.aliases, memory.types = birth.born, birth.aliases, birth.types
        if kind == "dbirth":
            parts.append(About(facts=(("state", "born"),)))
        return tuple(parts)


def _birth(payload: Payload) -> Birth:
    if len(payload.metrics) > _MAX_METRICS:
        raise DecodeError("a Sparkplug birth with too many metrics")
    birth = Birth()
    for metric in payload.metrics:
        if metric.name is None:
            raise DecodeError("a Sparkplug birth of a metric without name")
        if metric.name == "bdSeq":
            birth.born = metric.whole
        birth.types[metric.name] = metric.datatype
        if metric.alias is not None:
            if metric.alias in birth.aliases:
                raise DecodeError("a Sparkplug birth that gives an alias twice")
            birth.aliases[metric.alias] = metric.name
    return birth


def _death(kind: str, payload: Payload, memory: Birth) -> tuple[About, ...]:
    """Forget the birth, unless the death is that of an earlier connection."""
    died = next((metric.whole for metric in payload.metrics if metric.name == "bdSeq"), None)
    if kind == "ndeath" and died is None:
        raise DecodeError("a Sparkplug death of a node without bdSeq")
    if kind == "ndeath" and memory.born is not None and died != memory.born:
        return ()
    memory.born, memory.aliases, memory.types = None, {}, {}
    return (About(facts=(("state", "gone"),)),) if kind == "ddeath" else ()


def _rows(payload: Payload, birth: Birth, targets: Targets, *, of_node: bool) -> list[Decoded]:
    together: dict[tuple[str | None, int | None, bool], list[dict[str, float]]] = {}
    for metric in payload.metrics:
        name = _name(metric, birth)
        device, at, short = name.rpartition("/") if of_node else ("", "", name)
        if of_node and not at:
            continue  # a node's word on itself
        quantity, scale = targets.get(name) or targets.get(short) or (NAMES.get(short.lower()), 1.0)
        datatype = birth.types.get(name) if metric.datatype is None else metric.datatype
        value = metric.number(datatype)
        if quantity is None or value is None or math.isnan(value):
            continue
        time_ms = payload.time_ms if metric.time_ms is None else metric.time_ms
        group = together.setdefault((device or None, time_ms, metric.is_historical), [{}])
        if quantity in group[-1]:
            group.append({})
        group[-1][quantity] = number(value) * scale
    return [
        Decoded(
            stream=stream,
            rows=(row,),
            device_ns=None if time_ms is None else whole_ns(time_ms, NS_PER_MS),
            quality=int(Quality.BACKLOG) if historical else 0,
            sensor=device,
        )
        for (device, time_ms, historical), groups in together.items()
        for values in groups
        for stream, row in rows_of(values)
    ]


def _name(metric: Metric, birth: Birth) -> str:
    if metric.name is not None:
        return metric.name
    name = None if metric.alias is None else birth.aliases.get(metric.alias)
    if name is None:
        raise DecodeError("a Sparkplug alias without its birth")
    return name
