"""Tags' network: one MQTT client, QoS 1, many messages in flight, nothing forgotten when the broker goes away."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firmware_sim.transports.mqtt_wire import IDS, MOST_IDS, MqttWire, publish_front
from shared.clock import Clock

IN_FLIGHT = 20_000
"""Below the 65,535 packet identifiers of MQTT 3.1.1 §2.3.1, so that an identifier is never in use twice."""
BACKLOG = 300_000
"""About 20 minutes of 22 tags at 10 Hz; beyond it the newest messages are given up."""


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    body: bytes
    ticket: int


class MqttPublisher:
    """Publishes without waiting; reports each PUBACK, and sends again what was not acknowledged after a reconnect."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        identifier: str,
        clock: Clock,
        on_acked: Callable[[int], None],
        on_given_up: Callable[[int], None],
        backlog: int = BACKLOG,
    ) -> None:
        self._wire = MqttWire(self, host=host, port=port, identifier=identifier, clock=clock)
        self._on_acked, self._on_given_up = on_acked, on_given_up
        self._in_flight: OrderedDict[int, _Message] = OrderedDict()
        self._waiting: deque[_Message] = deque()
        self._backlog = backlog
        self._next_id = 1
        self._settled = asyncio.Event()
        self.connected = asyncio.Event()

    @property
    def unacked(self) -> int:
        """Messages in flight or waiting."""
        return len(self._in_flight) + len(self._waiting)

    def publish(self, topic: str, body: bytes, ticket: int) -> None:
        """Send one message, or keep it until the broker is back."""
        self._settled.clear()
        if len(self._waiting) >= self._backlog:
            self._on_given_up(ticket)
            return
        self._waiting.append(_Message(topic, body, ticket))
        self._send_waiting()

    async def settled(self) -> None:
        """Wait until every message is acknowledged."""
        while self.unacked:
            self._settled.clear()
            await self._settled.wait()

    async def run(self) -> None:
        """Keep a connection to the broker until cancelled."""
        await self._wire.run()

    def on_up(self) -> None:
        """Send what waits."""
        self.connected.set()
        self._send_waiting()

    def on_down(self) -> None:
        """Queue what was in flight again, in its order, before everything newer."""
        self.connected.clear()
        self._waiting.extendleft(reversed(self._in_flight.values()))
        self._in_flight.clear()

    def on_acks(self, ids: Sequence[int]) -> None:
        """Report each, and send on."""
        for packet_id in ids:
            message = self._in_flight.pop(packet_id, None)
            if message is not None:
                self._on_acked(message.ticket)
        if self._waiting:
            self._send_waiting()
        elif not self._in_flight:
            self._settled.set()

    def _send_waiting(self) -> None:
        if not self.connected.is_set():
            return
        out: list[bytes] = []
        while self._waiting and len(self._in_flight) < IN_FLIGHT:
            message = self._waiting.popleft()
            while self._next_id in self._in_flight:
                self._next_id = self._next_id % MOST_IDS + 1
            out += (publish_front(message.topic, len(message.body)), IDS[self._next_id], message.body)
            self._in_flight[self._next_id] = message
            self._next_id = self._next_id % MOST_IDS + 1
        if out:
            self._wire.write(b"".join(out))
