"""Tags' network: one MQTT client, QoS 1, many messages in flight, nothing forgotten when the broker goes away."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

import aiomqtt

from shared.clock import Clock
from shared.log import FailureLog, get_logger

RETRY_S = 1.0
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
        self._host, self._port, self._identifier = host, port, identifier
        self._clock = clock
        self._on_acked, self._on_given_up = on_acked, on_given_up
        self._client: aiomqtt.Client | None = None
        self._in_flight: OrderedDict[int, _Message] = OrderedDict()
        self._waiting: deque[_Message] = deque()
        self._backlog = backlog
        self._settled = asyncio.Event()
        self._failures = FailureLog(get_logger("mqtt"), f"broker {host}:{port}")
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
        while True:
            try:
                await self._serve()
            except aiomqtt.MqttError as exc:
                self._failures.failed(_cause(exc))
            await self._clock.sleep(RETRY_S)

    async def _serve(self) -> None:
        """Hold one connection; leaves with MqttError when it is lost."""
        client = aiomqtt.Client(
            self._host, self._port, identifier=self._identifier, max_inflight_messages=0, keepalive=30, timeout=5
        )
        async with client:
            self._failures.recovered()
            self._attach(client)
            try:
                async for _ in client.messages:
                    pass
            finally:
                self._detach()

    def _attach(self, client: aiomqtt.Client) -> None:
        # aiomqtt's publish() waits for each PUBACK in a task of its own; paho below it only calls back.
        client._client.on_publish = self._acknowledged  # noqa: SLF001
        self._client = client
        self.connected.set()
        self._send_waiting()

    def _detach(self) -> None:
        """Queue what was in flight again, in its order, before everything newer."""
        self._client = None
        self.connected.clear()
        self._waiting.extendleft(reversed(self._in_flight.values()))
        self._in_flight.clear()

    def _send_waiting(self) -> None:
        while self._client is not None and self._waiting and len(self._in_flight) < IN_FLIGHT:
            message = self._waiting[0]
            sent = self._client._client.publish(message.topic, message.body, 1)  # noqa: SLF001
            if sent.rc != 0:
                return
            self._waiting.popleft()
            self._in_flight[sent.mid] = message

    def _acknowledged(self, _client: object, _userdata: object, mid: int, *_rest: object) -> None:
        message = self._in_flight.pop(mid, None)
        if message is not None:
            self._on_acked(message.ticket)
        if self._waiting:
            self._send_waiting()
        elif not self._in_flight:
            self._settled.set()


def _cause(exc: BaseException) -> str:
    """Return the innermost reason: aiomqtt wraps the operating system's words."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return str(exc)
