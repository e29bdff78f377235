"""A load's network: hundreds of messages in one write at QoS 1, counted as they are acknowledged."""

import asyncio
from collections.abc import Sequence

from firmware_sim.transports.mqtt_wire import IDS, MOST_IDS, MqttWire
from shared.clock import Clock

IN_FLIGHT = 20_000
"""Below the 65,535 packet identifiers of MQTT 3.1.1 §2.3.1, which are taken in turn: none is in use twice."""


class MqttBurst:
    """Sends what it is given as long as there is room; after a reconnect what was not acknowledged goes out again."""

    def __init__(self, *, host: str, port: int, identifier: str, clock: Clock) -> None:
        self._wire = MqttWire(self, host=host, port=port, identifier=identifier, clock=clock)
        self._slots: list[bytes | None] = [None] * (MOST_IDS + 1)
        self._next_id = self._oldest_id = 1
        self._emptied = asyncio.Event()
        self.connected = asyncio.Event()
        self.sent = self.acked = 0

    @property
    def room(self) -> int:
        """How many messages may be sent now."""
        if not self.connected.is_set():
            return 0
        return IN_FLIGHT - (self._next_id - self._oldest_id) % MOST_IDS

    def send(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Send messages, each as what stands before its packet id, and its body; no more than `room`."""
        packet_id, slots = self._next_id, self._slots
        out: list[bytes] = []
        for front, body in messages:
            packet = front + IDS[packet_id] + body
            slots[packet_id] = packet
            out.append(packet)
            packet_id = packet_id % MOST_IDS + 1
        self._next_id = packet_id
        self.sent += len(out)
        self._wire.write(b"".join(out))

    async def settled(self) -> None:
        """Wait until every message is acknowledged."""
        while self.acked < self.sent:
            self._emptied.clear()
            await self._emptied.wait()

    async def run(self) -> None:
        """Keep a connection to the broker until cancelled."""
        await self._wire.run()

    def on_up(self) -> None:
        """Send again what is not acknowledged, in its order."""
        self.connected.set()
        turn = [*range(self._oldest_id, MOST_IDS + 1), *range(1, self._oldest_id)]
        self._wire.write(b"".join([packet for one in turn if (packet := self._slots[one]) is not None]))

    def on_down(self) -> None:
        """Wait for the broker."""
        self.connected.clear()

    def on_acks(self, ids: Sequence[int]) -> None:
        """Count each message once."""
        slots = self._slots
        for packet_id in ids:
            if slots[packet_id] is not None:
                slots[packet_id] = None
                self.acked += 1
        while self._oldest_id != self._next_id and slots[self._oldest_id] is None:
            self._oldest_id = self._oldest_id % MOST_IDS + 1
        if self.acked == self.sent:
            self._emptied.set()
