"""Out of the bytes of one connection: frames, and the packets that are for the connection itself. Pure.

The PUBLISH (§3.3) is read here and not by a library: this loop runs once a message, must bear whatever a device
publishes, and finds a known topic by its bytes alone.
"""

from typing import NamedTuple

import msgspec

from edge.sources.base import Delivery
from edge.sources.mqtt_packets import PUBLISH, malformed, read_length
from edge.sources.mqtt_topics import Topics
from shared.clock import Stamp
from shared.ids import SensorId
from shared.readings import Frame

MAX_PACKET_BYTES = 1 << 20
"""No device sends more; of a longer message the front is kept for quarantine and the rest is passed over."""

# Without the kind and the three bytes of such a length.
_LONGEST = MAX_PACKET_BYTES - 4
# Holds the longest topic and the packet id (§3.3.2), so that a message that is too long can be acknowledged.
_FRONT_BYTES = 128 * 1024
_FRONT_KEPT_BYTES = 4096
# What a squad's devices publish on, many times over; then it is learned afresh.
_REMEMBERED = 16_384
_LONGEST_REMEMBERED_BYTES = 256
_SHOWN = 128
_RETAIN, _QOS_1, _QOS_2 = 0x01, 0x02, 0x04


class Told(NamedTuple):
    """What a topic says; `counts` says that a retained message may be taken, for its device numbers its readings."""

    sensor: SensorId
    channel: str
    counts: bool


class KnownTopics(dict[bytes, Told]):
    """What topics say, found by their bytes; bounded."""

    def __init__(self, topics: Topics) -> None:
        super().__init__()
        self._topics = topics

    def __missing__(self, topic: bytes) -> Told:
        try:
            text = topic.decode()
        except UnicodeDecodeError:  # §1.5.4 forbids it; not every broker looks
            text = ""
        sensor, route = self._topics.find(text)
        if route is None:  # quarantined, retained or not
            told = Told(sensor, f"topic:{text[:_SHOWN]}", counts=True)
        else:
            told = Told(sensor, route.channel, route.counts_itself)
        if len(topic) <= _LONGEST_REMEMBERED_BYTES:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[topic] = told
        return told


class Arrived(msgspec.Struct):
    """What one read of the socket brought; a `ticket` is the connection's number, 16 bits up, and the packet id."""

    deliveries: list[Delivery] = msgspec.field(default_factory=list)
    passed_over: list[int] = msgspec.field(default_factory=list)
    """Tickets of retained messages that are left out."""
    controls: list[bytes] = msgspec.field(default_factory=list)
    """Whole packets that are no PUBLISH."""


class Inbox:
    """Keeps the bytes of a packet that is not whole yet; at most MAX_PACKET_BYTES and one read."""

    def __init__(self, topics: KnownTopics, connection: int, *, properties: bool) -> None:
        """`connection` is 1 or more; `properties` says whether packets have them (MQTT 5)."""
        self._topics = topics
        self._connection = connection << 16
        self._properties = properties
        self._kept = bytearray()
        self._wanted = 0
        """Bytes that must be there before it is worth looking again."""
        self._skip = 0

    def take(self, data: bytes, received: Stamp) -> Arrived:
        """Return what these bytes make whole.

        Raises: SourceError for bytes that do not follow the protocol.
        """
        arrived = Arrived()
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        if self._kept:
            self._kept += data
            if len(self._kept) < self._wanted:
                return arrived
            data = bytes(self._kept)
            self._kept.clear()
        self._wanted = 0
        try:
            used = self._read(data, received, arrived)
        except IndexError as exc:
            raise malformed("PUBLISH") from exc
        self._kept += data[used:]
        return arrived

    def _read(self, data: bytes, received: Stamp, arrived: Arrived) -> int:
        """Take whole packets off the front and return how many bytes they were."""
        topics, properties, connection = self._topics, self._properties, self._connection
        append = arrived.deliveries.append
        at, total = 0, len(data)
        while total - at >= 2:
            head, size, start = data[at], data[at + 1], at + 2
            if size > 127:
                size, start = read_length(data, at + 1)
                if not start:
                    break
            end = start + size
            if end > total or size > _LONGEST or head & 0xF0 != PUBLISH:
                done = self._rare(data, at, start, end, received, arrived)
                if not done:
                    break
                at = done
                continue
            place = start + 2 + (data[start] << 8 | data[start + 1])
            sensor, channel, counts = topics[data[start + 2 : place]]
            ticket = 0
            if head & _QOS_1:
                ticket = connection | data[place] << 8 | data[place + 1]
                place += 2
            if properties:
                place += data[place] + 1 if data[place] < 0x80 else _properties_size(data, place)
            if place > end or head & _QOS_2:
                raise malformed("PUBLISH")
            at = end
            if head & _RETAIN and not counts:
                arrived.passed_over.append(ticket)
                continue
            frame = Frame(sensor=sensor, channel=channel, body=data[place:end], received=received)
            append(Delivery(frame=frame, ticket=ticket))
        return at

    def _rare(self, data: bytes, at: int, start: int, end: int, received: Stamp, arrived: Arrived) -> int:
        """Take a packet that is not whole, too long or no PUBLISH; return where it ends, 0 where more must come."""
        is_publish = data[at] & 0xF0 == PUBLISH
        if end - start <= _LONGEST:
            if end > len(data):
                self._wanted = end - at
                return 0
            arrived.controls.append(data[at:end])
            return end
        if not is_publish:
            raise malformed("packet: it is too long")
        if len(data) - start < _FRONT_BYTES:
            self._wanted = start - at + _FRONT_BYTES
            return 0
        arrived.deliveries.append(self._front(data[at], data[start : start + _FRONT_BYTES], received))
        self._skip = max(end - len(data), 0)
        return min(end, len(data))

    def _front(self, head: int, front: bytes, received: Stamp) -> Delivery:
        """Return the front of a message that is too long, under a channel that no reader has."""
        place = 2 + (front[0] << 8 | front[1])
        topic, ticket = front[2:place], 0
        if head & _QOS_1:
            ticket = self._connection | front[place] << 8 | front[place + 1]
            place += 2
        if self._properties:
            place += _properties_size(front, place)
        channel = f"oversize:{topic.decode(errors='replace')[:_SHOWN]}"
        body = front[place : place + _FRONT_KEPT_BYTES]
        sensor = self._topics[topic].sensor
        return Delivery(frame=Frame(sensor=sensor, channel=channel, body=body, received=received), ticket=ticket)


def _properties_size(data: bytes, place: int) -> int:
    """Return how long the properties are, with their length (§3.3.2.3); none of them says anything to us."""
    size, start = read_length(data, place)
    if not start:
        raise malformed("PUBLISH")
    return start - place + size
